//! The strict reader: whether bytes are the one canonical encoding of some value of the IPLD data model.
//!
//! It judges the data model and no Rust type, allocates nothing, and is run before any typed decoding: what a type would
//! skip is checked as everything else.

use super::cids;
use super::limits::{MAX_BLOCK_LEN, MAX_DEPTH, MAX_EVENT_INTEGER};
use super::problem::{BlockError, Problem};
use super::read::{DOUBLE, FALSE, NULL, Reader, TRUE};

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
