//! The typed decoder: canonical bytes, which were validated before, to a value of some type.

use std::fmt;

use cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::encode::EVENT_STRUCT;
use super::envelope::Envelope;
use super::limits::MAX_DEPTH;
use super::problem::{BlockError, Problem};
use super::read::{DOUBLE, FALSE, NULL, Reader, TRUE};
use super::validate;
use crate::events::KeyEvent;

/// Why bytes do not decode into what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are damaged, or were never a canonical block: get the block again from where it came.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The block is canonical but holds another value than the type takes.
    #[error("the block is not what is expected here: {}", crate::text::visible(.0))]
    Value(String),
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // Messages quote values, and values may be long.
        Self::Value(message.to_string().chars().take(400).collect())
    }
}

/// Decodes a value from a block, strictly: bytes that are not canonical are refused, also where the type would skip them.
/// A field that the type does not know is no error. A [`KeyEvent`](crate::events::KeyEvent) is held to the rules of events.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_block<'de, T: Deserialize<'de>>(block: &'de [u8]) -> Result<T, DecodeError> {
    T::deserialize(Block(block))
}

impl Envelope<'_> {
    /// The event whose outer fields these are, with its data. The block is not validated again.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn event(&self) -> Result<KeyEvent, DecodeError> {
        let fields = EventFields { envelope: *self, next: 0 };
        KeyEvent::deserialize(de::value::MapAccessDeserializer::new(fields))
    }
}

/// A whole block that nothing has looked at yet.
struct Block<'de>(&'de [u8]);

impl<'de> Block<'de> {
    fn decode<T>(self, visit: impl FnOnce(&mut Decoder<'de>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        validate::validate(self.0)?;
        let mut decoder = Decoder::new(self.0, 0);
        let value = visit(&mut decoder)?;
        if decoder.reader.at == self.0.len() { Ok(value) } else { Err(decoder.reader.error(Problem::Trailing).into()) }
    }
}

macro_rules! after_validation {
    ($($method:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.decode(|decoder| decoder.$method(visitor))
        }
    )+};
}

impl<'de> de::Deserializer<'de> for Block<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.decode(|decoder| decoder.deserialize_newtype_struct(name, visitor))
    }

    /// An event's fields are found first and given in an order of their own: `data` last, when its type is known.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name != EVENT_STRUCT {
            return self.deserialize_map(visitor);
        }
        visitor.visit_map(EventFields { envelope: Envelope::parse(self.0)?, next: 0 })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.decode(|decoder| decoder.deserialize_enum(name, variants, visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    after_validation! {
        deserialize_any deserialize_option deserialize_str deserialize_string deserialize_char deserialize_identifier
        deserialize_bytes deserialize_byte_buf deserialize_seq deserialize_map deserialize_f32 deserialize_f64
        deserialize_ignored_any
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 unit unit_struct
    }
}

/// The fields of an event, `data` last.
struct EventFields<'de> {
    envelope: Envelope<'de>,
    next: usize,
}

const EVENT_FIELDS: [&str; 8] = ["id", "type", "schema", "actor", "occurred_at", "correlation_id", "causes", "data"];

impl<'de> de::MapAccess<'de> for EventFields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some(name) = EVENT_FIELDS.get(self.next) else { return Ok(None) };
        seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let envelope = &self.envelope;
        let text = match self.next {
            0 => envelope.id,
            1 => envelope.event_type,
            2 => {
                self.next += 1;
                return seed.deserialize(envelope.schema.into_deserializer());
            }
            3 => envelope.actor,
            4 => envelope.occurred_at,
            5 => envelope.correlation_id,
            place => {
                self.next += 1;
                let span = if place == 6 { envelope.causes.list() } else { envelope.data };
                return seed.deserialize(&mut Decoder::new(span, 1));
            }
        };
        self.next += 1;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(text))
    }
}

/// Decodes from bytes that were validated. On other bytes the value may be wrong; nothing else happens.
struct Decoder<'de> {
    reader: Reader<'de>,
    depth: usize,
}

impl<'de> Decoder<'de> {
    const fn new(bytes: &'de [u8], depth: usize) -> Self {
        Self { reader: Reader::new(bytes), depth }
    }

    fn unexpected<V: Visitor<'de>>(&self, unexpected: de::Unexpected<'_>, visitor: &V) -> DecodeError {
        de::Error::invalid_type(unexpected, visitor)
    }

    fn list<V: Visitor<'de>>(&mut self, length: u64, visitor: V) -> Result<V::Value, DecodeError> {
        self.nested(length, |items| visitor.visit_seq(items))
    }

    fn map<V: Visitor<'de>>(&mut self, length: u64, visitor: V) -> Result<V::Value, DecodeError> {
        self.nested(length, |items| visitor.visit_map(items))
    }

    fn nested<T>(
        &mut self,
        length: u64,
        visit: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.reader.error(Problem::Depth).into());
        }
        self.depth += 1;
        let mut items = Items { decoder: self, left: length };
        let value = visit(&mut items)?;
        if items.left > 0 {
            return Err(DecodeError::Value(format!("a collection has {} items more than are expected", items.left)));
        }
        self.depth -= 1;
        Ok(value)
    }

    fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let (major, info, argument) = self.reader.head()?;
        match major {
            0 => visitor.visit_u64(argument),
            1 => match i64::try_from(argument) {
                Ok(argument) => visitor.visit_i64(!argument),
                Err(_) => visitor.visit_i128(!i128::from(argument)),
            },
            2 => visitor.visit_borrowed_bytes(self.reader.run(argument)?),
            3 => visitor.visit_borrowed_str(self.reader.text_of(argument)?),
            4 => self.list(argument, visitor),
            5 => self.map(argument, visitor),
            6 => visitor.visit_newtype_struct(BorrowedBytes(validate::link(&mut self.reader)?)),
            _ => match info {
                FALSE => visitor.visit_bool(false),
                TRUE => visitor.visit_bool(true),
                NULL => visitor.visit_unit(),
                DOUBLE => visitor.visit_f64(f64::from_bits(argument)),
                _ => Err(self.reader.error(Problem::Reserved).into()),
            },
        }
    }
}

/// Methods that take one kind of item only: visitors by themselves would take bytes for a string, or a list for a struct.
macro_rules! kinds {
    ($($major:literal $what:literal: $($method:ident)+;)+) => {$($(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            if self.reader.peek()? >> 5 != $major {
                return Err(self.reader.error(Problem::Expected($what)).into());
            }
            self.any(visitor)
        }
    )+)+};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.any(visitor)
    }

    kinds! {
        3 "a string": deserialize_str deserialize_string deserialize_char deserialize_identifier;
        2 "a byte string": deserialize_bytes deserialize_byte_buf;
        4 "a list": deserialize_seq;
        5 "a map": deserialize_map;
        7 "a float": deserialize_f32 deserialize_f64;
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let (5, _, length) = self.reader.head()? else {
            return Err(self.unexpected(de::Unexpected::Other("something that is no map"), &visitor));
        };
        self.nested(length, |fields| visitor.visit_map(StructFields(fields)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.reader.peek()? == 0xf6 {
            self.reader.at += 1;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            CID_SERDE_PRIVATE_IDENTIFIER => match self.reader.head()? {
                (6, ..) => visitor.visit_newtype_struct(BorrowedBytes(validate::link(&mut self.reader)?)),
                _ => Err(self.unexpected(de::Unexpected::Other("something that is no link"), &visitor)),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    /// A unit variant is a string; any other is a map of exactly one entry.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.reader.peek()? {
            byte if byte >> 5 == 3 => visitor.visit_enum(self.reader.text()?.into_deserializer()),
            0xa1 => {
                self.reader.at += 1;
                visitor.visit_enum(Variant(self))
            }
            _ => Err(self.unexpected(de::Unexpected::Other("something that is no variant"), &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        validate::value::<false>(&mut self.reader, self.depth)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 unit unit_struct
    }
}

/// What is left of a list or a map.
struct Items<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: u64,
}

impl Items<'_, '_> {
    fn hint(&self) -> usize {
        // No more than there are bytes: a length that lies reserves nothing.
        usize::try_from(self.left).unwrap_or(usize::MAX).min(self.decoder.reader.bytes.len() - self.decoder.reader.at)
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let key = self.decoder.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

/// What is left of a map that becomes a struct: its keys are compared with the fields' names, and so need not be text.
struct StructFields<'a, 'b, 'de>(&'a mut Items<'b, 'de>);

impl<'de> de::MapAccess<'de> for StructFields<'_, '_, 'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let items = &mut *self.0;
        if items.left == 0 {
            return Ok(None);
        }
        items.left -= 1;
        let reader = &mut items.decoder.reader;
        let (3, _, length) = reader.head()? else { return Err(reader.error(Problem::KeyNotString).into()) };
        seed.deserialize(de::value::BorrowedBytesDeserializer::new(reader.run(length)?)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        seed.deserialize(&mut *self.0.decoder)
    }
}

/// An enum's variant that is not a unit: the one entry of a map.
struct Variant<'a, 'de>(&'a mut Decoder<'de>);

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let name = self.0.reader.text()?;
        let name = de::value::BorrowedStrDeserializer::<DecodeError>::new(name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Err(DecodeError::Value("a map stands for a variant that is a plain string".into()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_seq(self.0, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_map(self.0, visitor)
    }
}

/// What is inside a link: given as bytes, whatever is asked for.
struct BorrowedBytes<'de>(&'de [u8]);

impl<'de> de::Deserializer<'de> for BorrowedBytes<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}
