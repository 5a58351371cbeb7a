//! DAG-JSON text to a canonical block.
//!
//! The parser is a value that serialises itself: it drives the encoder, which sorts the keys, refuses one that is there
//! twice, and keeps the limits.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use cid::Cid;
use cid::multibase::Base;
use cid::serde::CID_SERDE_PRIVATE_IDENTIFIER;
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::cids::{InvalidCid, parse_cid};
use super::dag_json::plain_len;
use super::encode::{EncodeError, encode_with};
use super::limits::MAX_BLOCK_LEN;
use super::read::Reader;
use super::validate;

/// Why a text is not DAG-JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FromJsonError {
    /// The text is not JSON, or uses what DAG-JSON forbids.
    #[error("not DAG-JSON: at byte {offset}, {problem}")]
    Syntax {
        /// The offset of the offending byte, from 0.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The text is DAG-JSON, but its value has no canonical block.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The text is the body of no event message: `{"cid":{"/":"bafy…"},"event":{…}}` is needed.
    #[error("not the body of an event message: {0}")]
    Message(&'static str),
}

/// The canonical block of a DAG-JSON text. Space between tokens and any order of the keys are taken; a key that is there
/// twice is not.
///
/// # Errors
/// See [`FromJsonError`].
pub fn from_dag_json(text: &[u8]) -> Result<Vec<u8>, FromJsonError> {
    let fail = |offset, problem| FromJsonError::Syntax { offset, problem };
    // Escapes make a text at most six times as long as the string that it stands for.
    if text.len() > MAX_BLOCK_LEN.saturating_mul(6) {
        return Err(fail(MAX_BLOCK_LEN, "the text is too long"));
    }
    let text = std::str::from_utf8(text).map_err(|error| fail(error.valid_up_to(), "the text is not UTF-8"))?;
    let parser = Parser { text, at: Cell::new(0), problem: RefCell::new(None) };
    let result = encode_with(&Value(&parser), <[u8]>::to_vec);
    if let Some((offset, problem)) = parser.problem.take() {
        return Err(fail(offset, problem));
    }
    let block = result?;
    parser.space();
    if parser.at.get() == text.len() { Ok(block) } else { Err(fail(parser.at.get(), "something follows the value")) }
}

/// Takes the body of an event message ([`append_message_body`](super::append_message_body)) to pieces: the content
/// identifier that it names and the event's canonical block. Whether they belong together is for
/// [`verify_block`](super::verify_block()) to say.
///
/// # Errors
/// See [`FromJsonError`].
pub fn parse_message_body(body: &[u8]) -> Result<(Cid, Vec<u8>), FromJsonError> {
    let block = from_dag_json(body)?;
    let shape = FromJsonError::Message("an object with a \"cid\" and an \"event\" is needed");
    let mut reader = Reader::new(&block);
    let mut parts = (None, None);
    // What was just encoded is canonical; an error here is a map that is none.
    if let Ok((5, _, length)) = reader.head() {
        for _ in 0..length {
            let Ok(key) = reader.text() else { break };
            let start = reader.at;
            if validate::value::<false>(&mut reader, 1).is_err() {
                break;
            }
            let span = block.get(start..reader.at).unwrap_or_default();
            match key {
                "cid" => parts.0 = span.get(5..).filter(|_| span.len() == 41),
                "event" => parts.1 = Some(span),
                _ => {}
            }
        }
    }
    let (Some(cid), Some(event)) = parts else { return Err(shape) };
    let cid = Cid::try_from(cid).map_err(|_| FromJsonError::Message("its \"cid\" is no content identifier"))?;
    Ok((cid, event.to_vec()))
}

struct Parser<'a> {
    text: &'a str,
    at: Cell<usize>,
    /// The first problem; the encoder's own errors pass through the serialiser.
    problem: RefCell<Option<(usize, &'static str)>>,
}

struct Value<'a, 'p>(&'p Parser<'a>);

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at.get()).copied()
    }

    fn advance(&self, by: usize) {
        self.at.set(self.at.get() + by);
    }

    fn space(&self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.advance(1);
        }
    }

    #[cold]
    fn fail<T, E: serde::ser::Error>(&self, problem: &'static str) -> Result<T, E> {
        self.problem.borrow_mut().get_or_insert((self.at.get(), problem));
        Err(E::custom(problem))
    }

    /// Takes one byte, after space.
    fn token<E: serde::ser::Error>(&self, byte: u8, problem: &'static str) -> Result<(), E> {
        self.space();
        if self.peek() != Some(byte) {
            return self.fail(problem);
        }
        self.advance(1);
        Ok(())
    }

    fn word<E: serde::ser::Error>(&self, word: &str) -> Result<(), E> {
        if !self.text.as_bytes().get(self.at.get()..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return self.fail("a value is needed");
        }
        self.advance(word.len());
        Ok(())
    }

    /// A string, behind its opening quotation mark.
    fn string<E: serde::ser::Error>(&self) -> Result<Cow<'a, str>, E> {
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at.get();
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            let run = plain_len(rest);
            // Both ends are next to ASCII characters, and so on the boundaries of characters.
            let plain = self.text.get(start..start + run).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(plain)
            } else {
                text.to_mut().push_str(plain)
            }
            self.advance(run);
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.advance(1);
                    let c = self.escape()?;
                    text.to_mut().push(c);
                }
                Some(_) => return self.fail("a control character stands in a string"),
                None => return self.fail("a string has no end"),
            }
        }
    }

    fn escape<E: serde::ser::Error>(&self) -> Result<char, E> {
        let Some(byte) = self.peek() else { return self.fail("a string has no end") };
        self.advance(1);
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xe000).contains(&first) {
                    return char::from_u32(first).map_or_else(|| self.fail("no character"), Ok);
                }
                self.word("\\u").or_else(|_: E| self.fail("half of a surrogate pair"))?;
                let second = self.hex()?;
                if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
                    return self.fail("half of a surrogate pair");
                }
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).map_or_else(|| self.fail("no character"), Ok);
            }
            _ => return self.fail("no escape of JSON"),
        })
    }

    fn hex<E: serde::ser::Error>(&self) -> Result<u32, E> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.fail("four hexadecimal digits are needed");
            };
            code = code << 4 | digit;
            self.advance(1);
        }
        Ok(code)
    }

    fn digits(&self) -> usize {
        let start = self.at.get();
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.advance(1);
        }
        self.at.get() - start
    }

    fn number<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let start = self.at.get();
        let negative = self.peek() == Some(b'-');
        self.advance(usize::from(negative));
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || leading_zero && whole > 1 {
            return self.fail("no number of JSON");
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.advance(1);
            if self.digits() == 0 {
                return self.fail("no number of JSON");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            float = true;
            self.advance(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.advance(1);
            }
            if self.digits() == 0 {
                return self.fail("no number of JSON");
            }
        }
        let text = self.text.get(start..self.at.get()).unwrap_or_default();
        if float {
            return match text.parse::<f64>() {
                Ok(float) if float.is_finite() => serializer.serialize_f64(float),
                _ => self.fail("a number that no float holds"),
            };
        }
        if negative && leading_zero {
            return self.fail("minus zero is no integer");
        }
        if let Ok(integer) = text.parse::<u64>() {
            return serializer.serialize_u64(integer);
        }
        match text.parse::<i128>() {
            Ok(integer) => serializer.serialize_i128(integer),
            Err(_) => self.fail("an integer outside -2^64 to 2^64-1"),
        }
    }

    /// What follows `{"/"`: a link or bytes.
    fn special<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.token(b':', "a colon is needed")?;
        self.space();
        match self.peek() {
            Some(b'"') => {
                self.advance(1);
                let text = self.string()?;
                let Ok(cid) = any_cid(&text) else { return self.fail("no content identifier") };
                self.token(b'}', "a link has the one key \"/\"")?;
                let bytes = cid.to_bytes();
                serializer.serialize_newtype_struct(CID_SERDE_PRIVATE_IDENTIFIER, serde_bytes::Bytes::new(&bytes))
            }
            Some(b'{') => {
                self.advance(1);
                self.token(b'"', "bytes have the one key \"bytes\"")?;
                if self.string::<S::Error>()? != "bytes" {
                    return self.fail("bytes have the one key \"bytes\"");
                }
                self.token(b':', "a colon is needed")?;
                self.token(b'"', "bytes are a string in base64")?;
                let Ok(bytes) = Base::Base64.decode(self.string::<S::Error>()?.as_ref()) else {
                    return self.fail("bytes are in base64 without padding");
                };
                self.token(b'}', "bytes have the one key \"bytes\"")?;
                self.token(b'}', "bytes have the one key \"/\"")?;
                serializer.serialize_bytes(&bytes)
            }
            _ => self.fail("the key \"/\" is kept for links and bytes"),
        }
    }
}

impl Serialize for Value<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parser = self.0;
        parser.space();
        match parser.peek() {
            Some(b'{') => {
                parser.advance(1);
                parser.space();
                let start = parser.at.get();
                if parser.peek() == Some(b'"') {
                    parser.advance(1);
                    if parser.string::<S::Error>()? == "/" {
                        return parser.special(serializer);
                    }
                }
                parser.at.set(start);
                let mut map = serializer.serialize_map(None)?;
                let mut more = parser.peek() != Some(b'}');
                while more {
                    parser.token(b'"', "a key, a string, is needed")?;
                    let key = parser.string()?;
                    if key == "/" {
                        return parser.fail("the key \"/\" is kept for links and bytes");
                    }
                    parser.token(b':', "a colon is needed")?;
                    map.serialize_entry(key.as_ref(), self)?;
                    parser.space();
                    more = parser.peek() == Some(b',');
                    parser.advance(usize::from(more));
                }
                parser.token(b'}', "a comma or a closing brace is needed")?;
                map.end()
            }
            Some(b'[') => {
                parser.advance(1);
                parser.space();
                let mut list = serializer.serialize_seq(None)?;
                let mut more = parser.peek() != Some(b']');
                while more {
                    list.serialize_element(self)?;
                    parser.space();
                    more = parser.peek() == Some(b',');
                    parser.advance(usize::from(more));
                }
                parser.token(b']', "a comma or a closing bracket is needed")?;
                list.end()
            }
            Some(b'"') => {
                parser.advance(1);
                serializer.serialize_str(&parser.string::<S::Error>()?)
            }
            Some(b't') => parser.word("true").and_then(|()| serializer.serialize_bool(true)),
            Some(b'f') => parser.word("false").and_then(|()| serializer.serialize_bool(false)),
            Some(b'n') => parser.word("null").and_then(|()| serializer.serialize_unit()),
            Some(b'-' | b'0'..=b'9') => parser.number(serializer),
            _ => Err(parser.fail::<(), S::Error>("a value is needed").err().unwrap_or_else(|| S::Error::custom(""))),
        }
    }
}

/// Any content identifier in the one text that DAG-JSON gives it: base32 in lower case, or base58 for version 0.
fn any_cid(text: &str) -> Result<Cid, InvalidCid> {
    parse_cid(text).or_else(|invalid| match Cid::try_from(text) {
        Ok(cid) if cid.to_string() == text => Ok(cid),
        _ => Err(invalid),
    })
}
