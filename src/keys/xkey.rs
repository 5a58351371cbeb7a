//! Sealing to the curve keys of NATS (`X…`), as the nkeys libraries' `Seal` does: `xkv1`, a nonce of 24 bytes, and a NaCl box
//! (X25519, XSalsa20, Poly1305).
//!
//! Opening such a box needs the sender's public key. The sender here is a key that is made for one box and forgotten, and its
//! public half stands in the file, which is PEM with headers (RFC 1421, 4.6):
//!
//! ```text
//! -----BEGIN NATS XKEY BOX-----
//! Recipient: XB…
//! Sender: XA…
//!
//! eGt2MQ…
//! -----END NATS XKEY BOX-----
//! ```
//!
//! So whoever has the recipient's seed can open it, and nobody learns from it who sealed, as with an age file.

use std::fmt;

use crypto_box::aead::Aead as _;
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey};
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::ExposeSecret as _;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::kind::PublicFacts;
use super::nkey::{self, InvalidNkey};
use super::pair::{ParseError, PrivateKey};
use super::port::{GenerateError, Opener, UnsealError};
use super::secret::{LONGEST_SECRET, SecretBytes};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::NkeyKind;
use crate::text::Recipient;

/// What a box begins with: the version of the form.
const VERSION: &[u8] = b"xkv1";
/// The nonce behind it.
const NONCE: usize = 24;
const LABEL: &str = "NATS XKEY BOX";
const RECIPIENT: &str = "Recipient";
const SENDER: &str = "Sender";
/// The longest file that is opened, in bytes: the longest secret in base64, and the lines around it.
pub const LONGEST_FILE: u64 = 2 * LONGEST_SECRET as u64;

/// Why nothing was sealed to a curve key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XkeyError {
    /// It is too long for a secret.
    #[error("it has {0} bytes, and a secret has at most {LONGEST_SECRET}")]
    TooLong(usize),
    /// The curve key is none.
    #[error("{recipient} is no public curve key: {reason}")]
    Key {
        /// The recipient.
        recipient: Recipient,
        /// What is wrong with it.
        reason: InvalidNkey,
    },
    /// The curve key is one that everybody knows the secret to.
    #[error("{0} is a weak curve key: everybody could open what is sealed to it")]
    Weak(Recipient),
    /// There were no random bytes.
    #[error(transparent)]
    Random(#[from] GenerateError),
}

impl Explained for XkeyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Key { .. } | Self::Weak(_) => ErrorKind::Usage,
            Self::TooLong(_) | Self::Random(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::TooLong(_) => Vec::new(),
            Self::Key { .. } => vec![Advice::Do("give an X… key, as `nk -gen curve` and `nk -pubout` make it")],
            Self::Weak(_) => vec![Advice::Do("make another key")],
            Self::Random(error) => error.advice(),
        }
    }
}

/// Seals a secret to a curve key (`X…`), as the file above.
///
/// # Errors
/// See [`XkeyError`].
pub fn seal(recipient: &Recipient, secret: &SecretBytes) -> Result<SecretBytes, XkeyError> {
    let plain = secret.expose_secret();
    if plain.len() > LONGEST_SECRET {
        return Err(XkeyError::TooLong(plain.len()));
    }
    let invalid = |reason| XkeyError::Key { recipient: recipient.clone(), reason };
    let theirs = match nkey::check_public(recipient.as_str()).map_err(invalid)? {
        (NkeyKind::Curve, bytes) => bytes,
        _ => return Err(invalid(InvalidNkey::Kind)),
    };
    let (mut own, mut nonce) = (Zeroizing::new([0_u8; 32]), [0_u8; NONCE]);
    for bytes in [own.as_mut_slice(), nonce.as_mut_slice()] {
        SysRng.try_fill_bytes(bytes).map_err(|_| GenerateError::NoRandomness)?;
    }
    let shared = StaticSecret::from(*own).diffie_hellman(&x25519_dalek::PublicKey::from(theirs));
    if !shared.was_contributory() {
        return Err(XkeyError::Weak(recipient.clone()));
    }
    let own = SecretKey::from(*own);
    let sealed = SalsaBox::new(&PublicKey::from(theirs), &own).encrypt(Nonce::from_slice(&nonce), plain.as_slice());
    // The cipher fails for lengths beyond any memory.
    let sealed = sealed.map_err(|_| XkeyError::TooLong(plain.len()))?;
    let sender = nkey::encode_public(NkeyKind::Curve, own.public_key().as_bytes());
    let text = armored(recipient.as_str(), &sender, [VERSION, &nonce, &sealed].concat())
        .ok_or_else(|| invalid(InvalidNkey::Text))?;
    Ok(SecretBytes::new(Box::new(text.into_bytes())))
}

/// The file of a box. Keys are letters and digits, which every header takes.
fn armored(recipient: &str, sender: &str, sealed: Vec<u8>) -> Option<String> {
    let mut file = pem::Pem::new(LABEL, sealed);
    file.headers_mut().add(RECIPIENT, recipient).ok()?;
    file.headers_mut().add(SENDER, sender).ok()?;
    Some(pem::encode_config(&file, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
}

/// A curve key that opens boxes.
pub struct CurveKey {
    key: StaticSecret,
    public: PublicFacts,
}

impl CurveKey {
    /// Reads the seed (`SX…`) of a curve key.
    ///
    /// # Errors
    /// See [`ParseError`]; [`ParseError::NoCurve`] for a key of another kind.
    pub fn parse(seed: &SecretBytes) -> Result<Self, ParseError> {
        let key = PrivateKey::parse(seed)?;
        let public = key.public();
        Ok(Self { key: key.into_x25519().ok_or(ParseError::NoCurve)?, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicFacts {
        &self.public
    }
}

impl fmt::Debug for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurveKey({})", self.public.public_key)
    }
}

impl Opener for CurveKey {
    fn open(&self, sealed: &[u8]) -> Result<SecretBytes, UnsealError> {
        let text = std::str::from_utf8(sealed).map_err(|_| UnsealError::Form("it is no text"))?;
        let (recipient, sender, sealed) = parse(text)?;
        if recipient != self.public.public_key.as_str() {
            return Err(UnsealError::Recipient { recipient: Some(recipient.chars().take(80).collect()) });
        }
        let sender = match nkey::check_public(&sender) {
            Ok((NkeyKind::Curve, bytes)) => PublicKey::from(bytes),
            _ => return Err(UnsealError::Form("its sender is no public curve key")),
        };
        let version = sealed.strip_prefix(VERSION).ok_or(UnsealError::Form("it is of another version than xkv1"))?;
        let (nonce, sealed) = version.split_at_checked(NONCE).ok_or(UnsealError::Closed)?;
        let own = SecretKey::from(*Zeroizing::new(self.key.to_bytes()));
        let plain = SalsaBox::new(&sender, &own).decrypt(Nonce::from_slice(nonce), sealed);
        plain.map(|plain| SecretBytes::new(Box::new(plain))).map_err(|_| UnsealError::Closed)
    }
}

/// Recipient, sender and box of a file.
fn parse(text: &str) -> Result<(String, String, Vec<u8>), UnsealError> {
    if text.len() as u64 > LONGEST_FILE {
        return Err(UnsealError::Form("it is too long"));
    }
    let file = pem::parse(text).map_err(|_| UnsealError::Form("it is no PEM, or cut off"))?;
    if file.tag() != LABEL {
        return Err(UnsealError::Form("it does not begin with -----BEGIN NATS XKEY BOX-----"));
    }
    match (file.headers().get(RECIPIENT), file.headers().get(SENDER)) {
        (Some(recipient), Some(sender)) => Ok((recipient.to_owned(), sender.to_owned(), file.contents().to_vec())),
        _ => Err(UnsealError::Form("it does not say to whom and by whom it was sealed")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::KeyKind;
    use nkeys::XKey;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(Box::new(text.as_bytes().to_vec()))
    }

    fn sealed(to: &str, text: &str) -> String {
        let sealed = seal(&Recipient::new(to).unwrap(), &secret(text)).unwrap();
        String::from_utf8(sealed.expose_secret().clone()).unwrap()
    }

    #[test]
    fn the_nkeys_library_opens_what_is_sealed_here_and_the_other_way_round() {
        let theirs = XKey::new();
        let text = sealed(&theirs.public_key(), "a seed");
        let file = pem::parse(&text).unwrap();
        let sender = XKey::from_public_key(file.headers().get(SENDER).unwrap()).unwrap();
        assert_eq!(theirs.open(file.contents(), &sender).unwrap(), b"a seed");

        let seed = secret(&theirs.seed().unwrap());
        let key = CurveKey::parse(&seed).unwrap();
        assert_eq!(key.open(text.as_bytes()).unwrap().expose_secret(), b"a seed");
        let from = XKey::new();
        let made = armored(&theirs.public_key(), &from.public_key(), from.seal(b"another", &theirs).unwrap()).unwrap();
        assert_eq!(key.open(made.as_bytes()).unwrap().expose_secret(), b"another");
    }

    #[test]
    fn others_and_changed_files_do_not_open() {
        let generate = |kind| PrivateKey::generate(KeyKind::Nkey(kind)).unwrap().secret();
        let key = CurveKey::parse(&generate(NkeyKind::Curve)).unwrap();
        let other = CurveKey::parse(&generate(NkeyKind::Curve)).unwrap();
        let text = sealed(key.public().public_key.as_str(), "a seed of somebody");
        assert!(!text.contains("seed"));
        assert!(matches!(other.open(text.as_bytes()), Err(UnsealError::Recipient { .. })));
        assert!(matches!(CurveKey::parse(&generate(NkeyKind::User)), Err(ParseError::NoCurve)));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(changed) else { continue };
            // Line ends are free; nothing else is.
            let opened = key.open(changed.as_bytes());
            assert!(opened.is_err() || text.as_bytes()[at] == b'\n', "byte {at}");
        }
        for cut in 0..text.len() - 1 {
            assert!(key.open(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn weak_and_wrong_keys_are_refused() {
        let zero = nkey::encode_public(NkeyKind::Curve, &[0; 32]);
        let recipient = |text: &str| Recipient::new(text).unwrap();
        assert!(matches!(seal(&recipient(&zero), &secret("x")), Err(XkeyError::Weak(_))));
        let mut wrong = XKey::new().public_key();
        wrong.replace_range(10..11, if &wrong[10..11] == "A" { "B" } else { "A" });
        assert!(matches!(seal(&recipient(&wrong), &secret("x")), Err(XkeyError::Key { .. })));
        let long = secret(&"x".repeat(LONGEST_SECRET + 1));
        assert!(matches!(seal(&recipient(&XKey::new().public_key()), &long), Err(XkeyError::TooLong(_))));
    }
}
