//! Blocks as DAG-JSON: what the messages carry and the file queue keeps.
//!
//! The text is in the strict form of the DAG-JSON specification: no space, keys in bytewise order, links as
//! `{"/":"bafy…"}`, bytes as `{"/":{"bytes":"…"}}` in base64 without padding.

use std::cell::Cell;

use cid::Cid;
use cid::multibase::Base;

use super::cids::write_cid;
use super::limits::{MAX_BLOCK_LEN, MAX_DEPTH};
use super::problem::{BlockError, Problem};
use super::read::{DOUBLE, FALSE, NULL, Reader, TRUE};
use super::sort::{Entry, sort_entries};
use super::validate;

/// Why a block has no DAG-JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToJsonError {
    /// The bytes are damaged, or were never a canonical block: get the block again from where it came.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A map has the key `/`, which DAG-JSON keeps for links and bytes.
    #[error("at byte {0}, a map has the key \"/\", which DAG-JSON cannot carry: take the block itself")]
    ReservedKey(usize),
}

/// The DAG-JSON text of a block, which is validated on the way.
///
/// # Errors
/// See [`ToJsonError`].
pub fn to_dag_json(block: &[u8]) -> Result<String, ToJsonError> {
    let mut out = Vec::with_capacity(block.len() * 2);
    append_dag_json(block, &mut out)?;
    // Every string of a block was checked, and all else that is written is ASCII.
    String::from_utf8(out).map_err(|_| BlockError { offset: 0, problem: Problem::NotUtf8 }.into())
}

/// Appends the DAG-JSON text of a block to a buffer. On an error the buffer is as it was.
///
/// # Errors
/// See [`ToJsonError`].
pub fn append_dag_json(block: &[u8], out: &mut Vec<u8>) -> Result<(), ToJsonError> {
    let before = out.len();
    let mut reader = Reader::new(block);
    if block.len() > MAX_BLOCK_LEN {
        return Err(reader.error(Problem::TooLong).into());
    }
    // The entries' offsets have 32 bits: behind what fills most of them, the text is made in a buffer of its own.
    if before > 1 << 31 {
        out.extend(to_dag_json(block)?.into_bytes());
        return Ok(());
    }
    thread_local! {
        static KEPT: Cell<(Vec<Entry>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) };
    }
    let (mut entries, scratch) = KEPT.take();
    entries.clear();
    let mut writer = Writer { out, entries, scratch };
    let mut result = writer.value(&mut reader, 0);
    if writer.scratch.capacity() <= 64 << 10 && writer.entries.capacity() <= 4 << 10 {
        KEPT.set((writer.entries, writer.scratch));
    }
    if result.is_ok() && reader.at != block.len() {
        result = Err(reader.error(Problem::Trailing).into());
    }
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Appends the body of an event's message: `{"cid":{"/":"bafy…"},"event":{…}}`. On an error the buffer is as it was.
///
/// # Errors
/// See [`ToJsonError`].
pub fn append_message_body(cid: &Cid, block: &[u8], out: &mut Vec<u8>) -> Result<(), ToJsonError> {
    let before = out.len();
    out.extend_from_slice(b"{\"cid\":{\"/\":\"");
    write_cid(&cid.to_bytes(), out);
    out.extend_from_slice(b"\"},\"event\":");
    let result = append_dag_json(block, out);
    match result {
        Ok(()) => out.push(b'}'),
        Err(_) => out.truncate(before),
    }
    result
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// The entries of all maps that are open; their keys are in the block.
    entries: Vec<Entry>,
    scratch: Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), ToJsonError> {
        let start = reader.at;
        let fail = |problem| Err(ToJsonError::Block(BlockError { offset: start, problem }));
        let (major, info, argument) = reader.head()?;
        match major {
            0 => self.integer(argument.into()),
            1 => self.integer(!i128::from(argument)),
            2 => {
                let bytes = reader.run(argument)?;
                self.out.extend_from_slice(b"{\"/\":{\"bytes\":\"");
                self.out.extend_from_slice(Base::Base64.encode(bytes).as_bytes());
                self.out.extend_from_slice(b"\"}}");
            }
            3 => {
                let text = reader.utf8_of(argument)?;
                self.string(text);
            }
            4 | 5 if depth >= MAX_DEPTH => return fail(Problem::Depth),
            4 => {
                self.out.push(b'[');
                for index in 0..argument {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    self.value(reader, depth + 1)?;
                }
                self.out.push(b']');
            }
            5 => self.map(reader, argument, depth)?,
            6 if argument == 42 => {
                let cid = validate::link(reader)?;
                self.out.extend_from_slice(b"{\"/\":\"");
                write_cid(cid, self.out);
                self.out.extend_from_slice(b"\"}");
            }
            6 => return fail(Problem::Tag),
            _ => match info {
                FALSE => self.out.extend_from_slice(b"false"),
                TRUE => self.out.extend_from_slice(b"true"),
                NULL => self.out.extend_from_slice(b"null"),
                DOUBLE => {
                    // The rules for floats are the validator's.
                    validate::value::<false>(&mut Reader { bytes: reader.bytes, at: start }, depth)?;
                    let text = serde_json::to_vec(&f64::from_bits(argument));
                    self.out.extend_from_slice(&text.unwrap_or_default());
                }
                _ => return fail(Problem::Reserved),
            },
        }
        Ok(())
    }

    fn map(&mut self, reader: &mut Reader<'_>, length: u64, depth: usize) -> Result<(), ToJsonError> {
        self.out.push(b'{');
        let first = self.entries.len();
        let mut last = None;
        let mut sorted = true;
        for _ in 0..length {
            let start = reader.at;
            let key = validate::key::<false>(reader, last)?;
            if key == b"/" {
                return Err(ToJsonError::ReservedKey(start));
            }
            sorted = sorted && last.is_none_or(|last| last < key);
            last = Some(key);
            // Offsets fit: what stands before is less than half of them, a block's length is limited, and no text is longer
            // than six times that and some.
            let end = reader.at as u32;
            self.entries.push(Entry { start: self.out.len() as u32, key: (end - key.len() as u32, end) });
            self.string(key);
            self.out.push(b':');
            self.value(reader, depth + 1)?;
            self.out.push(b',');
        }
        if !sorted {
            let entries = self.entries.get(first..).unwrap_or_default();
            // The keys differ: they ascended in the block.
            let _ = sort_entries(self.out, entries, Some(reader.bytes), &mut self.scratch);
        }
        self.entries.truncate(first);
        if length > 0 {
            self.out.pop();
        }
        self.out.push(b'}');
        Ok(())
    }

    fn integer(&mut self, value: i128) {
        let mut digits = [0; 40];
        let mut at = digits.len();
        // DAG-CBOR's integers have 65 bits: the magnitude always fits 128.
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(digits.get(at..).unwrap_or_default());
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut rest = text;
        loop {
            let (plain, special) = rest.split_at(plain_len(rest));
            self.out.extend_from_slice(plain);
            let Some((&byte, behind)) = special.split_first() else { break };
            rest = behind;
            let short = match byte {
                b'"' | b'\\' => byte,
                b'\n' => b'n',
                b'\t' => b't',
                b'\r' => b'r',
                0x08 => b'b',
                0x0c => b'f',
                _ => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    self.out.extend_from_slice(b"\\u00");
                    self.out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                    continue;
                }
            };
            self.out.extend([b'\\', short]);
        }
        self.out.push(b'"');
    }
}

/// How many bytes stand before the first that JSON escapes or that ends a string: a control character, `"` or `\`.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let (words, _) = bytes.as_chunks::<8>();
    // The high bit of a byte is set by each term if, and only if, some byte up to it is what is looked for.
    let plain = words.iter().take_while(|word| {
        let word = u64::from_le_bytes(**word);
        let (quote, backslash) = (word ^ (ONES * b'"' as u64), word ^ (ONES * b'\\' as u64));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = quote.wrapping_sub(ONES) & !quote;
        let backslash = backslash.wrapping_sub(ONES) & !backslash;
        (control | quote | backslash) & HIGHS == 0
    });
    let sure = plain.count() * 8;
    let rest = bytes.get(sure..).unwrap_or_default();
    sure + rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len())
}
