//! Messages read back from a stream: what [`MessageWriter`](super::MessageWriter) wrote, and nothing that it did not.
//!
//! A reader trusts nobody: the block has to be the one that the content identifier names, in canonical form, and every
//! header has to say what the block says.

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use cid::Cid;
use serde::Deserialize;

use super::{POSITION, RESTORED, encoded};
use crate::config::NatsConfig;
use crate::delivery::outbox::Source;
use crate::delivery::{Head, HeadError};
use crate::events;
use crate::ipld_support::{
    BlockError, EventBlock, FromJsonError, from_dag_json, parse_cid, parse_message_body, verify_block,
};
use crate::log::PublishedEvent;
use crate::text::{SubjectPrefix, visible};

/// A message as a stream has it.
#[derive(Debug, Clone)]
pub struct StreamMessage {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; empty where only headers were asked for.
    pub body: Bytes,
}

impl StreamMessage {
    /// The value of a header, whose name is matched without regard to case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let exact = self.headers.get(name);
        let other = || {
            let found = self.headers.iter().find(|(key, _)| AsRef::<str>::as_ref(key).eq_ignore_ascii_case(name));
            found.and_then(|(_, values)| values.first())
        };
        exact.or_else(other).map(HeaderValue::as_str)
    }
}

/// The headers that the reader of events looks for, in each message.
const HEADERS: [&str; 8] =
    ["ce-source", POSITION, "ce-id", "ce-datacontenttype", "ce-type", "ce-time", "ce-subject", RESTORED];

/// Their values, found in one pass: a look-up each costs a hash of its name, and one of what is missing another pass.
#[derive(Debug, Clone, Copy)]
struct Headers<'a>([Option<&'a str>; HEADERS.len()]);

impl<'a> Headers<'a> {
    fn of(message: &'a StreamMessage) -> Self {
        let mut found = [None; HEADERS.len()];
        for (name, values) in message.headers.iter() {
            let name: &str = name.as_ref();
            let Some(index) = HEADERS.iter().position(|wanted| name.eq_ignore_ascii_case(wanted)) else { continue };
            // One that is written exactly so counts before another.
            if let Some(value) = found.get_mut(index)
                && (value.is_none() || HEADERS[index] == name)
            {
                *value = values.first().map(HeaderValue::as_str);
            }
        }
        Self(found)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let index = HEADERS.iter().position(|wanted| *wanted == name)?;
        self.0[index]
    }
}

/// What a message is to a reader of one source.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// An event of the source, verified.
    Event(PublishedEvent),
    /// An event of the source whose block lies in the object store: [`MessageReader::linked`] goes on with it.
    Linked(LinkedEvent),
    /// A head of the source.
    Head {
        /// What it says.
        head: Box<Head>,
        /// Whether it closes a batch that put back what the stream had lost.
        restored: bool,
    },
    /// Another source's, or none of ours.
    Other,
}

/// An event whose message carries only a link.
#[derive(Debug, Clone)]
pub struct LinkedEvent {
    /// The bucket that its message names.
    pub bucket: String,
    /// The object's name.
    pub name: String,
    place: Place,
    message: StreamMessage,
}

/// Why a message under a source's name is none of its events or heads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {sequence} of the stream: {problem}")]
pub struct BadMessage {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The position that it claims.
    pub position: Option<u64>,
    /// The content identifier that it claims.
    pub cid: Option<Box<Cid>>,
    /// What is wrong with it.
    pub problem: MessageProblem,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageProblem {
    /// A header is absent or does not read.
    #[error("its header {0} is missing, or cannot be parsed")]
    Header(&'static str),
    /// The body is not what its headers say.
    #[error("its body is no event: {0}")]
    Body(String),
    /// The body names another content identifier than the header.
    #[error("its body names {0}, and its header another")]
    OtherCid(Box<Cid>),
    /// The block is not the one that the content identifier names.
    #[error("its content is not the one that its content identifier names: it was changed")]
    Changed,
    /// The block is no event in canonical form.
    #[error("its content is no event in canonical form: {0}")]
    Block(#[from] BlockError),
    /// A header says something else than the event.
    #[error("its header {0} says something else than the event itself")]
    Disagrees(&'static str),
    /// It stands under another subject than its type has.
    #[error("it stands under the subject {0}, which is not that of its type")]
    Subject(String),
    /// A message on the head subject is no head.
    #[error("it is no head: {0}")]
    Head(#[from] HeadError),
    /// The object that it links to can't be had.
    #[error("the object that it links to can't be had: {0}")]
    Object(String),
}

/// Reads the messages of one source under one configuration.
#[derive(Debug, Clone)]
pub struct MessageReader {
    prefix: SubjectPrefix,
    events: String,
    head_subject: String,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    cid: Cid,
}

impl MessageReader {
    /// Makes a reader.
    #[must_use]
    pub fn new(config: &NatsConfig, source: &Source) -> Self {
        Self {
            prefix: config.subject_prefix.clone(),
            events: format!("{}.", config.subject_prefix),
            head_subject: format!("{}.{source}", config.head_subject),
            source: source.clone(),
        }
    }

    /// The subject of the source's heads.
    #[must_use]
    pub fn head_subject(&self) -> &str {
        &self.head_subject
    }

    /// Reads a message, and verifies it as far as it can be by itself.
    ///
    /// # Errors
    /// When it claims to be of this source and does not hold.
    pub fn read(&self, message: &StreamMessage) -> Result<Incoming, BadMessage> {
        if message.subject == self.head_subject {
            let restored = message.header(RESTORED) == Some("true");
            let head = Head::parse(&message.body, &self.source).map_err(|error| bad(message, None, error.into()))?;
            return Ok(Incoming::Head { head: Box::new(head), restored });
        }
        let Some((place, headers)) = self.place(message)? else { return Ok(Incoming::Other) };
        let fail = |problem| bad(message, Some(place), problem);
        let kind =
            headers.get("ce-datacontenttype").ok_or_else(|| fail(MessageProblem::Header("ce-datacontenttype")))?;
        let block = match kind {
            "application/vnd.ipld.dag-cbor" => message.body.to_vec(),
            "application/json" => from_dag_json(&message.body).map_err(|error| fail(body(&error)))?,
            "application/vnd.ipld.dag-json" => match parse_message_body(&message.body) {
                Ok((cid, block)) if cid == place.cid => block,
                Ok((cid, _)) => return Err(fail(MessageProblem::OtherCid(Box::new(cid)))),
                Err(error) => match linked(&message.body) {
                    Some((cid, bucket, name)) if cid == place.cid.to_string() && name == cid => {
                        return Ok(Incoming::Linked(LinkedEvent { bucket, name, place, message: message.clone() }));
                    }
                    _ => return Err(fail(body(&error))),
                },
            },
            _ => return Err(fail(MessageProblem::Header("ce-datacontenttype"))),
        };
        self.event(message, &headers, place, block).map(Incoming::Event)
    }

    /// Goes on with the event of a link, once its object was fetched.
    ///
    /// # Errors
    /// When the object is missing, or is not the event that the message names.
    pub fn linked(&self, linked: LinkedEvent, object: Result<Vec<u8>, String>) -> Result<PublishedEvent, BadMessage> {
        let fail = |problem| bad(&linked.message, Some(linked.place), problem);
        let block = object.map_err(|text| fail(MessageProblem::Object(visible(&text).into_owned())))?;
        self.event(&linked.message, &Headers::of(&linked.message), linked.place, block)
    }

    /// Where the headers say that an event of this source stands; nothing for what is none.
    ///
    /// # Errors
    /// When it carries the source's name without a position or a content identifier.
    pub fn position(&self, message: &StreamMessage) -> Result<Option<(u64, Cid)>, BadMessage> {
        Ok(self.place(message)?.map(|(place, _)| (place.position, place.cid)))
    }

    fn place<'m>(&self, message: &'m StreamMessage) -> Result<Option<(Place, Headers<'m>)>, BadMessage> {
        if !message.subject.starts_with(&self.events) {
            return Ok(None);
        }
        let headers = Headers::of(message);
        if headers.get("ce-source") != Some(self.source.as_str()) {
            return Ok(None);
        }
        let position = headers.get(POSITION).and_then(|text| text.parse().ok());
        let position = position.filter(|position| (1..1 << 53).contains(position));
        let position = position.ok_or_else(|| bad(message, None, MessageProblem::Header(POSITION)))?;
        let cid = headers.get("ce-id").and_then(|text| parse_cid(text).ok());
        match cid {
            Some(cid) => Ok(Some((Place { position, cid }, headers))),
            None => {
                let mut bad = bad(message, None, MessageProblem::Header("ce-id"));
                bad.position = Some(position);
                Err(bad)
            }
        }
    }

    fn event(
        &self,
        message: &StreamMessage,
        headers: &Headers<'_>,
        place: Place,
        block: Vec<u8>,
    ) -> Result<PublishedEvent, BadMessage> {
        let fail = |problem| bad(message, Some(place), problem);
        if !verify_block(&block, &place.cid) {
            return Err(fail(MessageProblem::Changed));
        }
        let block = EventBlock::parse(block).map_err(|error| fail(error.into()))?;
        let envelope = block.envelope();
        for (name, value) in [("ce-type", envelope.event_type), ("ce-time", envelope.occurred_at)] {
            let said = headers.get(name).ok_or_else(|| fail(MessageProblem::Header(name)))?;
            if said != value && said != encoded(value) {
                return Err(fail(MessageProblem::Disagrees(name)));
            }
        }
        let aggregate = headers.get("ce-subject").and_then(|text| text.parse::<SubjectPrefix>().ok());
        let aggregate = aggregate.ok_or_else(|| fail(MessageProblem::Header("ce-subject")))?;
        if events::subject(&self.prefix, aggregate.as_str(), envelope.event_type) != message.subject {
            return Err(fail(MessageProblem::Subject(visible(&message.subject).into_owned())));
        }
        let known = events::EventData::KNOWN.iter().find(|(_, name, _)| *name == envelope.event_type);
        if known.is_some_and(|(known, _, _)| known.as_str() != aggregate.as_str()) {
            return Err(fail(MessageProblem::Disagrees("ce-subject")));
        }
        Ok(PublishedEvent {
            sequence: message.sequence,
            position: place.position,
            cid: place.cid,
            aggregate,
            restored: headers.get(RESTORED) == Some("true"),
            block,
        })
    }
}

fn bad(message: &StreamMessage, place: Option<Place>, problem: MessageProblem) -> BadMessage {
    BadMessage {
        sequence: message.sequence,
        position: place.map(|place| place.position),
        cid: place.map(|place| Box::new(place.cid)),
        problem,
    }
}

fn body(error: &FromJsonError) -> MessageProblem {
    MessageProblem::Body(error.to_string())
}

/// `{"cid":{"/":"bafy…"},"object":{"bucket":"…","name":"bafy…"}}`: the content identifier, the bucket, the name.
fn linked(body: &[u8]) -> Option<(String, String, String)> {
    #[derive(Deserialize)]
    struct Body {
        cid: Cid,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Cid {
        #[serde(rename = "/")]
        text: String,
    }
    #[derive(Deserialize)]
    struct Object {
        bucket: String,
        name: String,
    }
    let Body { cid, object } = serde_json::from_slice(body).ok()?;
    Some((cid.text, object.bucket, object.name))
}
