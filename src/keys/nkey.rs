//! The text of nkeys: base32 without padding of prefix, 32 bytes and a CRC-16, as NATS' `strkey.go` writes it.
//!
//! The `nkeys` crate is not used for secrets, because it leaves plain copies of a seed behind; tests compare with it.

use data_encoding::BASE32_NOPAD;
#[cfg(feature = "custody")]
use secrecy::{ExposeSecretMut as _, SecretBox};
#[cfg(feature = "custody")]
use zeroize::Zeroizing;

#[cfg(feature = "custody")]
use super::secret::SecretBytes;
use crate::events::NkeyKind;

/// Public key: prefix byte, 32 bytes, CRC.
const PUBLIC_LENGTH: usize = 56;
/// Seed: two prefix bytes, 32 bytes, CRC.
pub(super) const SEED_LENGTH: usize = 58;
#[cfg(feature = "custody")]
const SEED_PREFIX: u8 = 18 << 3;

/// Why a text is no nkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNkey {
    /// Its length or its characters are not those of an nkey.
    #[error("it is not the base32 text of an nkey")]
    Text,
    /// A character was changed: the checksum differs.
    #[error("its checksum is wrong: a character was changed or left out")]
    Checksum,
    /// It begins with a letter that stands for nothing here.
    #[error("it is not of a known kind (operator O, account A, user U, server N, cluster C, curve X)")]
    Kind,
    /// It is a seed where a public key belongs, or the other way round.
    #[error("it is a public key where a seed is needed, or a seed where a public key is needed")]
    WrongHalf,
}

const fn prefix(kind: NkeyKind) -> u8 {
    match kind {
        NkeyKind::Operator => 14 << 3,
        NkeyKind::Account => 0,
        NkeyKind::User => 20 << 3,
        NkeyKind::Server => 13 << 3,
        NkeyKind::Cluster => 2 << 3,
        NkeyKind::Curve => 23 << 3,
    }
}

fn kind(prefix_byte: u8) -> Result<NkeyKind, InvalidNkey> {
    NkeyKind::ALL.iter().copied().find(|&kind| prefix(kind) == prefix_byte).ok_or(InvalidNkey::Kind)
}

/// The text of a public key.
#[cfg(feature = "custody")]
pub(super) fn encode_public(of: NkeyKind, key: &[u8; 32]) -> String {
    let mut raw = [0; 35];
    raw[0] = prefix(of);
    raw[1..33].copy_from_slice(key);
    let crc = crc16(&raw[..33]).to_le_bytes();
    raw[33..].copy_from_slice(&crc);
    BASE32_NOPAD.encode(&raw)
}

/// The text of a seed.
#[cfg(feature = "custody")]
pub(super) fn encode_seed(of: NkeyKind, seed: &[u8; 32]) -> SecretBytes {
    let mut raw = Zeroizing::new([0; 36]);
    raw[0] = SEED_PREFIX | (prefix(of) >> 5);
    raw[1] = (prefix(of) & 31) << 3;
    raw[2..34].copy_from_slice(seed);
    let crc = crc16(&raw[..34]).to_le_bytes();
    raw[34..].copy_from_slice(&crc);
    let mut text: SecretBytes = SecretBox::new(Box::new(vec![0; SEED_LENGTH]));
    BASE32_NOPAD.encode_mut(raw.as_slice(), text.expose_secret_mut());
    text
}

/// Reads a public key. A key has exactly one text, and no other is accepted.
///
/// # Errors
/// See [`InvalidNkey`].
pub fn check_public(text: &str) -> Result<(NkeyKind, [u8; 32]), InvalidNkey> {
    let mut raw = [0; 35];
    decode(text.as_bytes(), PUBLIC_LENGTH, &mut raw).map_err(|e| match e {
        InvalidNkey::Text if text.len() == SEED_LENGTH && text.starts_with('S') => InvalidNkey::WrongHalf,
        e => e,
    })?;
    let mut key = [0; 32];
    key.copy_from_slice(&raw[1..33]);
    Ok((kind(raw[0])?, key))
}

/// Reads a seed. A seed has exactly one text, and no other is accepted.
#[cfg(feature = "custody")]
pub(super) fn decode_seed(text: &[u8]) -> Result<(NkeyKind, Zeroizing<[u8; 32]>), InvalidNkey> {
    let mut raw = Zeroizing::new([0; 36]);
    decode(text, SEED_LENGTH, raw.as_mut_slice())?;
    if raw[0] & 0xf8 != SEED_PREFIX {
        return Err(InvalidNkey::WrongHalf);
    }
    if raw[1] & 7 != 0 {
        return Err(InvalidNkey::Kind);
    }
    let kind = kind((raw[0] & 7) << 5 | raw[1] >> 3)?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&raw[2..34]);
    Ok((kind, seed))
}

fn decode(text: &[u8], length: usize, raw: &mut [u8]) -> Result<(), InvalidNkey> {
    if text.len() != length || BASE32_NOPAD.decode_len(length) != Ok(raw.len()) {
        return Err(InvalidNkey::Text);
    }
    // Bits left over at the end must be zero (`BASE32_NOPAD` checks them), so that a key has one text.
    BASE32_NOPAD.decode_mut(text, raw).map_err(|_| InvalidNkey::Text)?;
    let (body, crc) = raw.split_at(raw.len() - 2);
    if crc16(body).to_le_bytes() == *crc { Ok(()) } else { Err(InvalidNkey::Checksum) }
}

/// CRC-16/XMODEM: polynomial 0x1021, from 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

#[cfg(all(test, feature = "custody"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn the_crc_is_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn texts_have_their_letter_and_round_trip() {
        for (of, letter) in NkeyKind::ALL.iter().zip("OAUNCX".chars()) {
            let public = encode_public(*of, &[7; 32]);
            assert!(public.starts_with(letter), "{public}");
            assert_eq!(check_public(&public), Ok((*of, [7; 32])));
            let seed = encode_seed(*of, &[9; 32]);
            let text = std::str::from_utf8(seed.expose_secret()).unwrap();
            assert!(text.starts_with('S') && text[1..].starts_with(letter), "{text}");
            let (kind, bytes) = decode_seed(text.as_bytes()).unwrap();
            assert_eq!((kind, *bytes), (*of, [9; 32]));
            assert_eq!(check_public(text), Err(InvalidNkey::WrongHalf));
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let seed = encode_seed(NkeyKind::User, &[9; 32]);
        for at in 0..SEED_LENGTH {
            let mut text = seed.expose_secret().clone();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            assert!(decode_seed(&text).is_err(), "{at}");
        }
        for bad in ["", "S", "SUAx", &"B".repeat(56), &"a".repeat(56), &"A".repeat(100_000)] {
            assert!(check_public(bad).is_err() && decode_seed(bad.as_bytes()).is_err(), "{}", bad.len());
        }
    }
}
