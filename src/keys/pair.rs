//! Key pairs: made, read, used.
//!
//! A secret is kept in the format that other programs read: PKCS#8 in PEM (RFC 5958, version 1) for Ed25519 and P-256,
//! which `openssl pkey` takes, and the seed's text for nkeys, which `nk` and `nats --nkey` take. Each ends with a line
//! feed.
//!
//! ```
//! use cim_keys::keys::{self, KeyKind, pair::PrivateKey};
//!
//! let key = PrivateKey::generate("nkey-user".parse::<KeyKind>()?)?;
//! let public = key.public();
//! assert!(public.public_key.as_str().starts_with('U'));
//! let signature = key.sign(b"a nonce")?;
//! assert!(keys::verify(&public, b"a nonce", &signature).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey, KeypairBytes};
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use zeroize::Zeroizing;

use super::kind::{KeyKind, PublicFacts};
use super::nkey;
use super::port::{GenerateError, SignError, Signer};
use super::public::spki;
use super::secret::{LONGEST_SECRET, SecretBytes};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::NkeyKind;
use crate::text::PublicKey;

/// Why a text is not taken for a private key. Never carries any of the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is longer than any private key.
    #[error("it is longer than {LONGEST_SECRET} bytes")]
    TooLong,
    /// It is none of the known formats.
    #[error(
        "it is no private key in a known format: PKCS#8 or SEC 1 in PEM (Ed25519, P-256), or the seed of an nkey, are needed"
    )]
    Format,
    /// It is protected by a passphrase of its own.
    #[error("it is encrypted with a passphrase of its own")]
    Encrypted,
    /// It is in a known format, of an algorithm that is not kept.
    #[error("it is neither an Ed25519 nor a P-256 key: other algorithms are not kept")]
    Algorithm,
    /// A curve key is needed.
    #[error("it is no curve key (SX…), and only such a key opens this file")]
    NoCurve,
    /// It looks like an nkey's seed and is none.
    #[error("the nkey seed in it is not valid: {0}")]
    Nkey(#[from] nkey::InvalidNkey),
    /// There is more than one key in it.
    #[error("there is more than one private key in it")]
    Several,
}

impl Explained for ParseError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        let what = match self {
            Self::Algorithm | Self::NoCurve | Self::Nkey(_) => return Vec::new(),
            Self::TooLong => "give a file that holds one private key and nothing else",
            Self::Format => "`ssh-keygen -p -m PKCS8` and `openssl pkcs8 -topk8 -nocrypt` convert others",
            Self::Encrypted => "decrypt it with `openssl pkcs8` and pipe it in: it is sealed at once",
            Self::Several => "import them one by one",
        };
        vec![Advice::Do(what)]
    }
}

/// A private key in memory, zeroized when dropped.
pub struct PrivateKey(Inner);

enum Inner {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
    Nkey(NkeyKind, ed25519_dalek::SigningKey),
    Curve(x25519_dalek::StaticSecret),
}

impl PrivateKey {
    /// Makes a key from the system's random bytes.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn generate(kind: KeyKind) -> Result<Self, GenerateError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        loop {
            SysRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|_| GenerateError::NoRandomness)?;
            let inner = match kind {
                KeyKind::Ed25519 => Inner::Ed25519(ed25519_dalek::SigningKey::from_bytes(&bytes)),
                // Not every 32 bytes are a P-256 scalar: those that are not (one in 2^32) are drawn again.
                KeyKind::P256 => match p256::ecdsa::SigningKey::from_slice(bytes.as_slice()) {
                    Ok(key) => Inner::P256(key),
                    Err(_) => continue,
                },
                KeyKind::Nkey(kind) => Inner::nkey(kind, &bytes),
            };
            return Ok(Self(inner));
        }
    }

    /// Reads a private key: PKCS#8 or SEC 1 in PEM, the seed of an nkey, or a file that holds one such seed (a `.nk` or
    /// `.creds` file).
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(secret: &SecretBytes) -> Result<Self, ParseError> {
        let bytes = secret.expose_secret();
        if bytes.len() > LONGEST_SECRET {
            return Err(ParseError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ParseError::Format)?;
        match text.matches("PRIVATE KEY-----").count() {
            0 => parse_nkey(text),
            2 if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") => Err(ParseError::Encrypted),
            2 if text.contains("-----BEGIN PRIVATE KEY-----") => parse_pkcs8(text.trim()),
            2 if text.contains("-----BEGIN EC PRIVATE KEY-----") => parse_sec1(text),
            2 => Err(ParseError::Format),
            _ => Err(ParseError::Several),
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match &self.0 {
            Inner::Ed25519(_) => KeyKind::Ed25519,
            Inner::P256(_) => KeyKind::P256,
            Inner::Nkey(kind, _) => KeyKind::Nkey(*kind),
            Inner::Curve(_) => KeyKind::Nkey(NkeyKind::Curve),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicFacts {
        let text = match &self.0 {
            Inner::Ed25519(key) => spki(&key.verifying_key()),
            Inner::P256(key) => spki(&p256::PublicKey::from(key.verifying_key())),
            Inner::Nkey(kind, key) => nkey::encode_public(*kind, key.verifying_key().as_bytes()),
            Inner::Curve(key) => nkey::encode_public(NkeyKind::Curve, x25519_dalek::PublicKey::from(key).as_bytes()),
        };
        let public_key = PublicKey::new(&text).expect("56 letters of base32, or some 60 to 130 of base64");
        PublicFacts { algorithm: self.kind().algorithm(), encoding: self.kind().encoding(), public_key }
    }

    /// The secret in its standard format, as custody keeps it.
    #[must_use]
    pub fn secret(&self) -> SecretBytes {
        match &self.0 {
            // Version 1, without the public key: OpenSSL does not read version 2 (RFC 5958).
            Inner::Ed25519(key) => pem(&KeypairBytes { secret_key: key.to_bytes(), public_key: None }),
            Inner::P256(key) => pem(&p256::SecretKey::from(key)),
            Inner::Nkey(kind, key) => seed_line(*kind, &Zeroizing::new(key.to_bytes())),
            Inner::Curve(key) => seed_line(NkeyKind::Curve, &Zeroizing::new(key.to_bytes())),
        }
    }

    /// The key as X25519, if it is a curve key.
    pub(super) fn into_x25519(self) -> Option<x25519_dalek::StaticSecret> {
        match self.0 {
            Inner::Curve(key) => Some(key),
            _ => None,
        }
    }

    /// Signs bytes. Ed25519 gives 64 bytes (RFC 8032); P-256 hashes with SHA-256 and gives a DER `ECDSA-Sig-Value`
    /// (RFC 3279), without randomness (RFC 6979).
    ///
    /// # Errors
    /// [`SignError::CannotSign`] for a curve key.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.0 {
            Inner::Ed25519(key) | Inner::Nkey(_, key) => {
                Ok(ed25519_dalek::Signer::sign(key, message).to_bytes().to_vec())
            }
            Inner::P256(key) => {
                let signature: p256::ecdsa::DerSignature = p256::ecdsa::signature::Signer::sign(key, message);
                Ok(signature.as_bytes().to_vec())
            }
            Inner::Curve(_) => Err(SignError::CannotSign),
        }
    }
}

impl Inner {
    fn nkey(kind: NkeyKind, seed: &[u8; 32]) -> Self {
        match kind {
            NkeyKind::Curve => Self::Curve(x25519_dalek::StaticSecret::from(*seed)),
            kind => Self::Nkey(kind, ed25519_dalek::SigningKey::from_bytes(seed)),
        }
    }
}

impl From<ed25519_dalek::SigningKey> for PrivateKey {
    fn from(key: ed25519_dalek::SigningKey) -> Self {
        Self(Inner::Ed25519(key))
    }
}

/// Makes a key that no key ring keeps: for a program that hands it on at once. Gives its public half, and the secret in its
/// standard format.
///
/// # Errors
/// See [`GenerateError`].
pub fn generate(kind: KeyKind) -> Result<(PublicFacts, SecretBytes), GenerateError> {
    let key = PrivateKey::generate(kind)?;
    Ok((key.public(), key.secret()))
}

/// Reads a private key in any known format. Gives its public half, and the secret in its standard format.
///
/// # Errors
/// See [`ParseError`].
pub fn normalize(secret: &SecretBytes) -> Result<(PublicFacts, SecretBytes), ParseError> {
    let key = PrivateKey::parse(secret)?;
    Ok((key.public(), key.secret()))
}

/// A private key in memory as what signs, with its public half at hand.
pub struct SoftwareKey {
    key: PrivateKey,
    public: PublicFacts,
}

impl SoftwareKey {
    /// Takes a key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Arc<Self> {
        let public = key.public();
        Arc::new(Self { key, public })
    }

    /// The secret in its standard format, as custody keeps it.
    #[must_use]
    pub fn secret(&self) -> SecretBytes {
        self.key.secret()
    }
}

impl Signer for SoftwareKey {
    fn public(&self) -> &PublicFacts {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(message)
    }

    fn waits(&self) -> bool {
        false
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareKey({})", self.public.public_key)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.kind())
    }
}

fn parse_pkcs8(pem: &str) -> Result<PrivateKey, ParseError> {
    if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
        return Ok(PrivateKey(Inner::Ed25519(key)));
    }
    match p256::SecretKey::from_pkcs8_pem(pem) {
        Ok(key) => Ok(PrivateKey(Inner::P256(key.into()))),
        Err(_) => Err(ParseError::Algorithm),
    }
}

fn parse_sec1(text: &str) -> Result<PrivateKey, ParseError> {
    // `openssl ecparam -genkey` writes the curve's name before the key.
    let begin = text.find("-----BEGIN EC PRIVATE KEY-----").ok_or(ParseError::Format)?;
    match p256::SecretKey::from_sec1_pem(text[begin..].trim()) {
        Ok(key) => Ok(PrivateKey(Inner::P256(key.into()))),
        Err(_) => Err(ParseError::Algorithm),
    }
}

fn parse_nkey(text: &str) -> Result<PrivateKey, ParseError> {
    let looks_like_one = |line: &&str| line.len() == nkey::SEED_LENGTH && line.starts_with('S');
    let mut lines = text.lines().map(str::trim).filter(looks_like_one);
    let line = lines.next().ok_or(ParseError::Format)?;
    if lines.next().is_some() {
        return Err(ParseError::Several);
    }
    let (kind, seed) = nkey::decode_seed(line.as_bytes())?;
    Ok(PrivateKey(Inner::nkey(kind, &seed)))
}

fn pem(key: &impl EncodePrivateKey) -> SecretBytes {
    let text: Zeroizing<String> =
        key.to_pkcs8_pem(LineEnding::LF).expect("a fixed algorithm and a key of fixed length encode");
    SecretBox::new(Box::new(text.as_bytes().to_vec()))
}

fn seed_line(kind: NkeyKind, seed: &[u8; 32]) -> SecretBytes {
    let text = nkey::encode_seed(kind, seed);
    let mut line: SecretBytes = SecretBox::new(Box::new(Vec::with_capacity(nkey::SEED_LENGTH + 1)));
    line.expose_secret_mut().extend_from_slice(text.expose_secret());
    line.expose_secret_mut().push(b'\n');
    line
}
