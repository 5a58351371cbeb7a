//! What is read of the stream: its settings and state, the newest head, the events behind it.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::{Client, RequestErrorKind, jetstream};
use cid::Cid;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::super::message::POSITION;
use crate::config::NatsConfig;
use crate::delivery::outbox::{Source, StreamKey};
use crate::delivery::{Findings, Head, Mode, StreamSettings, Successor, check_stream};
use crate::text::{SubjectPrefix, visible};

/// How many messages are asked for at once when a tail is read.
const READ_AHEAD: usize = 128;

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadError {
    /// It may have one later.
    Failed(String),
    /// The stream can't keep the promise.
    Refused(String),
    /// The newest message on the head subject is no head.
    NoHead { sequence: u64, problem: String },
}

/// What STREAM.INFO told.
#[derive(Debug, Clone)]
pub(super) struct Info {
    pub(super) key: StreamKey,
    pub(super) mode: Mode,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The last position that earlier sources of the outbox published here; `None` where nobody looked.
    pub(super) base: Option<u64>,
    /// The source that took this one's place.
    pub(super) successor: Option<Successor>,
    pub(super) warnings: Vec<String>,
}

/// An event of the source as it stands in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) position: u64,
    pub(super) cid: Cid,
}

/// The source's own events behind a sequence.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    pub(super) first: u64,
    pub(super) through: u64,
    pub(super) probed: bool,
    pub(super) newer_head: bool,
    pub(super) events: Vec<Stored>,
}

/// Reads one stream for one source.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    client: Client,
    config: NatsConfig,
    source: Source,
    /// `$JS.API`, or that of a domain.
    api: String,
}

impl Reader {
    pub(super) fn new(client: Client, config: &NatsConfig, source: &Source) -> Self {
        let api = config.domain.as_ref().map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        Self { client, config: config.clone(), source: source.clone(), api }
    }

    /// The same stream, read for another source.
    pub(super) fn of_source(&self, source: Source) -> Self {
        Self { source, ..self.clone() }
    }

    /// Whose events are read.
    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    pub(super) const fn subject_prefix(&self) -> &SubjectPrefix {
        &self.config.subject_prefix
    }

    pub(super) fn head_subject(&self) -> String {
        format!("{}.{}", self.config.head_subject, self.source)
    }

    /// Reads the stream's settings and state; makes the stream where there is none.
    pub(super) async fn stream(&self) -> Result<Info, ReadError> {
        let name = &self.config.stream_name;
        let mut answer = self.ask(&format!("STREAM.INFO.{name}"), &Value::Null).await?;
        if error_code(&answer) == Some(10059) {
            self.create().await?;
            answer = self.ask(&format!("STREAM.INFO.{name}"), &Value::Null).await?;
        }
        if let Some(error) = answer.get("error") {
            return Err(ReadError::Failed(format!("stream {name}: {}", described(error))));
        }
        let settings = settings(&answer["config"]);
        let check =
            |others: &[String]| check_stream(&settings, &self.config.subject_prefix, &self.config.head_subject, others);
        let mut found = check(&[]);
        if !found.refused.is_empty() {
            // Where a subject is missing here, another stream may have it.
            found = check(&self.others().await);
        }
        self.judge(&found)?;
        let number = |name: &str| answer["state"][name].as_u64().unwrap_or(0);
        let created = answer["created"].as_str().unwrap_or_default().to_owned();
        if created.is_empty() {
            return Err(ReadError::Failed(format!("stream {name}: the server does not tell when it was made")));
        }
        // `created` has nanoseconds, so that it tells one stream from another, whatever the account.
        let account = self.config.domain.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Info {
            key: StreamKey { account, stream: name.to_string(), created },
            mode: match (settings.allow_atomic, settings.allow_batched) {
                (true, true) => Mode::Fast,
                (true, false) => Mode::Atomic,
                (false, _) => Mode::Classic,
            },
            first: number("first_seq"),
            last: number("last_seq"),
            base: Some(0),
            successor: None,
            warnings: found.warned.iter().map(ToString::to_string).collect(),
        })
    }

    fn judge(&self, found: &Findings) -> Result<(), ReadError> {
        if found.refused.is_empty() {
            return Ok(());
        }
        let reasons: Vec<String> = found.refused.iter().map(ToString::to_string).collect();
        Err(ReadError::Refused(format!("{}: {}", self.config.stream_name, reasons.join("; "))))
    }

    async fn create(&self) -> Result<(), ReadError> {
        let name = &self.config.stream_name;
        let config = json!({
            "name": name.as_str(),
            "description": "Events of cim-keys, and the heads that close their batches",
            "subjects": [format!("{}.>", self.config.subject_prefix), format!("{}.>", self.config.head_subject)],
            "retention": "limits", "storage": "file", "discard": "new",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msg_size": -1,
            "max_msgs_per_subject": -1, "num_replicas": self.config.replicas, "duplicate_window": 120_000_000_000_u64,
            "allow_direct": true, "allow_atomic": true, "allow_batched": true,
        });
        let mut answer = self.ask(&format!("STREAM.CREATE.{name}"), &config).await?;
        let mut known = config.clone();
        for newer in ["allow_batched", "allow_atomic"] {
            if error_code(&answer) == Some(10025) {
                // A server that checks requests strictly and does not know the flag.
                known.as_object_mut().map(|map| map.remove(newer));
                answer = self.ask(&format!("STREAM.CREATE.{name}"), &known).await?;
            }
        }
        match (error_code(&answer), answer.get("error")) {
            // Another publisher made it meanwhile.
            (Some(10058), _) | (_, None) => Ok(()),
            (Some(10065), _) => {
                let others = self.others().await;
                let found =
                    check_stream(&settings(&config), &self.config.subject_prefix, &self.config.head_subject, &others);
                self.judge(&found)?;
                Err(ReadError::Refused(format!("{name} can't be made: another stream takes some of its subjects")))
            }
            (_, Some(error)) => Err(ReadError::Failed(format!("stream {name} can't be made: {}", described(error)))),
        }
    }

    /// The other streams that take subjects of ours; none where the server does not tell.
    async fn others(&self) -> Vec<String> {
        let mut names = Vec::new();
        for prefix in [&self.config.subject_prefix, &self.config.head_subject] {
            let filter = json!({ "subject": format!("{prefix}.>") });
            let Ok(answer) = self.ask("STREAM.NAMES", &filter).await else { continue };
            let found = answer["streams"].as_array().into_iter().flatten().filter_map(Value::as_str);
            names.extend(found.filter(|name| *name != self.config.stream_name.as_str()).map(str::to_owned));
        }
        names.sort();
        names.dedup();
        names
    }

    async fn ask(&self, what: &str, request: &Value) -> Result<Value, ReadError> {
        let body = if request.is_null() { Vec::new() } else { request.to_string().into_bytes() };
        let subject = format!("{}.{what}", self.api);
        match self.client.request(subject, body.into()).await {
            Ok(message) => serde_json::from_slice(&message.payload)
                .map_err(|_| ReadError::Failed(format!("{what}: the server's answer is no JSON"))),
            Err(error) => Err(ReadError::Failed(match error.kind() {
                RequestErrorKind::NoResponders => format!(
                    "{what}: JetStream does not answer. It is not enabled on this server or for this account, or it has \
                     no leader for now"
                ),
                _ => format!("{what}: {}", visible(&error.to_string())),
            })),
        }
    }

    pub(super) async fn handle(&self) -> Result<Stream<()>, ReadError> {
        let context = context(&self.client, &self.config);
        let name = self.config.stream_name.as_str();
        context.get_stream_no_info(name).await.map_err(|error| ReadError::Failed(error.to_string()))
    }

    /// Reads the newest head, from the stream's leader.
    pub(super) async fn head(&self) -> Result<Option<(u64, Head)>, ReadError> {
        let stream = self.handle().await?;
        let subject = self.head_subject();
        match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Head::parse(&message.payload, &self.source)
                .map(|head| Some((message.sequence, head)))
                .map_err(|problem| ReadError::NoHead { sequence: message.sequence, problem: problem.to_string() }),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::Failed(format!("the newest head: {}", visible(&error.to_string())))),
        }
    }

    /// Reads the source's own events behind a sequence, up to the end that the stream has now. `key` is the stream that
    /// the rest was read from.
    pub(super) async fn tail(&self, key: &StreamKey, after: u64, probe: u64) -> Result<Tail, ReadError> {
        let info = self.stream().await?;
        if info.key != *key {
            return Err(ReadError::Failed("the stream was made anew meanwhile".into()));
        }
        let stream = self.handle().await?;
        let (events_prefix, head_subject) = (format!("{}.", self.config.subject_prefix), self.head_subject());
        let mut tail =
            Tail { first: info.first, through: info.last, probed: false, newer_head: false, events: Vec::new() };
        if probe >= info.first.max(1) && probe <= info.last {
            tail.probed = self.message(&stream, probe).await?.is_some();
        }
        let sequences = after.max(info.first.saturating_sub(1)) + 1..=info.last;
        let mut messages =
            futures_util::stream::iter(sequences.map(|sequence| self.message(&stream, sequence))).buffered(READ_AHEAD);
        while let Some(message) = messages.try_next().await? {
            let Some(message) = message else { continue };
            if message.subject.as_str() == head_subject {
                tail.newer_head = true;
            } else if message.subject.starts_with(&events_prefix)
                && let Some(stored) = self.own(&message)?
            {
                tail.events.push(stored);
            }
        }
        Ok(tail)
    }

    async fn message(&self, stream: &Stream<()>, sequence: u64) -> Result<Option<StreamMessage>, ReadError> {
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::Failed(format!("message {sequence}: {}", visible(&error.to_string())))),
        }
    }

    /// The event, if it is one of this source.
    fn own(&self, message: &StreamMessage) -> Result<Option<Stored>, ReadError> {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
        if header("ce-source") != Some(self.source.as_str()) {
            return Ok(None);
        }
        let position = header(POSITION).and_then(|text| text.parse().ok()).filter(|position| *position > 0);
        let cid = header("ce-id").and_then(|text| Cid::try_from(text).ok());
        match (position, cid) {
            (Some(position), Some(cid)) => Ok(Some(Stored { sequence: message.sequence, position, cid })),
            _ => Err(ReadError::Failed(format!(
                "message {} of the stream carries this source's name without a position or CID: someone else \
                 publishes under it; forbid that and delete the message",
                message.sequence
            ))),
        }
    }
}

/// The JetStream context of a configuration.
pub(in crate::adapters) fn context(client: &Client, config: &NatsConfig) -> jetstream::Context {
    match &config.domain {
        Some(domain) => jetstream::with_domain(client.clone(), domain),
        None => jetstream::new(client.clone()),
    }
}

/// Whether a subject belongs to a configured prefix.
pub(super) fn is_under(subject: &str, prefix: &impl AsRef<str>) -> bool {
    subject.strip_prefix(prefix.as_ref()).is_some_and(|rest| rest.starts_with('.'))
}

/// An error of the JetStream API in words.
pub(super) fn described(error: &Value) -> String {
    let text = error["description"].as_str().unwrap_or("no reason given");
    format!("{} (code {})", visible(text), error["err_code"].as_u64().or(error["code"].as_u64()).unwrap_or(0))
}

fn error_code(answer: &Value) -> Option<u64> {
    answer["error"]["err_code"].as_u64()
}

fn settings(config: &Value) -> StreamSettings {
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let flag = |name: &str| config[name].as_bool().unwrap_or(false);
    StreamSettings {
        name: text("name"),
        subjects: config["subjects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect(),
        retention: text("retention"),
        storage: text("storage"),
        no_ack: flag("no_ack"),
        transforms_subjects: config.get("subject_transform").is_some_and(|value| !value.is_null()),
        republishes: config.get("republish").is_some_and(|value| !value.is_null()),
        mirror: config.get("mirror").is_some_and(|value| !value.is_null()),
        sealed: flag("sealed"),
        max_messages_per_subject: config["max_msgs_per_subject"].as_i64().unwrap_or(-1),
        discard_new_per_subject: flag("discard_new_per_subject"),
        allow_atomic: flag("allow_atomic"),
        allow_batched: flag("allow_batched"),
    }
}
