//! Signed notes (C2SP signed-note): a text, a blank line, and a line for each signature.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::advice::{Advice, ErrorKind, Explained};

/// The longest note that is read, in bytes.
const MAX_NOTE: usize = 64 << 10;

/// The most signatures that a note may carry. The specification asks readers to take at least 16.
const MAX_SIGNATURES: usize = 100;

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 255;

/// Why a text is no signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no signed note (C2SP signed-note): {0}")]
pub struct NoteError(pub(super) &'static str);

impl Explained for NoteError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }

    fn advice(&self) -> Vec<Advice> {
        vec![Advice::Do("give the file as the ledger wrote it, with nothing added or removed")]
    }
}

/// The name of a key that signs notes: a ledger's origin, or a witness's name. Not empty, no space, no plus sign.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn new(name: &str) -> Result<Self, NoteError> {
        let refused = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(refused) {
            return Err(NoteError(
                "a key's name has 1 to 255 bytes and neither spaces, plus signs nor control characters",
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One signature line: who, with which key, and the signature's bytes, whose meaning the key's kind decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: KeyName,
    /// The key's short identifier. It picks a key and proves nothing.
    pub key_id: [u8; 4],
    /// The signature.
    pub bytes: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend(&self.bytes);
        writeln!(f, "— {} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    /// Reads one line, without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix("— ").ok_or(NoteError("a signature line begins with an em dash and a space"))?;
        let (name, text) = rest.split_once(' ').ok_or(NoteError("a signature line has a name and a signature"))?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| NoteError("a signature is not in base64"))?;
        let (key_id, bytes) = bytes.split_first_chunk().ok_or(NoteError("a signature is too short"))?;
        if bytes.is_empty() {
            return Err(NoteError("a signature is too short"));
        }
        Ok(Self { name: KeyName::new(name)?, key_id: *key_id, bytes: bytes.to_vec() })
    }
}

/// A text with signatures, none of which is checked by reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note of a text that ends with a newline and has no other control character.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_characters(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError("its text does not end with a newline"));
        }
        if text.len() > MAX_NOTE || signatures.len() > MAX_SIGNATURES {
            return Err(NoteError("it is longer than 64 KiB, or has more than 100 signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// What is signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, checked or not.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a signature, unless the very same stands there already. An older one of the same key gives way.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        self.signatures.retain(|one| (&one.name, one.key_id) != (&signature.name, signature.key_id));
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError("it has 100 signatures already"));
        }
        self.signatures.push(signature);
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE {
            return Err(NoteError("it is longer than 64 KiB"));
        }
        check_characters(note)?;
        // The last blank line parts text and signatures: the text may have others.
        let split = note.rfind("\n\n").ok_or(NoteError("no blank line parts text and signatures"))?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError("its last line does not end with a newline"))?;
        let signatures = lines.split('\n').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Self::new(text.to_owned(), signatures)
    }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError("it has a control character"));
    }
    Ok(())
}
