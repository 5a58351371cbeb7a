//! What an event looks like on the wire: subject, headers and body of its message.
//!
//! **Subject:** `{subject_prefix}.{aggregate}.{event type in lower case}`.
//!
//! **Headers:** the CloudEvents 1.0 attributes in the binary mode of its NATS binding, in lower case, and the position:
//!
//! | header | value |
//! |---|---|
//! | `ce-specversion` | `1.0` |
//! | `ce-id` | the content identifier |
//! | `ce-source` | who publishes: the ledger, or the file queue |
//! | `ce-type` | the event's type: `PersonCreated` |
//! | `ce-time` | when it occurred |
//! | `ce-subject` | the aggregate: `nats.user` |
//! | `ce-datacontenttype` | of what kind the body is |
//! | `Cim-Position` | the source's gap-free number of the event |
//! | `traceparent` | W3C Trace Context, when a trace is active |
//! | `Cim-Restored` | `true` on what `reconcile` puts back because the stream had lost it |
//!
//! **Body:** one of
//!
//! | configuration | `ce-datacontenttype` | body |
//! |---|---|---|
//! | `payload = "dag-json"` | `application/vnd.ipld.dag-json` | `{"cid":{"/":"bafy…"},"event":{…}}` |
//! | `payload = "dag-cbor"` | `application/vnd.ipld.dag-cbor` | the canonical bytes, which the CID names |
//! | `enable_ipld = false` | `application/json` | the event |
//! | any, an event too large for a message | `application/vnd.ipld.dag-json` | `{"cid":{"/":"bafy…"},"object":{"bucket":"…","name":"bafy…"}}`; the object holds the canonical bytes |

#[cfg(feature = "store")]
mod incoming;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::config::{NatsConfig, Payload};
use crate::delivery::outbox::{Entry, Source};
use crate::events;
use crate::ipld_support::{BlockError, Envelope, ToJsonError, append_dag_json, append_message_body};
use crate::text::SubjectPrefix;

#[cfg(feature = "store")]
pub use incoming::{BadMessage, Incoming, LinkedEvent, MessageProblem, MessageReader, StreamMessage};

/// The position's header.
pub const POSITION: &str = "Cim-Position";

/// The header of what is put back because the stream had lost it; its value is `true`.
pub const RESTORED: &str = "Cim-Restored";

/// What is left free of the server's `max_payload` for the headers that a batch adds to a message.
const RESERVE: usize = 512;

/// An event's message, ready to be sent.
#[derive(Debug, Clone)]
pub struct EventMessage {
    /// Where it goes.
    pub subject: String,
    /// Its headers, without those of a batch.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What has to be in the object store before the message is sent.
    pub object: Option<EventObject>,
}

/// The canonical bytes of an event that is too large for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventObject {
    /// The object's name: the content identifier.
    pub name: String,
    /// The canonical bytes.
    pub block: Bytes,
}

/// Why an event has no message. It can't be mended by trying again: the event has to be parked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The block is no event.
    #[error("event {position} is damaged: {problem}")]
    Damaged {
        /// The event's position.
        position: u64,
        /// What is wrong with its block.
        problem: BlockError,
    },
    /// The block has no JSON text.
    #[error("event {position} has no JSON text: {problem}")]
    NoJson {
        /// The event's position.
        position: u64,
        /// Why.
        problem: ToJsonError,
    },
}

impl Explained for MessageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } | Self::NoJson { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Damaged { .. } => vec![Advice::Run(Action::Verify, "checks the ledger")],
            Self::NoJson { .. } => vec![Advice::Do("publish it with payload = \"dag-cbor\"")],
        }
    }
}

/// Makes the messages of one source under one configuration.
#[derive(Debug)]
pub struct MessageWriter {
    prefix: SubjectPrefix,
    bucket: String,
    body: Body,
    source_len: usize,
    /// All headers of every message, with the values that never change. Copying it is cheaper than growing a new one.
    headers: HeaderMap,
    names: Names,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    DagJson,
    DagCbor,
    Json,
}

/// The headers' names, checked once.
#[derive(Debug)]
struct Names {
    id: HeaderName,
    kind: HeaderName,
    time: HeaderName,
    subject: HeaderName,
    content_type: HeaderName,
    position: HeaderName,
    trace: HeaderName,
}

impl MessageWriter {
    /// Makes a writer.
    #[must_use]
    pub fn new(config: &NatsConfig, source: &Source) -> Self {
        let name = |text: &str| text.parse().expect("the literals below are header names");
        let names = Names {
            id: name("ce-id"),
            kind: name("ce-type"),
            time: name("ce-time"),
            subject: name("ce-subject"),
            content_type: name("ce-datacontenttype"),
            position: name(POSITION),
            trace: name("traceparent"),
        };
        let body = match (config.enable_ipld, config.payload) {
            (false, _) => Body::Json,
            (true, Payload::DagCbor) => Body::DagCbor,
            (true, Payload::DagJson) => Body::DagJson,
        };
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-source", source.as_str());
        headers.insert(names.content_type.clone(), body.content_type());
        for varying in [&names.id, &names.kind, &names.time, &names.subject, &names.position] {
            headers.insert(varying.clone(), String::new());
        }
        let bucket = config.object_store_bucket.as_str().to_owned();
        Self { prefix: config.subject_prefix.clone(), bucket, body, source_len: source.as_str().len(), headers, names }
    }

    /// Makes the message of an event, for a server that takes messages of so many bytes, headers included.
    ///
    /// `traceparent` is sent along if it is one (W3C Trace Context, version 00) and left out otherwise.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn write(
        &self,
        entry: &Entry,
        max_payload: usize,
        traceparent: Option<&str>,
    ) -> Result<EventMessage, MessageError> {
        let damaged = |problem| MessageError::Damaged { position: entry.position, problem };
        let envelope = Envelope::parse(&entry.block).map_err(damaged)?;
        let cid = entry.cid.to_string();
        let mut body = self.body(entry)?;
        let subject = events::subject(&self.prefix, &entry.aggregate, &entry.event_type);
        // Names, separators and the values of known length come to less than this.
        let around = 400 + self.source_len + entry.aggregate.len() + entry.event_type.len();
        let mut object = None;
        if body.len() + around + RESERVE > max_payload {
            body = self.link(&cid);
            object = Some(EventObject { name: cid.clone(), block: Bytes::copy_from_slice(&entry.block) });
        }
        let names = &self.names;
        let mut headers = self.headers.clone();
        headers.insert(names.id.clone(), cid);
        headers.insert(names.kind.clone(), encoded(&entry.event_type));
        headers.insert(names.subject.clone(), encoded(&entry.aggregate));
        headers.insert(names.time.clone(), encoded(envelope.occurred_at));
        headers.insert(names.position.clone(), HeaderValue::from(entry.position));
        if object.is_some() {
            headers.insert(names.content_type.clone(), Body::DagJson.content_type());
        }
        if let Some(trace) = traceparent.filter(|text| is_traceparent(text)) {
            headers.insert(names.trace.clone(), trace);
        }
        Ok(EventMessage { subject, headers, body: body.into(), object })
    }

    fn body(&self, entry: &Entry) -> Result<Vec<u8>, MessageError> {
        let no_json = |problem| MessageError::NoJson { position: entry.position, problem };
        let mut body = Vec::with_capacity(entry.block.len() * 2 + 96);
        match self.body {
            Body::DagCbor => body.extend_from_slice(&entry.block),
            Body::DagJson => append_message_body(&entry.cid, &entry.block, &mut body).map_err(no_json)?,
            Body::Json => append_dag_json(&entry.block, &mut body).map_err(no_json)?,
        }
        Ok(body)
    }

    fn link(&self, cid: &str) -> Vec<u8> {
        format!(r#"{{"cid":{{"/":"{cid}"}},"object":{{"bucket":"{}","name":"{cid}"}}}}"#, self.bucket).into_bytes()
    }
}

impl Body {
    const fn content_type(self) -> &'static str {
        match self {
            Self::DagJson => "application/vnd.ipld.dag-json",
            Self::DagCbor => "application/vnd.ipld.dag-cbor",
            Self::Json => "application/json",
        }
    }
}

/// The value of a CloudEvents header: space, `"`, `%` and what is not printable ASCII is percent-encoded. So no value can
/// end its line, whatever a block says.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'%';
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// `00-{32 hexadecimal digits}-{16}-{2}` in lower case, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let all = part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        all.then_some(part)
    };
    let zeros = |part: &str| part.bytes().all(|b| b == b'0');
    let version = hex(2);
    let (trace, parent, flags) = (hex(32), hex(16), hex(2));
    version == Some("00")
        && trace.is_some_and(|id| !zeros(id))
        && parent.is_some_and(|id| !zeros(id))
        && flags.is_some()
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::events::{EventData, KeyEvent, LocationClosed};
    use crate::ipld_support::{ContentAddressedEvent, from_dag_json, parse_message_body};

    fn entry(reason: &str) -> Entry {
        let id = "01890a5d-ac96-774b-8000-000000000001";
        let data = LocationClosed { location_id: id.parse().unwrap(), reason: reason.parse().unwrap() };
        let event = KeyEvent {
            id: id.parse().unwrap(),
            data: EventData::from(data),
            occurred_at: "2026-01-31T09:30:00.000000Z".parse().unwrap(),
            actor: "system:test".parse().unwrap(),
            correlation_id: id.parse().unwrap(),
            causes: Vec::new(),
        };
        let event = ContentAddressedEvent::new(event).unwrap();
        let (aggregate, event_type) = ("location".to_owned(), "LocationClosed".to_owned());
        Entry { position: 17, cid: event.cid, aggregate, event_type, block: event.into_block() }
    }

    fn writer(change: impl FnOnce(&mut NatsConfig)) -> MessageWriter {
        let mut config = NatsConfig::default();
        change(&mut config);
        MessageWriter::new(&config, &"queue-1".parse().unwrap())
    }

    fn header<'m>(message: &'m EventMessage, name: &str) -> &'m str {
        message.headers.get(name).unwrap().as_str()
    }

    #[test]
    fn dag_json_by_default() {
        let entry = entry("moved");
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let message = writer(|_| {}).write(&entry, 1 << 20, Some(trace)).unwrap();
        assert_eq!(message.subject, "cim.keys.location.locationclosed");
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", &*entry.cid.to_string()),
            ("ce-source", "queue-1"),
            ("ce-type", "LocationClosed"),
            ("ce-subject", "location"),
            ("ce-time", "2026-01-31T09:30:00.000000Z"),
            ("ce-datacontenttype", "application/vnd.ipld.dag-json"),
            ("Cim-Position", "17"),
            ("traceparent", trace),
        ] {
            assert_eq!(header(&message, name), value, "{name}");
        }
        assert_eq!(message.headers.len(), 9);
        assert_eq!(parse_message_body(&message.body).unwrap(), (entry.cid, entry.block));
        assert_eq!(message.object, None);
    }

    #[test]
    fn other_bodies() {
        let entry = entry("moved");
        let block = writer(|c| c.payload = Payload::DagCbor).write(&entry, 1 << 20, None).unwrap();
        assert_eq!(block.body, entry.block);
        assert_eq!(header(&block, "ce-datacontenttype"), "application/vnd.ipld.dag-cbor");
        let json = writer(|c| c.enable_ipld = false).write(&entry, 1 << 20, None).unwrap();
        assert_eq!(from_dag_json(&json.body).unwrap(), entry.block);
        assert_eq!(header(&json, "ce-datacontenttype"), "application/json");
        assert_eq!(header(&json, "ce-id"), entry.cid.to_string(), "the protocol keeps it");
        let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(value["type"], "LocationClosed");
        assert!(value.get("cid").is_none());
    }

    #[test]
    fn what_is_too_large_is_linked() {
        let entry = entry(&"x".repeat(1_500));
        for change in [|_: &mut NatsConfig| {}, |c: &mut NatsConfig| c.enable_ipld = false] {
            let message = writer(change).write(&entry, 2_048, None).unwrap();
            let object = message.object.unwrap();
            assert_eq!((object.name, object.block), (entry.cid.to_string(), Bytes::from(entry.block.clone())));
            let value: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(value["cid"]["/"], entry.cid.to_string());
            assert_eq!(value["object"]["bucket"], "cim-keys-objects");
            assert_eq!(value["object"]["name"], entry.cid.to_string());
        }
        assert!(writer(|_| {}).write(&entry, 4_096, None).unwrap().object.is_none());
    }

    #[test]
    fn headers_fit_what_is_reckoned_for_them() {
        let entry = entry("x");
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let message = writer(|_| {}).write(&entry, 1 << 20, Some(trace)).unwrap();
        let headers: usize =
            message.headers.iter().map(|(name, values)| name.to_string().len() + values[0].as_str().len() + 4).sum();
        assert!(headers + 16 < 400 + RESERVE / 2, "{headers}");
    }

    #[test]
    fn hostile_texts_stay_on_their_line() {
        assert_eq!(encoded("a b\"c%d\r\nNats-Msg-Id: x ü"), "a%20b%22c%25d%0D%0ANats-Msg-Id:%20x%20%C3%BC");
        let mut damaged = entry("x");
        damaged.block.truncate(20);
        assert!(matches!(writer(|_| {}).write(&damaged, 1 << 20, None), Err(MessageError::Damaged { .. })));
        for bad in [
            "",
            "00",
            "00-0-0-0",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
