//! The one check that every test of delivery ends in: all that a subscriber and an auditor could find wrong.
//!
//! It reads the stream with the plain client, and recomputes every CID with the IPLD libraries, not with our own codec.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use cid::Cid;
use cid::multihash::Multihash;
use cim_keys::delivery::outbox::Outbox;
use futures_util::StreamExt as _;
use ipld_core::ipld::Ipld;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

/// How long a server may take to answer, on a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// An event as it stands in a stream.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Who published it.
    pub source: String,
    /// The source's number of it.
    pub position: u64,
    /// The content identifier in its header.
    pub cid: String,
    /// Its body; the object's bytes where the message links to one.
    pub body: Vec<u8>,
}

/// A head as it stands in a stream.
#[derive(Debug, Clone)]
pub struct HeadMessage {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whose it is.
    pub source: String,
    /// The position that it names.
    pub position: u64,
    /// The content identifier of the event at that position.
    pub cid: String,
    /// The sequence and position of the head before it.
    pub previous: Option<(u64, u64)>,
    /// The positions that it calls parked.
    pub parked: Vec<u64>,
    /// The signed checkpoint that it carries.
    pub checkpoint: Option<String>,
}

/// Everything that a stream holds, in its order.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The events of all sources.
    pub events: Vec<Message>,
    /// The heads of all sources.
    pub heads: Vec<HeadMessage>,
}

impl Contents {
    /// Reads a whole stream. A stream that is not there holds nothing. A cluster that has just lost a member answers late or
    /// not at all: it is asked again.
    ///
    /// # Panics
    /// When the stream can't be read for long, or holds a message that is neither an event nor a head.
    pub async fn read(client: &async_nats::Client, stream: &str) -> Self {
        let until = Instant::now() + READ_WITHIN;
        let mut contents = loop {
            match Self::try_read(client, stream).await {
                Ok(contents) => break contents,
                Err(error) => assert!(Instant::now() < until, "the stream {stream} can't be read: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        for event in &mut contents.events {
            if let Some(block) = linked_object(client, &event.body).await {
                event.body = block;
            }
        }
        contents
    }

    async fn try_read(client: &async_nats::Client, stream: &str) -> Result<Self, async_nats::Error> {
        let mut contents = Self::default();
        let mut stream = match jetstream::new(client.clone()).get_stream(stream).await {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    return Ok(contents);
                }
                _ => return Err(error.into()),
            },
        };
        let all = stream.info().await?.state.messages;
        if all == 0 {
            return Ok(contents);
        }
        let consumer = stream.create_consumer(OrderedConfig::default()).await?;
        let mut messages = consumer.messages().await?;
        // A member of a cluster that has just come back gets the last of them late, and may be the one that is read: so that
        // nothing is pending there does not yet say that this was all.
        while ((contents.events.len() + contents.heads.len()) as u64) < all
            && let Some(message) = tokio::time::timeout(READ_WITHIN, messages.next()).await?
        {
            let message = message?;
            let sequence = message.info()?.stream_sequence;
            contents.take(&message.message, sequence);
        }
        Ok(contents)
    }

    /// Adds a message, as an event or as a head.
    ///
    /// # Panics
    /// When it is neither.
    pub fn take(&mut self, message: &async_nats::Message, sequence: u64) {
        let header = |name: &str| {
            let headers = message.headers.as_ref()?;
            Some(headers.get(name)?.as_str().to_owned())
        };
        if let Some(cid) = header("ce-id") {
            let position = header("Cim-Position").and_then(|position| position.parse().ok());
            self.events.push(Message {
                sequence,
                subject: message.subject.to_string(),
                source: header("ce-source").expect("an event names its source"),
                position: position.expect("an event has its position"),
                cid,
                body: message.payload.to_vec(),
            });
            return;
        }
        let body: Value = serde_json::from_slice(&message.payload).expect("what is no event is a head, in JSON");
        let number = |value: &Value| value.as_u64().expect("a number in a head");
        self.heads.push(HeadMessage {
            sequence,
            source: body["source"].as_str().expect("a head names its source").to_owned(),
            position: number(&body["position"]),
            cid: body["cid"]["/"].as_str().expect("a head has a CID").to_owned(),
            previous: body.get("previous").map(|there| (number(&there["sequence"]), number(&there["position"]))),
            parked: body["parked"].as_array().into_iter().flatten().map(|one| number(&one["position"])).collect(),
            checkpoint: body["checkpoint"].as_str().map(str::to_owned),
        });
    }
}

/// What a stream must hold of one source.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// Whose events.
    pub source: &'a str,
    /// The content identifiers of the events from position `first` on, as they were accepted.
    pub cids: &'a [Cid],
    /// The first position that the stream holds: 1, unless what was before has expired.
    pub first: u64,
    /// The positions that are parked: these, and no other, are not in the stream.
    pub parked: &'a [u64],
    /// Whether batches are closed by heads, as they are in JetStream.
    pub heads: bool,
}

impl Expected<'_> {
    /// Everything that is wrong with these contents.
    #[must_use]
    pub fn problems(&self, contents: &Contents) -> Vec<String> {
        let events: Vec<&Message> = contents.events.iter().filter(|event| event.source == self.source).collect();
        let heads: Vec<&HeadMessage> = contents.heads.iter().filter(|head| head.source == self.source).collect();
        let mut problems = Vec::new();
        self.each_once(&events, &mut problems);
        self.in_order(&events, &heads, &mut problems);
        for event in &events {
            if let Err(problem) = check_body(event) {
                problems.push(format!("position {} (sequence {}): {problem}", event.position, event.sequence));
            }
        }
        if self.heads {
            self.head_chain(&events, &heads, &mut problems);
        }
        problems
    }

    fn each_once(&self, events: &[&Message], problems: &mut Vec<String>) {
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for event in events {
            if let Some(before) = seen.insert(event.position, event.sequence) {
                problems.push(format!("position {} twice: sequences {before}, {}", event.position, event.sequence));
            }
            let index = event.position.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            match index.and_then(|index| self.cids.get(index)) {
                None => problems.push(format!("position {} was never accepted", event.position)),
                Some(cid) if cid.to_string() != event.cid => {
                    problems.push(format!("position {} is {}, and {cid} was accepted", event.position, event.cid));
                }
                Some(_) => {}
            }
            if self.parked.contains(&event.position) {
                problems.push(format!("position {} is parked, and in the stream", event.position));
            }
        }
        for position in (self.first..).take(self.cids.len()) {
            if !seen.contains_key(&position) && !self.parked.contains(&position) {
                problems.push(format!("position {position} is lost"));
            }
        }
    }

    /// A position may come late only when the head before it called it parked.
    fn in_order(&self, events: &[&Message], heads: &[&HeadMessage], problems: &mut Vec<String>) {
        let mut highest = 0;
        for event in events {
            let head = heads.iter().rev().find(|head| head.sequence < event.sequence);
            if event.position < highest && !head.is_some_and(|head| head.parked.contains(&event.position)) {
                problems.push(format!("position {} comes after position {highest}", event.position));
            }
            highest = highest.max(event.position);
        }
    }

    fn head_chain(&self, events: &[&Message], heads: &[&HeadMessage], problems: &mut Vec<String>) {
        let places: BTreeMap<u64, u64> = events.iter().rev().map(|event| (event.position, event.sequence)).collect();
        for (i, head) in heads.iter().enumerate() {
            let sequence = head.sequence;
            if let Some(before) = i.checked_sub(1).map(|before| heads[before]) {
                if head.previous != Some((before.sequence, before.position)) {
                    let there = (before.sequence, before.position);
                    problems.push(format!("the head {sequence} follows {:?}, and {there:?} is there", head.previous));
                }
                if head.position < before.position {
                    problems.push(format!("the head {sequence} goes back to position {}", head.position));
                }
            }
            let index = head.position.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            if index.and_then(|index| self.cids.get(index)).is_none_or(|cid| cid.to_string() != head.cid) {
                problems.push(format!("the head {sequence} names {} at position {}", head.cid, head.position));
            }
            // What a subscriber concludes: all up to the head's position is before it, but for the parked ones.
            for position in self.first..=head.position {
                let before = places.get(&position).is_some_and(|place| *place < sequence);
                if before == head.parked.contains(&position) {
                    let what = if before { "calls parked what is there" } else { "claims what is not there" };
                    problems.push(format!("the head {sequence} {what}: position {position}"));
                }
            }
        }
        let last = heads.last().map_or(0, |head| head.sequence);
        if let Some(behind) = events.iter().find(|event| event.sequence > last) {
            problems.push(format!("position {} is behind the last head", behind.position));
        }
        if let Some(head) = heads.last()
            && head.parked != self.parked
        {
            problems.push(format!("the last head calls {:?} parked, and {:?} are", head.parked, self.parked));
        }
    }
}

/// The check of a whole run: reads the stream, and compares it with what was accepted and with what the outbox keeps.
///
/// # Panics
/// With everything that is wrong.
pub async fn check_everything(client: &async_nats::Client, stream: &str, outbox: &dyn Outbox, cids: &[Cid]) {
    let parked: Vec<u64> = outbox.parked().expect("the parked events").iter().map(|one| one.position).collect();
    let source = outbox.source().to_string();
    let expected = Expected { source: &source, cids, first: 1, parked: &parked, heads: true };
    let contents = Contents::read(client, stream).await;
    let mut problems = expected.problems(&contents);
    let end = outbox.end().expect("the outbox's end");
    if end != cids.len() as u64 {
        problems.push(format!("the outbox ends at {end}, and {} events were accepted", cids.len()));
    }
    for one in outbox.parked().expect("the parked events") {
        if one.reason.trim().is_empty() {
            problems.push(format!("position {} is parked without a reason", one.position));
        }
    }
    fail_with(&problems, &contents);
}

/// Panics with all of them, and with what the stream holds, when there is any.
///
/// # Panics
/// When there is a problem.
pub fn fail_with(problems: &[String], contents: &Contents) {
    if problems.is_empty() {
        return;
    }
    let mut text = format!("{} problems:\n", problems.len());
    for problem in problems.iter().take(20) {
        let _ = writeln!(text, "  {problem}");
    }
    let mut all: Vec<(u64, String)> =
        contents.events.iter().map(|e| (e.sequence, format!("{} position {}", e.source, e.position))).collect();
    all.extend(contents.heads.iter().map(|h| {
        (h.sequence, format!("{} head {} after {:?}, parked {:?}", h.source, h.position, h.previous, h.parked))
    }));
    all.sort();
    let _ = writeln!(text, "the stream holds {} messages; the last of them:", all.len());
    for (sequence, what) in all.iter().skip(all.len().saturating_sub(30)) {
        let _ = writeln!(text, "  {sequence}: {what}");
    }
    panic!("{text}");
}

/// The block that a message links to instead of holding it, as `{"cid":…,"object":{"bucket":…,"name":…}}`.
async fn linked_object(client: &async_nats::Client, body: &[u8]) -> Option<Vec<u8>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let object = body.get("object")?;
    let (bucket, name) = (object["bucket"].as_str()?, object["name"].as_str()?);
    let store = jetstream::new(client.clone()).get_object_store(bucket).await.expect("the bucket that is named");
    let mut reader = store.get(name).await.expect("the object that is named");
    let mut block = Vec::new();
    reader.read_to_end(&mut block).await.expect("the object");
    Some(block)
}

/// Whether a body is what its CID says, in whichever encoding it is. Plain JSON carries no CID, and is compared by the
/// event's own id only.
fn check_body(event: &Message) -> Result<(), String> {
    if event.body.first() != Some(&b'{') {
        return expect_cid(&event.cid, &event.body);
    }
    let Ok(Ipld::Map(mut body)) = serde_ipld_dagjson::from_slice::<Ipld>(&event.body) else {
        return Err("the body is no DAG-JSON".into());
    };
    let (Some(Ipld::Link(cid)), Some(inner)) = (body.remove("cid"), body.remove("event")) else {
        return Ok(());
    };
    if cid.to_string() != event.cid {
        return Err(format!("the body names {cid}, its header {}", event.cid));
    }
    let block = serde_ipld_dagcbor::to_vec(&inner).map_err(|error| error.to_string())?;
    expect_cid(&event.cid, &block)
}

fn expect_cid(named: &str, block: &[u8]) -> Result<(), String> {
    let hash = Multihash::<64>::wrap(0x12, &Sha256::digest(block)).expect("32 bytes fit");
    let true_one = Cid::new_v1(0x71, hash).to_string();
    if true_one == named { Ok(()) } else { Err(format!("the CID is {true_one}, and {named} is claimed")) }
}
