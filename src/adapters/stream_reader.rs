//! Reading a stream back: its messages in order, in pieces, across outages, without ever writing to it.
//!
//! The reader makes ordered consumers, which vanish by themselves. Where the connection or the server fails, it goes on
//! behind the last message that it gave, for as long as its patience lasts; a stream that was made anew meanwhile is an
//! error. What the messages are worth is for [`MessageReader`](super::message::MessageReader) and
//! [`PublishedHistory`](crate::log::PublishedHistory) to say.
//!
//! # Permissions
//!
//! The user of the credentials needs to
//! - publish to `$JS.API.STREAM.INFO.{stream_name}`, `$JS.API.STREAM.MSG.GET.{stream_name}`,
//!   `$JS.API.CONSUMER.CREATE.{stream_name}`, the same with `.>` behind it, and `$JS.API.CONSUMER.MSG.NEXT.{stream_name}.>`,
//! - the same for the stream `OBJ_{object_store_bucket}`, where events are larger than a message may be, and
//!   `$JS.API.DIRECT.GET.OBJ_{object_store_bucket}.>`,
//! - subscribe to `_INBOX.>`, or below the configured `inbox_prefix`.
//!
//! It may publish nothing else: a reader can't change what it reads.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::{Client, jetstream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::denials::{self, Denial};
use super::message::StreamMessage;
use super::nats_client::ConnectError;
use super::nats_client::connect::{connect, pause};
use super::nats_client::reads::context;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::config::NatsConfig;
use crate::ipld_support::MAX_BLOCK_LEN;
use crate::text::visible;

/// Messages handed on together: few enough to stay in memory, many enough to be worth a hand-over.
pub const CHUNK: usize = 256;

/// How many messages are asked for by their sequences at once.
const READ_AHEAD: usize = 64;

/// How long nothing may come before the consumer is made anew.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a stream could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamReadError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stream is not there.
    #[error("there is no stream {0} on this server, or not in this account")]
    NoStream(String),
    /// The user may not read.
    #[error("the user of the credentials may not {denied}, which reading the stream {stream} needs")]
    Denied {
        /// The stream.
        stream: String,
        /// What: `publish to $JS.API.…`.
        denied: String,
    },
    /// The server did not answer, however often it was asked.
    #[error("the stream {stream} could not be read: {problem}. What was taken so far stays")]
    Failed {
        /// The stream.
        stream: String,
        /// What was said last.
        problem: String,
    },
    /// Another stream stands under the name.
    #[error("the stream {0} was made anew while it was read")]
    MadeAnew(String),
}

impl Explained for StreamReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::NoStream(_) => ErrorKind::Usage,
            Self::Denied { .. } => ErrorKind::Refused,
            Self::Failed { .. } => ErrorKind::Unreachable,
            Self::MadeAnew(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Connect(error) => error.advice(),
            Self::NoStream(_) => vec![Advice::Do("name the stream with --stream or nats.stream_name")],
            Self::Denied { .. } => vec![Advice::Do("docs/NATS_INTEGRATION.md lists the rights that a reader needs")],
            Self::Failed { .. } => vec![Advice::TRY_AGAIN],
            Self::MadeAnew(_) => vec![Advice::Do("begin again")],
        }
    }
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// When it was made, to the nanosecond, which tells one of its name from another.
    pub created: jiff::Timestamp,
    /// The first sequence that it holds.
    pub first: u64,
    /// Its last sequence.
    pub last: u64,
    /// How many messages it holds.
    pub messages: u64,
    /// Whether it drops messages by itself: by age, number or size.
    pub expires: bool,
}

/// Which messages are read.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// From this sequence on.
    pub from: u64,
    /// Only those of this subject; all where it is empty.
    pub subject: String,
    /// Without their bodies.
    pub headers_only: bool,
}

/// Reads one stream.
#[derive(Debug, Clone)]
pub struct StreamReader {
    client: Client,
    config: NatsConfig,
    patience: Duration,
    denied: watch::Receiver<BTreeSet<Denial>>,
}

impl StreamReader {
    /// Connects to the server of a configuration.
    ///
    /// # Errors
    /// When no server answers, or it refuses the user.
    pub async fn connect(config: &NatsConfig) -> Result<Self, ConnectError> {
        let (events, told) = tokio::sync::mpsc::unbounded_channel();
        let client = connect(config, events).await?;
        let (config, patience, denied) = (config.clone(), config.connection_timeout() * 3, denials::gather(told));
        Ok(Self { client, config, patience, denied })
    }

    /// Goes on for so long without an answer before it gives up.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The configuration that it reads with.
    #[must_use]
    pub const fn config(&self) -> &NatsConfig {
        &self.config
    }

    /// The server that it is connected to.
    #[must_use]
    pub fn server(&self) -> String {
        self.config.url.to_string()
    }

    /// What is known of the stream now.
    ///
    /// # Errors
    /// When there is no such stream, or the server does not answer.
    pub async fn state(&self) -> Result<StreamState, StreamReadError> {
        self.persist(async || {
            let mut stream = self.stream().await?;
            let info = stream.info().await.map_err(|error| self.failed(&error))?;
            let (state, config) = (&info.state, &info.config);
            let created = jiff::Timestamp::from_nanosecond(info.created.unix_timestamp_nanos());
            Ok(StreamState {
                created: created.map_err(|error| self.failed(&error))?,
                first: state.first_sequence,
                last: state.last_sequence,
                messages: state.messages,
                expires: !config.max_age.is_zero() || config.max_messages > 0 || config.max_bytes > 0,
            })
        })
        .await
    }

    /// The newest message of a subject, from the stream's leader.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn newest(&self, subject: &str) -> Result<Option<StreamMessage>, StreamReadError> {
        self.persist(async || {
            let stream = self.handle().await?;
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(message) => Ok(Some(from_stored(message))),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(self.failed(&error)),
            }
        })
        .await
    }

    /// The messages at these sequences that are there, in the given order.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn at(&self, sequences: &[u64]) -> Result<Vec<StreamMessage>, StreamReadError> {
        self.persist(async || {
            let stream = self.handle().await?;
            let one = async |sequence: u64| match stream.get_raw_message(sequence).await {
                Ok(message) => Ok(Some(from_stored(message))),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(self.failed(&error)),
            };
            let found: Vec<_> = futures_util::stream::iter(sequences)
                .map(|sequence| one(*sequence))
                .buffered(READ_AHEAD)
                .try_collect()
                .await?;
            Ok(found.into_iter().flatten().collect())
        })
        .await
    }

    /// An object of a bucket, up to the size that an event may have.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub async fn object(&self, bucket: &str, name: &str) -> Result<Vec<u8>, String> {
        let of = format!("OBJ_{bucket}");
        let told = |error: &dyn std::error::Error| match self.denial(&of) {
            Some(denied) => format!("the user of the credentials may not {denied}"),
            None => visible(&error.to_string()).into_owned(),
        };
        let store = context(&self.client, &self.config).get_object_store(bucket).await;
        let store = store.map_err(|error| told(&error))?;
        let object = store.get(name).await.map_err(|error| told(&error))?;
        let mut bytes = Vec::new();
        object.take(MAX_BLOCK_LEN as u64 + 1).read_to_end(&mut bytes).await.map_err(|error| told(&error))?;
        Ok(bytes)
    }

    /// Reads the selected messages up to the end that the stream has when all before were read, and hands them on in
    /// chunks. `take` answers whether to go on. Each message comes once, whatever happens to the connection.
    ///
    /// # Errors
    /// When the stream is gone or was made anew, or the server does not answer for longer than the patience lasts.
    pub async fn read(
        &self,
        selection: &Selection,
        mut take: impl AsyncFnMut(Vec<StreamMessage>) -> bool,
    ) -> Result<(), StreamReadError> {
        let StreamState { created, last, .. } = self.state().await?;
        let mut next = selection.from.max(1);
        let mut since = Instant::now();
        let mut attempts = 0;
        loop {
            let before = next;
            let error = match self.read_on(selection, &mut next, &mut take).await {
                Ok(Read::Stopped) => return Ok(()),
                Ok(Read::NothingPending) if next > last => return Ok(()),
                // A consumer lives on one member of a cluster, which may be late: the leader knows.
                Ok(Read::NothingPending) => match self.is_at_or_behind(selection, next, last).await {
                    Ok(false) => return Ok(()),
                    Ok(true) => self.failed_with("the member of the cluster that was read is behind".into()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if next > before {
                (since, attempts) = (Instant::now(), 0);
            }
            attempts += 1;
            if since.elapsed() > self.patience || matches!(error, StreamReadError::Denied { .. }) {
                return Err(error);
            }
            tokio::time::sleep(pause(attempts, Duration::from_millis(100), Duration::from_secs(2))).await;
            if self.state().await?.created != created {
                return Err(StreamReadError::MadeAnew(self.config.stream_name.to_string()));
            }
        }
    }

    /// Whether the stream's leader has a selected message from a sequence on, up to another one.
    async fn is_at_or_behind(&self, selection: &Selection, next: u64, last: u64) -> Result<bool, StreamReadError> {
        let subject = if selection.subject.is_empty() { ">" } else { &selection.subject };
        match self.handle().await?.get_first_raw_message_by_subject(subject, next).await {
            Ok(message) => Ok(message.sequence <= last),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// One consumer's life.
    async fn read_on(
        &self,
        selection: &Selection,
        next: &mut u64,
        take: &mut impl AsyncFnMut(Vec<StreamMessage>) -> bool,
    ) -> Result<Read, StreamReadError> {
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: *next },
            filter_subject: selection.subject.clone(),
            headers_only: selection.headers_only,
            replay_policy: ReplayPolicy::Instant,
            ..OrderedConfig::default()
        };
        let consumer = self.handle().await?.create_consumer(config).await.map_err(|error| self.failed(&error))?;
        if consumer.cached_info().num_pending == 0 {
            return Ok(Read::NothingPending);
        }
        let mut messages = consumer.messages().await.map_err(|error| self.failed(&error))?;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let message = match tokio::time::timeout(SILENCE, messages.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(self.failed(&error)),
                Ok(None) => return Err(self.failed_with("the consumer ended".into())),
                Err(_) => return Err(self.failed_with(format!("nothing came for {} s", SILENCE.as_secs()))),
            };
            let (sequence, pending) = {
                let info = message.info().map_err(|error| self.failed_with(error.to_string()))?;
                (info.stream_sequence, info.pending)
            };
            // A consumer that the client made anew before its first message begins at the stream's beginning.
            if sequence >= *next {
                chunk.push(from_delivered(message, sequence));
            }
            if chunk.len() == CHUNK || pending == 0 {
                if let Some(last) = chunk.last() {
                    *next = last.sequence + 1;
                }
                if !take(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).await {
                    return Ok(Read::Stopped);
                }
                if pending == 0 {
                    return Ok(Read::NothingPending);
                }
            }
        }
    }

    async fn stream(&self) -> Result<Stream, StreamReadError> {
        let name = self.config.stream_name.as_str();
        context(&self.client, &self.config).get_stream(name).await.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(inner) if inner.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                StreamReadError::NoStream(name.to_owned())
            }
            _ => self.failed(&error),
        })
    }

    async fn handle(&self) -> Result<jetstream::stream::Stream<()>, StreamReadError> {
        let name = self.config.stream_name.as_str();
        context(&self.client, &self.config).get_stream_no_info(name).await.map_err(|error| self.failed(&error))
    }

    /// Asks until there is an answer, or the patience ends.
    async fn persist<T>(&self, mut ask: impl AsyncFnMut() -> Result<T, StreamReadError>) -> Result<T, StreamReadError> {
        let since = Instant::now();
        let mut attempts = 0;
        loop {
            match ask().await {
                Err(StreamReadError::Failed { .. }) if since.elapsed() < self.patience => {
                    attempts += 1;
                    tokio::time::sleep(pause(attempts, Duration::from_millis(100), Duration::from_secs(2))).await;
                }
                answer => return answer,
            }
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> StreamReadError {
        self.failed_with(error.to_string())
    }

    pub(crate) fn failed_with(&self, problem: String) -> StreamReadError {
        let (stream, problem) = (self.config.stream_name.to_string(), visible(&problem).into_owned());
        match self.denial(&stream) {
            Some(denied) => StreamReadError::Denied { stream, denied },
            None => StreamReadError::Failed { stream, problem },
        }
    }

    /// What the user was told that it may not do and that reading a stream needs. A request that is denied is not answered.
    fn denial(&self, stream: &str) -> Option<String> {
        let needed = |denial: &Denial| match denial {
            Denial::Publish(subject) => subject.split('.').any(|token| token == stream),
            Denial::Subscribe(_) => true,
        };
        self.denied.borrow().iter().find(|denial| needed(denial)).map(ToString::to_string)
    }
}

/// How a consumer's life ended.
enum Read {
    /// Whoever took the messages wants no more.
    Stopped,
    /// The member of the cluster that has the consumer has no more.
    NothingPending,
}

fn from_stored(message: jetstream::message::StreamMessage) -> StreamMessage {
    StreamMessage {
        sequence: message.sequence,
        subject: message.subject.into_string(),
        headers: message.headers,
        body: message.payload,
    }
}

fn from_delivered(message: jetstream::Message, sequence: u64) -> StreamMessage {
    let message = message.message;
    StreamMessage {
        sequence,
        subject: message.subject.into_string(),
        headers: message.headers.unwrap_or_default(),
        body: message.payload,
    }
}
