//! Reading the heads of CBOR items from bytes, in their strict form.

use super::problem::{BlockError, Problem};

/// A place in a block.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// The first byte's low five bits of what major type 7 may hold in DAG-CBOR.
pub(super) const FALSE: u8 = 20;
pub(super) const TRUE: u8 = 21;
pub(super) const NULL: u8 = 22;
pub(super) const DOUBLE: u8 = 27;

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[cold]
    pub(super) fn error(&self, problem: Problem) -> BlockError {
        BlockError { offset: self.at, problem }
    }

    #[inline]
    pub(super) fn peek(&self) -> Result<u8, BlockError> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.error(Problem::Truncated))
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], BlockError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or_else(|| self.error(Problem::Truncated))?;
        self.at += count;
        Ok(taken)
    }

    /// An item's head: major type, the low five bits, the argument. Of major type 7 the argument is the payload.
    #[inline]
    pub(super) fn head(&mut self) -> Result<(u8, u8, u64), BlockError> {
        let first = self.peek()?;
        let (major, info) = (first >> 5, first & 0x1f);
        if info < 24 {
            self.at += 1;
            return Ok((major, info, info.into()));
        }
        self.long_head(major, info)
    }

    fn long_head(&mut self, major: u8, info: u8) -> Result<(u8, u8, u64), BlockError> {
        let start = self.clone();
        self.at += 1;
        let (argument, least) = match info {
            24 => (big_endian(self.take(1)?), 24),
            25 => (big_endian(self.take(2)?), 1 << 8),
            26 => (big_endian(self.take(4)?), 1 << 16),
            27 => (big_endian(self.take(8)?), 1 << 32),
            31 => return Err(start.error(Problem::Indefinite)),
            _ => return Err(start.error(Problem::Reserved)),
        };
        if argument < least && major != 7 {
            return Err(start.error(Problem::NotMinimal));
        }
        Ok((major, info, argument))
    }

    /// A length, which can be no greater than what is left.
    #[inline]
    pub(super) fn run(&mut self, length: u64) -> Result<&'a [u8], BlockError> {
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.error(Problem::Truncated)),
        }
    }

    /// The text of an item that must be a string.
    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, BlockError> {
        let start = self.at;
        let (major, _, length) = self.head()?;
        if major != 3 {
            return Err(BlockError { offset: start, problem: Problem::Expected("a string") });
        }
        self.text_of(length)
    }

    /// The bytes of a string of this length, which are UTF-8.
    #[inline]
    pub(super) fn utf8_of(&mut self, length: u64) -> Result<&'a [u8], BlockError> {
        let start = self.at;
        let bytes = self.run(length)?;
        // Most strings are ASCII, which is seen sooner.
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(BlockError { offset: start, problem: Problem::NotUtf8 })
        }
    }

    #[inline]
    pub(super) fn text_of(&mut self, length: u64) -> Result<&'a str, BlockError> {
        let start = self.at;
        let bytes = self.run(length)?;
        std::str::from_utf8(bytes).map_err(|_| BlockError { offset: start, problem: Problem::NotUtf8 })
    }
}

#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}
