//! One line of the queue file: what it may say, and how it is checked.
//!
//! Every line is a JSON object whose last member is `"crc"`, the CRC-32 (IEEE) in eight hexadecimal digits of all bytes
//! of the line before `,"crc":`. Lines are written here only, so they are read by their exact layout.

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::delivery::outbox::{Cursor, Source, StreamKey};
use crate::ids::EventId;
use crate::time::Timestamp;

/// The version of the format that is written and read.
pub(super) const VERSION: u32 = 1;

/// The longest line that is read: an event of the longest block, every byte of it escaped, and what stands around it.
pub(super) const MAX_LINE: usize = 6 * crate::ipld_support::MAX_BLOCK_LEN + 4096;

const CRC_KEY: &[u8] = b",\"crc\":\"";
const CRC_END: &[u8] = b"\"}\n";
const SEAL: usize = CRC_KEY.len() + 8 + CRC_END.len();

/// The first line: what file this is, who publishes from it, and what it has forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    #[serde(rename = "cim-keys-queue")]
    pub(super) version: u32,
    pub(super) source: Source,
    pub(super) base: Base,
}

/// The last position that was published and forgotten, and what stood there; 0 and nothing in a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) position: u64,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "optional_link")]
    pub(super) cid: Option<Cid>,
}

/// An event as its line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventLine<'a> {
    pub(super) position: u64,
    pub(super) id: EventId,
    pub(super) cid: Cid,
    pub(super) aggregate: &'a str,
    pub(super) event_type: &'a str,
    /// Where the line stands among those that were appended together, from 1, and how many these are.
    pub(super) part: (u32, u32),
    /// DAG-JSON.
    pub(super) event: &'a [u8],
}

/// Any line but the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Event(EventLine<'a>),
    Note(Note),
}

/// What happened to events after they were appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Note {
    /// How far a stream is.
    Cursor { account: String, stream: String, created: String, position: u64, head_sequence: u64 },
    /// An event was parked.
    Park {
        position: u64,
        #[serde(with = "link")]
        cid: Cid,
        reason: String,
        since: Timestamp,
    },
    /// A parked event is in the stream after all.
    Unpark { position: u64 },
    /// A parked event shall be tried again, or no longer.
    Retry { position: u64, wanted: bool },
    /// An event that was published and forgotten, so that offering it again is noticed.
    Seen {
        position: u64,
        id: EventId,
        #[serde(with = "link")]
        cid: Cid,
    },
}

impl Note {
    pub(super) fn cursor(stream: &StreamKey, cursor: Cursor) -> Self {
        Self::Cursor {
            account: stream.account.clone(),
            stream: stream.stream.clone(),
            created: stream.created.clone(),
            position: cursor.position,
            head_sequence: cursor.head_sequence,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        seal_json(self, out);
    }
}

impl Header {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        seal_json(self, out);
    }

    /// Reads the first line; the error says what is wrong.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct AnyVersion {
            #[serde(rename = "cim-keys-queue")]
            version: u32,
        }
        let any: AnyVersion =
            serde_json::from_slice(line).map_err(|_| "this is no queue file of cim-keys".to_owned())?;
        if any.version != VERSION {
            return Err(format!("its format is version {}, and this release reads version {VERSION}", any.version));
        }
        let body = unseal(line).ok_or("its first line does not match its checksum")?;
        parse_json(body).ok_or_else(|| "its first line is incomplete".into())
    }
}

impl EventLine<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let Self { position, id, cid, aggregate, event_type, part, .. } = self;
        let prefix = format!(
            r#"{{"position":{position},"id":"{id}","cid":{{"/":"{cid}"}},"aggregate":"{aggregate}","type":"{event_type}","part":[{},{}],"event":"#,
            part.0, part.1
        );
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.event);
        seal(out, start);
    }
}

impl<'a> Record<'a> {
    /// Reads a whole line with its line feed; `None` if it is not exactly what is written here.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let body = unseal(line)?;
        if body.starts_with(br#"{"position":"#) {
            read_event(body).map(Self::Event)
        } else {
            parse_json(body).map(Self::Note)
        }
    }
}

fn read_event(body: &[u8]) -> Option<EventLine<'_>> {
    let mut rest = Rest(body);
    rest.skip(r#"{"position":"#)?;
    let position = rest.number()?;
    rest.skip(r#","id":""#)?;
    let id = rest.quoted()?.parse().ok()?;
    rest.skip(r#","cid":{"/":""#)?;
    let cid = crate::ipld_support::parse_cid(rest.quoted()?).ok()?;
    rest.skip(r#"},"aggregate":""#)?;
    let aggregate = rest.quoted()?;
    rest.skip(r#","type":""#)?;
    let event_type = rest.quoted()?;
    rest.skip(r#","part":["#)?;
    let first = u32::try_from(rest.number()?).ok()?;
    rest.skip(",")?;
    let last = u32::try_from(rest.number()?).ok()?;
    rest.skip(r#"],"event":"#)?;
    (1 <= first && first <= last).then_some(())?;
    Some(EventLine { position, id, cid, aggregate, event_type, part: (first, last), event: rest.0 })
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, literal: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(literal.as_bytes())?;
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Up to the next quotation mark, which is skipped. Nothing that is quoted here has an escape.
    fn quoted(&mut self) -> Option<&'a str> {
        let length = self.0.iter().position(|&b| b == b'"')?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }
}

fn seal_json<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to memory does not fail, and these types have no key that is not a string.
    serde_json::to_writer(&mut *out, value).expect("plain structs serialise into memory");
    out.pop();
    seal(out, start);
}

/// Ends the line that began at `start` with its checksum.
fn seal(out: &mut Vec<u8>, start: usize) {
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(CRC_KEY);
    out.extend_from_slice(format!("{crc:08x}").as_bytes());
    out.extend_from_slice(CRC_END);
}

/// The line before its checksum, if that is right.
fn unseal(line: &[u8]) -> Option<&[u8]> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let crc = seal.strip_prefix(CRC_KEY)?.strip_suffix(CRC_END)?;
    (crc == format!("{:08x}", crc32fast::hash(body)).as_bytes()).then_some(body)
}

fn parse_json<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    let mut whole = Vec::with_capacity(body.len() + 1);
    whole.extend_from_slice(body);
    whole.push(b'}');
    serde_json::from_slice(&whole).ok()
}

/// A link as DAG-JSON writes it: `{"/":"bafy…"}`.
mod link {
    use cid::Cid;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Link {
        #[serde(rename = "/")]
        cid: String,
    }

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        Link { cid: cid.to_string() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        crate::ipld_support::parse_cid(&Link::deserialize(deserializer)?.cid).map_err(D::Error::custom)
    }
}

mod optional_link {
    use cid::Cid;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(cid: &Option<Cid>, serializer: S) -> Result<S::Ok, S::Error> {
        match cid {
            Some(cid) => super::link::serialize(cid, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cid>, D::Error> {
        super::link::deserialize(deserializer).map(Some)
    }
}
