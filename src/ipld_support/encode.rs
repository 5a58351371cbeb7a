//! The encoder: any serialisable value to canonical DAG-CBOR.
//!
//! Map entries are written in the order in which the value gives them and put into canonical order in place, in one
//! buffer that is kept for the thread; a map that came in order is not touched again.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use serde::ser::{self, Serialize};

use super::cids::is_event_link;
use super::limits::{MAX_BLOCK_LEN, MAX_DEPTH, MAX_EVENT_INTEGER};
use super::sort::{Entry, sort_entries};

/// The name of the struct that is held to the rules of events ([`super::validate_event`]) when it stands outermost.
pub const EVENT_STRUCT: &str = "KeyEvent";

/// Why a value has no canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Two entries of one map have the same key, as a flattened field that collides with another gives.
    #[error("the map key \"{}\" is there twice: rename one of the two fields", crate::text::visible(.0))]
    DuplicateKey(String),
    /// A map key is something other than a string.
    #[error("a map key is not a string: DAG-CBOR knows string keys only")]
    KeyNotString,
    /// A float is infinite or not a number.
    #[error("a float is infinite or not a number: only finite floats can be encoded")]
    NotFinite,
    /// An integer is outside -2^64 to 2^64-1.
    #[error("an integer is outside -2^64 to 2^64-1: encode it as a string or as bytes")]
    IntegerRange,
    /// Something that claims to be a content identifier is none.
    #[error("a link is not a content identifier")]
    Link,
    /// The value nests deeper than [`MAX_DEPTH`].
    #[error("the value nests deeper than {MAX_DEPTH} levels: flatten it")]
    Depth,
    /// The encoding would be longer than [`MAX_BLOCK_LEN`].
    #[error("the value is longer than {MAX_BLOCK_LEN} bytes: keep what is large as a blob and link to it")]
    TooLong,
    /// An event holds something that events do not hold.
    #[error("an event holds {0}: leave it out or write it as a string")]
    NotForEvents(&'static str),
    /// The value's own `Serialize` failed.
    #[error("the value cannot be serialised: {0}")]
    Value(String),
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// Encodes a value and hands the canonical bytes to `use_bytes`, without a copy.
pub(super) fn encode_with<T: Serialize + ?Sized, R>(
    value: &T,
    use_bytes: impl FnOnce(&[u8]) -> R,
) -> Result<R, EncodeError> {
    thread_local! {
        // Taken while in use, so that a `Serialize` that encodes something else finds an empty place and no conflict.
        static KEPT: Cell<Encoder> = const { Cell::new(Encoder::new()) };
    }
    let mut encoder = KEPT.replace(Encoder::new());
    encoder.clear();
    let result = value.serialize(&mut encoder).and_then(|()| {
        if encoder.out.len() > MAX_BLOCK_LEN { Err(EncodeError::TooLong) } else { Ok(use_bytes(&encoder.out)) }
    });
    encoder.shrink();
    KEPT.set(encoder);
    result
}

#[derive(Default)]
struct Encoder {
    out: Vec<u8>,
    /// The entries of all maps that are open, the innermost last.
    entries: Vec<Entry>,
    scratch: Vec<u8>,
    depth: usize,
    event: bool,
    /// Whether the next byte string is a content identifier.
    link: bool,
}

impl Encoder {
    const fn new() -> Self {
        Self { out: Vec::new(), entries: Vec::new(), scratch: Vec::new(), depth: 0, event: false, link: false }
    }

    fn clear(&mut self) {
        self.out.clear();
        self.entries.clear();
        self.depth = 0;
        self.event = false;
        self.link = false;
    }

    /// Gives back what an exceptional value took.
    fn shrink(&mut self) {
        const KEEP: usize = 64 << 10;
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        if self.scratch.capacity() > KEEP {
            self.scratch = Vec::new();
        }
        if self.entries.capacity() > KEEP / size_of::<Entry>() {
            self.entries = Vec::new();
        }
    }

    #[inline]
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.out.push(major | argument as u8),
            24..=0xff => self.out.extend_from_slice(&[major | 24, argument as u8]),
            0x100..=0xffff => {
                let [a, b] = (argument as u16).to_be_bytes();
                self.out.extend_from_slice(&[major | 25, a, b]);
            }
            0x1_0000..=0xffff_ffff => {
                self.out.push(major | 26);
                self.out.extend_from_slice(&(argument as u32).to_be_bytes());
            }
            _ => {
                self.out.push(major | 27);
                self.out.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }

    /// Whether so many bytes more, heads aside, can be within the limit, which the end checks exactly. That the buffer
    /// stays far below 4 GiB is what the entries' 32-bit offsets rest on.
    #[inline]
    fn room(&self, more: usize) -> Result<(), EncodeError> {
        if self.out.len().saturating_add(more) > MAX_BLOCK_LEN { Err(EncodeError::TooLong) } else { Ok(()) }
    }

    #[inline]
    fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        self.room(text.len())?;
        self.head(3, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    #[inline]
    fn integer(&mut self, major: u8, argument: u64) -> Result<(), EncodeError> {
        // A negative integer's argument is its magnitude less one.
        if self.event && argument > MAX_EVENT_INTEGER - u64::from(major) {
            return Err(EncodeError::NotForEvents("an integer beyond 2^53-1"));
        }
        self.room(0)?;
        self.head(major, argument);
        Ok(())
    }

    fn signed(&mut self, v: i64) -> Result<(), EncodeError> {
        if v < 0 { self.integer(1, !v as u64) } else { self.integer(0, v as u64) }
    }

    fn simple(&mut self, byte: u8) -> Result<(), EncodeError> {
        self.room(0)?;
        self.out.push(byte);
        Ok(())
    }

    fn null(&mut self) -> Result<(), EncodeError> {
        if self.event { Err(EncodeError::NotForEvents("null")) } else { self.simple(0xf6) }
    }

    fn cid(&mut self, cid: &[u8]) -> Result<(), EncodeError> {
        if !super::cids::is_cid(cid) {
            return Err(EncodeError::Link);
        }
        if self.event && !is_event_link(cid) {
            return Err(EncodeError::NotForEvents("a link other than CIDv1, dag-cbor or raw, sha2-256"));
        }
        self.room(cid.len())?;
        self.out.extend_from_slice(&[0xd8, 0x2a]);
        self.head(2, cid.len() as u64 + 1);
        self.out.push(0);
        self.out.extend_from_slice(cid);
        Ok(())
    }

    fn open(&mut self, major: u8, expected: usize) -> Result<Collection<'_>, EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(EncodeError::Depth);
        }
        self.room(0)?;
        self.depth += 1;
        let head = self.out.len();
        self.head(major, expected as u64);
        let entries = self.entries.len();
        Ok(Collection { major, expected, count: 0, head, entries, sorted: true, wrapped: false, encoder: self })
    }

    /// The map of one entry around an enum's variant.
    fn variant(&mut self, variant: &str) -> Result<(), EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(EncodeError::Depth);
        }
        if self.event && variant == "/" {
            return Err(EncodeError::NotForEvents("the map key \"/\""));
        }
        self.depth += 1;
        self.head(5, 1);
        self.text(variant)
    }
}

/// A list or a map that is being written.
struct Collection<'a> {
    encoder: &'a mut Encoder,
    major: u8,
    expected: usize,
    count: usize,
    /// Where the collection's first byte is.
    head: usize,
    /// Where its entries begin in the encoder's stack of entries.
    entries: usize,
    sorted: bool,
    /// Whether an enum's one-entry map stands around it.
    wrapped: bool,
}

impl Collection<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.count += 1;
        value.serialize(&mut *self.encoder)
    }

    /// Closes a key that was written from `start` on.
    #[inline]
    fn key_written(&mut self, start: usize) -> Result<(), EncodeError> {
        let encoder = &mut *self.encoder;
        // Offsets fit: `room` keeps the buffer far below 4 GiB.
        let entry = Entry { start: start as u32, key: (start as u32, encoder.out.len() as u32) };
        // An encoded key begins with its length, so that the order of these bytes is the canonical one.
        if self.count > 0
            && let Some(last) = encoder.entries.last()
            && self.sorted
        {
            let (last, key) = (last.key(&encoder.out), entry.key(&encoder.out));
            // The first byte holds the length of a short key, and decides most comparisons.
            self.sorted = match last.first().cmp(&key.first()) {
                Ordering::Less => true,
                Ordering::Equal => last < key,
                Ordering::Greater => false,
            };
        }
        if encoder.event && entry.key(&encoder.out) == b"\x61/" {
            return Err(EncodeError::NotForEvents("the map key \"/\""));
        }
        encoder.entries.push(entry);
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), EncodeError> {
        let start = self.encoder.out.len();
        self.encoder.text(key)?;
        self.key_written(start)?;
        value.serialize(&mut *self.encoder)
    }

    fn close(self) -> Result<(), EncodeError> {
        let encoder = self.encoder;
        if !self.sorted {
            let entries = encoder.entries.get(self.entries..).unwrap_or_default();
            sort_entries(&mut encoder.out, entries, None, &mut encoder.scratch).map_err(|key| {
                // The key's head is at most nine bytes, and its text came from a `str`.
                let text = super::read::Reader::new(&key).text().unwrap_or_default();
                EncodeError::DuplicateKey(text.chars().take(80).collect())
            })?;
        }
        encoder.entries.truncate(self.entries);
        if self.count != self.expected {
            let body = encoder.out.split_off(self.head);
            encoder.head(self.major, self.count as u64);
            let old_head = head_len(self.expected as u64);
            encoder.out.extend_from_slice(body.get(old_head..).unwrap_or_default());
            encoder.room(0)?;
        }
        encoder.depth -= 1 + usize::from(self.wrapped);
        Ok(())
    }
}

const fn head_len(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

impl<'a> ser::Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Collection<'a>;
    type SerializeTuple = Collection<'a>;
    type SerializeTupleStruct = Collection<'a>;
    type SerializeTupleVariant = Collection<'a>;
    type SerializeMap = Collection<'a>;
    type SerializeStruct = Collection<'a>;
    type SerializeStructVariant = Collection<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, v: bool) -> Result<(), EncodeError> {
        self.simple(0xf4 | u8::from(v))
    }

    fn serialize_i8(self, v: i8) -> Result<(), EncodeError> {
        self.signed(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), EncodeError> {
        self.signed(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), EncodeError> {
        self.signed(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), EncodeError> {
        self.signed(v)
    }

    fn serialize_i128(self, v: i128) -> Result<(), EncodeError> {
        match u64::try_from(v) {
            Ok(v) => self.integer(0, v),
            Err(_) => self.integer(1, u64::try_from(!v).map_err(|_| EncodeError::IntegerRange)?),
        }
    }

    fn serialize_u8(self, v: u8) -> Result<(), EncodeError> {
        self.integer(0, v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), EncodeError> {
        self.integer(0, v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), EncodeError> {
        self.integer(0, v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), EncodeError> {
        self.integer(0, v)
    }

    fn serialize_u128(self, v: u128) -> Result<(), EncodeError> {
        self.integer(0, u64::try_from(v).map_err(|_| EncodeError::IntegerRange)?)
    }

    fn serialize_f32(self, v: f32) -> Result<(), EncodeError> {
        self.serialize_f64(v.into())
    }

    fn serialize_f64(self, v: f64) -> Result<(), EncodeError> {
        if self.event {
            return Err(EncodeError::NotForEvents("a float"));
        }
        if !v.is_finite() {
            return Err(EncodeError::NotFinite);
        }
        self.room(0)?;
        self.out.push(0xfb);
        // Negative zero and zero are one value, with one encoding.
        let v = if v == 0.0 { 0.0 } else { v };
        self.out.extend_from_slice(&v.to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), EncodeError> {
        self.text(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), EncodeError> {
        self.text(v)
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), EncodeError> {
        if std::mem::take(&mut self.link) {
            return self.cid(v);
        }
        self.room(v.len())?;
        self.head(2, v.len() as u64);
        self.out.extend_from_slice(v);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), EncodeError> {
        self.null()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        if name != CID_SERDE_PRIVATE_IDENTIFIER {
            return value.serialize(self);
        }
        self.link = true;
        value.serialize(&mut *self)?;
        // Only a byte string takes the mark away.
        if std::mem::take(&mut self.link) { Err(EncodeError::Link) } else { Ok(()) }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Collection<'a>, EncodeError> {
        self.open(4, len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Collection<'a>, EncodeError> {
        self.open(4, len)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Collection<'a>, EncodeError> {
        self.open(4, len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Collection<'a>, EncodeError> {
        self.variant(variant)?;
        Ok(Collection { wrapped: true, ..self.open(4, len)? })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Collection<'a>, EncodeError> {
        self.open(5, len.unwrap_or(0))
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Collection<'a>, EncodeError> {
        if self.depth == 0 && name == EVENT_STRUCT {
            self.event = true;
        }
        self.open(5, len)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Collection<'a>, EncodeError> {
        self.variant(variant)?;
        Ok(Collection { wrapped: true, ..self.open(5, len)? })
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let result = write!(Utf8(&mut text), "{value}")
            .map_err(|_| EncodeError::Value("its text could not be formatted".into()))
            .and_then(|()| match std::str::from_utf8(&text) {
                Ok(text) => self.text(text),
                Err(error) => Err(EncodeError::Value(error.to_string())),
            });
        self.scratch = text;
        result
    }
}

struct Utf8<'a>(&'a mut Vec<u8>);

impl fmt::Write for Utf8<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

macro_rules! lists {
    ($($trait:ident::$method:ident),+) => {$(
        impl ser::$trait for Collection<'_> {
            type Ok = ();
            type Error = EncodeError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }
            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )+};
}
lists!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($trait:ident),+) => {$(
        impl ser::$trait for Collection<'_> {
            type Ok = ();
            type Error = EncodeError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
                self.field(key, value)
            }
            fn end(self) -> Result<(), EncodeError> {
                self.close()
            }
        }
    )+};
}
structs!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Collection<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        let start = self.encoder.out.len();
        key.serialize(&mut *self.encoder)?;
        if self.encoder.out.get(start).is_none_or(|byte| byte >> 5 != 3) {
            return Err(EncodeError::KeyNotString);
        }
        self.key_written(start)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut *self.encoder)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.close()
    }
}
