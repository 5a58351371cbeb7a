//! The strict reader: whether bytes are the one canonical encoding of some value of the IPLD data model.
//!
//! It judges the data model and no Rust type, allocates nothing, and is run before any typed decoding: what a type would
//! skip is checked as everything else.

use super::cids;
use super::limits::{MAX_BLOCK_LEN, MAX_DEPTH, MAX_EVENT_INTEGER};
use super::read::{DOUBLE, FALSE, NULL, Reader, TRUE};

/// Where and why bytes are not a canonical block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical block: at byte {offset}, {problem}")]
pub struct BlockError {
    /// The offset of the offending item, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What makes bytes something else than a canonical block. The clauses are of the DAG-CBOR specification's "Strictness".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value: a block holds exactly one")]
    Trailing,
    /// A head is longer than it need be.
    #[error("an integer or a length is not in its shortest form")]
    NotMinimal,
    /// An item of indefinite length.
    #[error("an item has an indefinite length")]
    Indefinite,
    /// A simple value other than false, true and null, a float that is not 64 bits wide, or a reserved head.
    #[error("a simple value other than false, true and null, a float shorter than 64 bits, or a reserved head")]
    Reserved,
    /// A float that is infinite or not a number.
    #[error("a float is infinite or not a number")]
    NotFinite,
    /// Negative zero, whose encoding is that of zero.
    #[error("a float is negative zero")]
    NegativeZero,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A map key that is no string.
    #[error("a map key is not a string")]
    KeyNotString,
    /// A map key that does not sort after the one before it, or is the same.
    #[error("a map key does not sort after the one before it: keys are unique, shorter ones first, then bytewise")]
    KeyOrder,
    /// A tag other than 42.
    #[error("a tag other than 42 (a link)")]
    Tag,
    /// Tag 42 around something that is not a content identifier.
    #[error("a link is not a content identifier, or has bytes after it")]
    Link,
    /// More levels than [`MAX_DEPTH`].
    #[error("it nests deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More bytes than [`MAX_BLOCK_LEN`].
    #[error("it is longer than {MAX_BLOCK_LEN} bytes")]
    TooLong,
    /// A float, in an event.
    #[error("events hold no floats")]
    EventFloat,
    /// A null, in an event.
    #[error("events hold no null: what is absent is left out")]
    EventNull,
    /// An integer beyond 2^53-1, in an event.
    #[error("events hold no integer beyond 2^53-1")]
    EventInteger,
    /// The key `/`, in an event.
    #[error("events hold no map key \"/\": DAG-JSON cannot carry it")]
    EventKey,
    /// A link of another version, codec or hash, in an event.
    #[error("links of events are CIDv1, dag-cbor or raw, sha2-256")]
    EventLink,
    /// The value is well-formed, but something else is needed here.
    #[error("{0} is needed")]
    Expected(&'static str),
    /// An event lacks one of its fields.
    #[error("the event lacks its field \"{0}\"")]
    Missing(&'static str),
}

/// Whether `bytes` are the canonical DAG-CBOR encoding of exactly one value.
///
/// # Errors
/// See [`BlockError`].
pub fn validate(bytes: &[u8]) -> Result<(), BlockError> {
    whole::<false>(bytes)
}

/// Whether `bytes` are canonical ([`validate`]) and hold nothing that events do not hold: no float, no null, no integer
/// beyond ±(2^53-1), no map key `/`, and only links that are CIDv1, dag-cbor or raw, sha2-256.
///
/// # Errors
/// See [`BlockError`].
pub fn validate_event(bytes: &[u8]) -> Result<(), BlockError> {
    whole::<true>(bytes)
}

fn whole<const EVENT: bool>(bytes: &[u8]) -> Result<(), BlockError> {
    let mut reader = Reader::new(bytes);
    if bytes.len() > MAX_BLOCK_LEN {
        return Err(reader.error(Problem::TooLong));
    }
    value::<EVENT>(&mut reader, 0)?;
    if reader.at == bytes.len() { Ok(()) } else { Err(reader.error(Problem::Trailing)) }
}

/// Checks one value and leaves the reader behind it.
pub(super) fn value<const EVENT: bool>(reader: &mut Reader<'_>, depth: usize) -> Result<(), BlockError> {
    let start = reader.at;
    let fail = |problem| Err(BlockError { offset: start, problem });
    let (major, info, argument) = reader.head()?;
    match major {
        0 | 1 => {
            // The argument of a negative integer is its magnitude less one.
            if EVENT && argument > MAX_EVENT_INTEGER - u64::from(major) {
                return fail(Problem::EventInteger);
            }
        }
        2 => {
            reader.run(argument)?;
        }
        3 => {
            reader.utf8_of(argument)?;
        }
        4 => {
            if depth >= MAX_DEPTH {
                return fail(Problem::Depth);
            }
            for _ in 0..argument {
                value::<EVENT>(reader, depth + 1)?;
            }
        }
        5 => {
            if depth >= MAX_DEPTH {
                return fail(Problem::Depth);
            }
            let mut last = None;
            for _ in 0..argument {
                last = Some(key::<EVENT>(reader, last)?);
                value::<EVENT>(reader, depth + 1)?;
            }
        }
        6 => {
            if argument != 42 {
                return fail(Problem::Tag);
            }
            let cid = link(reader)?;
            if EVENT && !cids::is_event_link(cid) {
                return fail(Problem::EventLink);
            }
        }
        _ => match info {
            FALSE | TRUE => {}
            NULL if EVENT => return fail(Problem::EventNull),
            NULL => {}
            DOUBLE if EVENT => return fail(Problem::EventFloat),
            DOUBLE => {
                let float = f64::from_bits(argument);
                if !float.is_finite() {
                    return fail(Problem::NotFinite);
                }
                if float == 0.0 && float.is_sign_negative() {
                    return fail(Problem::NegativeZero);
                }
            }
            _ => return fail(Problem::Reserved),
        },
    }
    Ok(())
}

/// Checks a map's next key, which must sort after `last`.
#[inline]
pub(super) fn key<'a, const EVENT: bool>(
    reader: &mut Reader<'a>,
    last: Option<&'a [u8]>,
) -> Result<&'a [u8], BlockError> {
    let start = reader.at;
    let fail = |problem| Err(BlockError { offset: start, problem });
    let (major, _, length) = reader.head()?;
    if major != 3 {
        return fail(Problem::KeyNotString);
    }
    let key = reader.utf8_of(length)?;
    if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
        return fail(Problem::KeyOrder);
    }
    if EVENT && key == b"/" {
        return fail(Problem::EventKey);
    }
    Ok(key)
}

/// The content identifier behind a tag 42 that was just read.
pub(super) fn link<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], BlockError> {
    let start = reader.at;
    let fail = || BlockError { offset: start, problem: Problem::Link };
    let (major, _, length) = reader.head()?;
    if major != 2 {
        return Err(fail());
    }
    match reader.run(length)?.split_first() {
        Some((0, cid)) if cids::is_cid(cid) => Ok(cid),
        _ => Err(fail()),
    }
}
