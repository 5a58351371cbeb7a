//! The outer fields of an event, read from its block without copying anything.

use std::ops::{Deref, Range};

use cid::Cid;

use super::limits::{MAX_BLOCK_LEN, MAX_EVENT_INTEGER};
use super::problem::{BlockError, Problem};
use super::read::Reader;
use super::validate;

/// An event's outer fields as they stand in its block, and `data` as the bytes it is.
///
/// The log, the queue and the publisher need no more than this: `data` may be of a type that this release does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The event's id.
    pub id: &'a str,
    /// The canonical bytes of the event's own data, a map.
    pub data: &'a [u8],
    /// The event's type: `KeyGenerated`.
    pub event_type: &'a str,
    /// Who acted.
    pub actor: &'a str,
    /// The events that this one follows from.
    pub causes: Causes<'a>,
    /// The version of the type's data.
    pub schema: u32,
    /// When, as RFC 3339 with six decimals.
    pub occurred_at: &'a str,
    /// What the events of one command share.
    pub correlation_id: &'a str,
}

impl<'a> Envelope<'a> {
    /// Reads and validates a whole block: it is canonical, keeps the rules of events, and has every field that an event
    /// has. What the texts say is not judged here; fields beside these are allowed.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn parse(block: &'a [u8]) -> Result<Self, BlockError> {
        let mut reader = Reader::new(block);
        if block.len() > MAX_BLOCK_LEN {
            return Err(reader.error(Problem::TooLong));
        }
        let (5, _, length) = reader.head()? else { return Err(expected(0, "a map")) };
        let mut fields = Fields::default();
        let mut last = None;
        for _ in 0..length {
            let key = validate::key::<true>(&mut reader, last)?;
            last = Some(key);
            fields.read(key, &mut reader)?;
        }
        if reader.at != block.len() {
            return Err(reader.error(Problem::Trailing));
        }
        let missing = |name| move || BlockError { offset: 0, problem: Problem::Missing(name) };
        Ok(Self {
            id: fields.id.ok_or_else(missing("id"))?,
            data: fields.data.ok_or_else(missing("data"))?,
            event_type: fields.event_type.ok_or_else(missing("type"))?,
            actor: fields.actor.ok_or_else(missing("actor"))?,
            causes: fields.causes.ok_or_else(missing("causes"))?,
            schema: fields.schema.ok_or_else(missing("schema"))?,
            occurred_at: fields.occurred_at.ok_or_else(missing("occurred_at"))?,
            correlation_id: fields.correlation_id.ok_or_else(missing("correlation_id"))?,
        })
    }
}

const fn expected(offset: usize, what: &'static str) -> BlockError {
    BlockError { offset, problem: Problem::Expected(what) }
}

#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    data: Option<&'a [u8]>,
    event_type: Option<&'a str>,
    actor: Option<&'a str>,
    causes: Option<Causes<'a>>,
    schema: Option<u32>,
    occurred_at: Option<&'a str>,
    correlation_id: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, key: &[u8], reader: &mut Reader<'a>) -> Result<(), BlockError> {
        let start = reader.at;
        match key {
            b"id" => self.id = Some(reader.text()?),
            b"type" => self.event_type = Some(reader.text()?),
            b"actor" => self.actor = Some(reader.text()?),
            b"occurred_at" => self.occurred_at = Some(reader.text()?),
            b"correlation_id" => self.correlation_id = Some(reader.text()?),
            b"schema" => match reader.head()? {
                (0, _, schema @ 0..=MAX_EVENT_INTEGER) => {
                    let schema = u32::try_from(schema).map_err(|_| expected(start, "a schema below 2^32"))?;
                    self.schema = Some(schema);
                }
                _ => return Err(expected(start, "a schema, a positive integer,")),
            },
            b"causes" => {
                let (4, _, count) = reader.head()? else { return Err(expected(start, "a list of links")) };
                let first = reader.at;
                for _ in 0..count {
                    if reader.peek()? >> 5 != 6 {
                        return Err(expected(reader.at, "a link"));
                    }
                    validate::value::<true>(reader, 1)?;
                }
                let span = |from| reader.bytes.get(from..reader.at).unwrap_or_default();
                self.causes = Some(Causes { list: span(start), links: span(first) });
            }
            b"data" => {
                if reader.peek()? >> 5 != 5 {
                    return Err(expected(start, "a map"));
                }
                validate::value::<true>(reader, 1)?;
                self.data = reader.bytes.get(start..reader.at);
            }
            _ => validate::value::<true>(reader, 1)?,
        }
        Ok(())
    }
}

/// An event's block that was read once: its outer fields are at hand without reading it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBlock {
    bytes: Vec<u8>,
    /// Where the fields stand: id, data, type, actor, the list of causes, its items, time, correlation.
    fields: [Range<u32>; 8],
    schema: u32,
}

impl EventBlock {
    /// Reads and validates a block, as [`Envelope::parse`] does.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BlockError> {
        let envelope = Envelope::parse(&bytes)?;
        let base = bytes.as_ptr() as usize;
        let place = |part: &[u8]| {
            // A block is of a MiB at most.
            let start = (part.as_ptr() as usize - base) as u32;
            start..start + part.len() as u32
        };
        let Envelope { id, data, event_type, actor, causes, schema, occurred_at, correlation_id } = envelope;
        let parts: [&[u8]; 8] = [
            id.as_bytes(),
            data,
            event_type.as_bytes(),
            actor.as_bytes(),
            causes.list,
            causes.links,
            occurred_at.as_bytes(),
            correlation_id.as_bytes(),
        ];
        Ok(Self { fields: parts.map(place), schema, bytes })
    }

    /// Its outer fields.
    #[must_use]
    pub fn envelope(&self) -> Envelope<'_> {
        let [id, data, event_type, actor, list, links, occurred_at, correlation_id] = self
            .fields
            .each_ref()
            .map(|place| self.bytes.get(place.start as usize..place.end as usize).unwrap_or_default());
        // They were read as text before.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        Envelope {
            id: text(id),
            data,
            event_type: text(event_type),
            actor: text(actor),
            causes: Causes { list, links },
            schema: self.schema,
            occurred_at: text(occurred_at),
            correlation_id: text(correlation_id),
        }
    }
}

impl Deref for EventBlock {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The links of an event to the events that it follows from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Causes<'a> {
    /// The list as it stands in the block.
    list: &'a [u8],
    /// Its items only.
    links: &'a [u8],
}

/// Tag 42, a byte string of 37 bytes, the zero byte in front of the CID.
const LINK_HEAD: usize = 5;
const LINK_LEN: usize = LINK_HEAD + 36;

impl<'a> Causes<'a> {
    /// The canonical bytes of the list.
    pub(super) const fn list(&self) -> &'a [u8] {
        self.list
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.links.len() / LINK_LEN
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The content identifiers, in the order of the event.
    pub fn iter(&self) -> impl Iterator<Item = Cid> + use<'a> {
        // Every link of an event has the same length, and was validated.
        self.links.chunks_exact(LINK_LEN).filter_map(|link| Cid::try_from(link.get(LINK_HEAD..)?).ok())
    }
}

impl std::fmt::Debug for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ipld_support::from_dag_json;

    #[test]
    fn a_block_that_was_read_once_shows_the_same_fields() {
        let link = r#"{"/":"bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}"#;
        for causes in ["", link, &format!("{link},{link}")] {
            let json = format!(
                r#"{{"actor":"system:t","causes":[{causes}],"correlation_id":"c","data":{{"a":1}},"id":"i","more":true,
                "occurred_at":"2026-01-31T09:30:00.000000Z","schema":7,"type":"Thing"}}"#
            );
            let bytes = from_dag_json(json.as_bytes()).unwrap();
            let block = EventBlock::parse(bytes.clone()).unwrap();
            // Wherever it is moved to.
            let moved = Box::new(block.clone());
            assert_eq!(moved.envelope(), Envelope::parse(&bytes).unwrap());
            assert_eq!(moved[..], bytes);
            assert!(EventBlock::parse(bytes[1..].to_vec()).is_err());
        }
    }
}
