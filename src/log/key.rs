//! The keys that sign checkpoints, in the one-line form that is written down and typed in: `name+hash+base64`.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::note::{KeyName, NoteSignature};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::KeyEncoding;
use crate::keys::{SignError, Signer};
use crate::text::{Name, PublicKey};
use crate::time::Timestamp;

/// Why a text is no verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no verifier key: {problem}", crate::text::visible(text))]
pub struct InvalidKey {
    /// What was given, cut to 120 characters.
    pub text: String,
    /// What is wrong.
    pub problem: &'static str,
}

impl Explained for InvalidKey {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        vec![
            Advice::Do("give one line: name+hash+base64"),
            Advice::Run(Action::ShowPublicKey, "prints it where the ledger is"),
        ]
    }
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// A ledger's own key: plain Ed25519 over the checkpoint (type 0x01).
    Ledger,
    /// A witness's key: Ed25519 over the time and the checkpoint (type 0x04, C2SP tlog-cosignature v1).
    Witness,
}

impl KeyKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Ledger => 0x01,
            Self::Witness => 0x04,
        }
    }
}

/// A public key with the name under which it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Names a key.
    #[must_use]
    pub fn new(name: KeyName, kind: KeyKind, key: VerifyingKey) -> Self {
        Self { name, kind, key }
    }

    /// A ledger's key. Its name, the ledger's origin, is the ledger's name in lower-case ASCII and the first 16 hexadecimal
    /// digits of the SHA-256 of the key it was made with: `acme/6d1f0a9c77be2034`. It stays when the key changes.
    ///
    /// # Errors
    /// See [`InvalidKey`].
    pub fn of_ledger(name: &Name, first_key: &PublicKey, key: &PublicKey) -> Result<Self, InvalidKey> {
        let invalid = |problem| InvalidKey { text: key.as_str().chars().take(120).collect(), problem };
        let key = recorded(key)?;
        let mut slug: String = name.folded().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        slug.truncate(64);
        let slug = slug.trim_matches('-');
        let hash = Sha256::digest(first_key.as_str());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let name = if slug.is_empty() { hash } else { format!("{slug}/{hash}") };
        let name = KeyName::new(&name).map_err(|_| invalid("its ledger's name can't be written as an origin"))?;
        Ok(Self::new(name, KeyKind::Ledger, key))
    }

    /// Another key of the same ledger, as it is recorded.
    ///
    /// # Errors
    /// See [`InvalidKey`].
    pub fn with_key(&self, key: &PublicKey) -> Result<Self, InvalidKey> {
        Ok(Self { key: recorded(key)?, ..self.clone() })
    }

    /// Whether a signature is this key's over bytes that are no note.
    #[must_use]
    pub fn signed_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }

    /// The same key as that of a witness, under the same name.
    #[must_use]
    pub fn as_witness(&self) -> Self {
        Self { kind: KeyKind::Witness, ..self.clone() }
    }

    /// The name under which it signs; for a ledger, its origin.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The 32 bytes of the key itself (RFC 8032).
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The source under which a ledger with this key publishes: its SubjectPublicKeyInfo (RFC 8410) in the URL's alphabet of
    /// base64, without padding.
    #[must_use]
    pub fn source(&self) -> crate::text::SubjectToken {
        // What stands in front of the 32 bytes of an Ed25519 key (RFC 8410, section 4).
        const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let text = BASE64_URL_SAFE_NO_PAD.encode([&PREFIX[..], self.key.as_bytes()].concat());
        crate::text::SubjectToken::new(&text).expect("base64 in the URL's alphabet is a token")
    }

    /// The short identifier that stands in front of each signature: SHA-256 of name, newline, type and key, its first
    /// four bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(self.name.as_str())
            .chain_update([b'\n', self.kind.byte()])
            .chain_update(self.key.as_bytes())
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Whether a signature line names this key; the signature itself may still be wrong.
    #[must_use]
    pub fn is_named_by(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.key_id == self.id()
    }

    /// Checks a signature of this key over a note's text. For a witness it tells the time that was signed with it.
    /// `None` for a signature that is not of this key.
    #[must_use]
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Option<Verified> {
        if !self.is_named_by(signature) {
            return None;
        }
        let (at, bytes, message) = match self.kind {
            KeyKind::Ledger => (None, signature.bytes.as_slice(), text.to_owned()),
            KeyKind::Witness => {
                let (seconds, bytes) = signature.bytes.split_first_chunk::<8>()?;
                let seconds = i64::try_from(u64::from_be_bytes(*seconds)).ok()?;
                let at = Timestamp::from_unix_micros(seconds.checked_mul(1_000_000)?)?;
                (Some(at), bytes, cosigned(seconds, text))
            }
        };
        let signature = Signature::from_bytes(bytes.try_into().ok()?);
        self.key.verify_strict(message.as_bytes(), &signature).ok()?;
        Some(Verified { at })
    }

    /// Whether a signer has this key.
    pub(super) fn is_of(&self, signer: &dyn Signer) -> bool {
        let public = signer.public();
        public.encoding == KeyEncoding::Spki && recorded(&public.public_key).is_ok_and(|key| key == self.key)
    }

    /// Signs a note's text. The signer must be of this key; a witness names the time.
    pub(super) fn sign(&self, signer: &dyn Signer, text: &str, at: Timestamp) -> Result<NoteSignature, SignError> {
        let bytes = match self.kind {
            KeyKind::Ledger => signer.sign(text.as_bytes())?,
            KeyKind::Witness => {
                let seconds = at.unix_micros().max(0) / 1_000_000;
                let mut bytes = seconds.to_be_bytes().to_vec();
                bytes.extend(signer.sign(cosigned(seconds, text).as_bytes())?);
                bytes
            }
        };
        Ok(NoteSignature { name: self.name.clone(), key_id: self.id(), bytes })
    }
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// When a witness signed, by its own clock; a ledger's signature carries no time.
    pub at: Option<Timestamp>,
}

/// A key as events have it: a SubjectPublicKeyInfo in base64.
fn recorded(key: &PublicKey) -> Result<VerifyingKey, InvalidKey> {
    let invalid = |problem| InvalidKey { text: key.as_str().chars().take(120).collect(), problem };
    let der = BASE64_STANDARD.decode(key.as_str()).map_err(|_| invalid("it is not in base64"))?;
    VerifyingKey::from_public_key_der(&der).map_err(|_| invalid("it is no Ed25519 key"))
}

fn cosigned(seconds: i64, text: &str) -> String {
    format!("cosignature/v1\ntime {seconds}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend(self.key.as_bytes());
        let id = u32::from_be_bytes(self.id());
        write!(f, "{}+{id:08x}+{}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let invalid = |problem| InvalidKey { text: text.chars().take(120).collect(), problem };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("it has not three parts joined by plus signs"));
        };
        let name = KeyName::new(name).map_err(|_| invalid("its name is empty, too long, or has a space in it"))?;
        if key.len() > 64 {
            return Err(invalid("its key is too long"));
        }
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| invalid("its key is not in base64"))?;
        let (kind, key) = match bytes.split_first() {
            Some((0x01, key)) => (KeyKind::Ledger, key),
            Some((0x04, key)) => (KeyKind::Witness, key),
            _ => return Err(invalid("its type is neither a ledger's (1) nor a witness's (4)")),
        };
        let key: [u8; 32] = key.try_into().map_err(|_| invalid("an Ed25519 key has 32 bytes"))?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| invalid("these bytes are no Ed25519 key"))?;
        if key.is_weak() {
            return Err(invalid("this Ed25519 key is one of the few under which anything verifies"));
        }
        let this = Self { name, kind, key };
        if hash != format!("{:08x}", u32::from_be_bytes(this.id())) {
            return Err(invalid("its hash does not fit its name and key: a character was mistyped"));
        }
        Ok(this)
    }
}
