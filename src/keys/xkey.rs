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

use crypto_box::aead::Aead as _;
use crypto_box::{Nonce, PublicKey, SalsaBox, SecretKey};
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::nkey::{self, InvalidNkey};
use super::pair::{GenerateError, PrivateKey};
use crate::custody::{LONGEST_SECRET, SealError, SecretBytes};
use crate::events::NkeyKind;
use crate::text::{Recipient, visible};

/// What a box begins with: the version of the form.
const VERSION: &[u8] = b"xkv1";
/// The nonce behind it.
const NONCE: usize = 24;
const LABEL: &str = "NATS XKEY BOX";
const RECIPIENT: &str = "Recipient";
const SENDER: &str = "Sender";
/// The longest file that is opened, in bytes: the longest secret in base64, and the lines around it.
pub const LONGEST_FILE: u64 = 2 * LONGEST_SECRET as u64;

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealToError {
    /// The age recipient, or the secret's length, was not taken.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The curve key is none.
    #[error(
        "{recipient} is no public curve key: {reason}; give an X… key, as `nk -gen curve` and `nk -pubout` make it"
    )]
    Key {
        /// The recipient.
        recipient: Recipient,
        /// What is wrong with it.
        reason: InvalidNkey,
    },
    /// The curve key is one that everybody knows the secret to.
    #[error("{0} is a weak curve key: what is sealed to it, everybody could open; make another key")]
    Weak(Recipient),
    /// There were no random bytes.
    #[error(transparent)]
    Random(#[from] GenerateError),
}

/// Seals a secret to somebody: to an age recipient (`age1…`) as an age file, to a curve key (`X…`) as the file above.
///
/// # Errors
/// See [`SealToError`].
pub fn seal_to(recipient: &Recipient, secret: &SecretBytes) -> Result<SecretBytes, SealToError> {
    if !recipient.is_curve_key() {
        return Ok(crate::custody::seal_to(recipient, secret)?);
    }
    let plain = secret.expose_secret();
    if plain.len() > LONGEST_SECRET {
        return Err(SealError::TooLong { length: plain.len(), limit: LONGEST_SECRET }.into());
    }
    let invalid = |reason| SealToError::Key { recipient: recipient.clone(), reason };
    let theirs = match nkey::check_public(recipient.as_str()).map_err(invalid)? {
        (NkeyKind::Curve, bytes) => bytes,
        _ => return Err(invalid(InvalidNkey::Kind)),
    };
    let (mut own, mut nonce) = (Zeroizing::new([0_u8; 32]), [0_u8; NONCE]);
    for bytes in [own.as_mut_slice(), nonce.as_mut_slice()] {
        SysRng.try_fill_bytes(bytes).map_err(|_| GenerateError::NoRandomness)?;
    }
    let shared = x25519_dalek::StaticSecret::from(*own).diffie_hellman(&x25519_dalek::PublicKey::from(theirs));
    if !shared.was_contributory() {
        return Err(SealToError::Weak(recipient.clone()));
    }
    let own = SecretKey::from(*own);
    let sealed = SalsaBox::new(&PublicKey::from(theirs), &own).encrypt(Nonce::from_slice(&nonce), plain.as_slice());
    // The cipher fails for lengths beyond any memory.
    let sealed = sealed.map_err(|_| SealError::TooLong { length: plain.len(), limit: LONGEST_SECRET })?;
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

/// Why a box stays closed. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenBoxError {
    /// It is no such file.
    #[error("this is no file that was sealed to a curve key: {0}")]
    Form(&'static str),
    /// The key is no curve key.
    #[error("the private key is no curve key (SX…), and only such a key opens this file")]
    Kind,
    /// It is sealed to another key.
    #[error("the file is sealed to \"{}\", and the private key is that of {own}", visible(recipient))]
    Recipient {
        /// To whom it is sealed, as it says.
        recipient: String,
        /// The key that is there.
        own: String,
    },
    /// It does not open.
    #[error("the file does not open: it was changed, or cut off")]
    Closed,
}

/// Opens what [`seal_to`] sealed to a curve key.
///
/// # Errors
/// See [`OpenBoxError`].
pub fn open(text: &str, key: &PrivateKey) -> Result<SecretBytes, OpenBoxError> {
    let (recipient, sender, sealed) = parse(text)?;
    let own = key.as_x25519().ok_or(OpenBoxError::Kind)?;
    let public = key.public().public_key.to_string();
    if recipient != public {
        return Err(OpenBoxError::Recipient { recipient: recipient.chars().take(80).collect(), own: public });
    }
    let sender = match nkey::check_public(&sender) {
        Ok((NkeyKind::Curve, bytes)) => PublicKey::from(bytes),
        _ => return Err(OpenBoxError::Form("its sender is no public curve key")),
    };
    let version = sealed.strip_prefix(VERSION).ok_or(OpenBoxError::Form("it is of another version than xkv1"))?;
    let (nonce, sealed) = version.split_at_checked(NONCE).ok_or(OpenBoxError::Closed)?;
    let own = SecretKey::from(*Zeroizing::new(own.to_bytes()));
    let plain = SalsaBox::new(&sender, &own).decrypt(Nonce::from_slice(nonce), sealed);
    plain.map(|plain| SecretBytes::new(Box::new(plain))).map_err(|_| OpenBoxError::Closed)
}

/// Recipient, sender and box of a file.
fn parse(text: &str) -> Result<(String, String, Vec<u8>), OpenBoxError> {
    if text.len() as u64 > LONGEST_FILE {
        return Err(OpenBoxError::Form("it is too long"));
    }
    let file = pem::parse(text).map_err(|_| OpenBoxError::Form("it is no PEM, or cut off"))?;
    if file.tag() != LABEL {
        return Err(OpenBoxError::Form("it does not begin with -----BEGIN NATS XKEY BOX-----"));
    }
    match (file.headers().get(RECIPIENT), file.headers().get(SENDER)) {
        (Some(recipient), Some(sender)) => Ok((recipient.to_owned(), sender.to_owned(), file.contents().to_vec())),
        _ => Err(OpenBoxError::Form("it does not say to whom and by whom it was sealed")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::pair::KeyKind;
    use nkeys::XKey;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::new(Box::new(text.as_bytes().to_vec()))
    }

    fn sealed(to: &str, text: &str) -> String {
        let sealed = seal_to(&Recipient::new(to).unwrap(), &secret(text)).unwrap();
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
        let key = PrivateKey::parse(&seed).unwrap();
        assert_eq!(open(&text, &key).unwrap().expose_secret(), b"a seed");
        let from = XKey::new();
        let made = armored(&theirs.public_key(), &from.public_key(), from.seal(b"another", &theirs).unwrap()).unwrap();
        assert_eq!(open(&made, &key).unwrap().expose_secret(), b"another");
    }

    #[test]
    fn others_and_changed_files_do_not_open() {
        let key = PrivateKey::generate(KeyKind::Nkey(NkeyKind::Curve)).unwrap();
        let other = PrivateKey::generate(KeyKind::Nkey(NkeyKind::Curve)).unwrap();
        let text = sealed(key.public().public_key.as_str(), "a seed of somebody");
        assert!(!text.contains("seed"));
        assert!(matches!(open(&text, &other), Err(OpenBoxError::Recipient { .. })));
        let user = PrivateKey::generate(KeyKind::Nkey(NkeyKind::User)).unwrap();
        assert!(matches!(open(&text, &user), Err(OpenBoxError::Kind)));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(changed) else { continue };
            // Line ends are free; nothing else is.
            let opened = open(&changed, &key);
            assert!(opened.is_err() || text.as_bytes()[at] == b'\n', "byte {at}");
        }
        for cut in 0..text.len() - 1 {
            assert!(open(&text[..cut], &key).is_err(), "{cut}");
        }
    }

    #[test]
    fn weak_and_wrong_keys_are_refused() {
        let zero = nkey::encode_public(NkeyKind::Curve, &[0; 32]);
        let recipient = |text: &str| Recipient::new(text).unwrap();
        assert!(matches!(seal_to(&recipient(&zero), &secret("x")), Err(SealToError::Weak(_))));
        let mut wrong = XKey::new().public_key();
        wrong.replace_range(10..11, if &wrong[10..11] == "A" { "B" } else { "A" });
        assert!(matches!(seal_to(&recipient(&wrong), &secret("x")), Err(SealToError::Key { .. })));
        let long = secret(&"x".repeat(LONGEST_SECRET + 1));
        assert!(matches!(seal_to(&recipient(&XKey::new().public_key()), &long), Err(SealToError::Seal(_))));
    }
}
