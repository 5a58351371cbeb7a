//! Content identifiers: making them, reading their bytes and their text strictly.

use cid::Cid;
use multihash::Multihash;
use sha2::{Digest, Sha256};

use super::limits::{DAG_CBOR, RAW, SHA2_256};

/// The content identifier of a canonical block: version 1, dag-cbor, sha2-256 of these bytes.
#[must_use]
pub fn cid_of_block(block: &[u8]) -> Cid {
    of(DAG_CBOR, block)
}

/// The content identifier of a blob: version 1, raw, sha2-256 of these bytes.
#[must_use]
pub fn cid_of_blob(blob: &[u8]) -> Cid {
    of(RAW, blob)
}

fn of(codec: u64, bytes: &[u8]) -> Cid {
    let multihash = Multihash::<64>::wrap(SHA2_256, &Sha256::digest(bytes));
    Cid::new_v1(codec, multihash.expect("32 bytes fit into the 64 of a multihash"))
}

/// The digest of a content identifier of an event, which is all that tells it from another one; zeros for any of another kind.
pub(crate) fn digest_of(cid: &Cid) -> [u8; 32] {
    cid.hash().digest().try_into().unwrap_or_default()
}

/// The content identifier of the event with a digest.
pub(crate) fn cid_of_digest(digest: &[u8; 32]) -> Cid {
    let multihash = Multihash::<64>::wrap(SHA2_256, digest).expect("32 bytes fit into the 64 of a multihash");
    Cid::new_v1(DAG_CBOR, multihash)
}

/// Whether a block is the one that a content identifier names: false for any other bytes, and for an identifier that is
/// not version 1, dag-cbor, sha2-256.
#[must_use]
pub fn verify_block(block: &[u8], cid: &Cid) -> bool {
    cid_of_block(block) == *cid
}

/// A text that is no content identifier of the kind that events have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is no content identifier: version 1 in lower-case base32 is needed, 59 characters that begin with bafyrei (an event) or bafkrei (a blob)",
    crate::text::visible(.0)
)]
pub struct InvalidCid(
    /// The text that was given, cut to 80 characters.
    pub String,
);

/// Reads a content identifier's text: version 1 in lower-case base32, dag-cbor or raw, sha2-256. No other base, no URL, no
/// upper case, and nothing before or after it.
///
/// # Errors
/// See [`InvalidCid`].
pub fn parse_cid(text: &str) -> Result<Cid, InvalidCid> {
    let invalid = || InvalidCid(text.chars().take(80).collect());
    let bytes: [u8; 36] = decode_base32(text.strip_prefix('b').ok_or_else(invalid)?).ok_or_else(invalid)?;
    if !is_event_link(&bytes) {
        return Err(invalid());
    }
    Cid::try_from(&bytes[..]).map_err(|_| invalid())
}

/// Lower-case base32 without padding (RFC 4648), of exactly `N` bytes and with no bit left over.
fn decode_base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut out = [0; N];
    let (mut bits, mut count, mut at) = (0u32, 0u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'a'..=b'z' => c - b'a',
            b'2'..=b'7' => c - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            *out.get_mut(at)? = (bits >> count) as u8;
            bits &= (1 << count) - 1;
            at += 1;
        }
    }
    (at == N && bits == 0).then_some(out)
}

/// Writes the text of a CID that was checked: base32 in lower case, or base58 for version 0.
pub(super) fn write_cid(cid: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    if let [0x12, 0x20, ..] = cid {
        let text = cid::multibase::Base::Base58Btc.encode(cid);
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'b');
    for group in cid.chunks(5) {
        let mut bits = [0; 8];
        for (to, from) in bits.iter_mut().skip(3).zip(group) {
            *to = *from;
        }
        let bits = u64::from_be_bytes(bits);
        let digits: [u8; 8] = std::array::from_fn(|index| ALPHABET[(bits >> (35 - 5 * index) & 31) as usize]);
        let used = (group.len() * 8).div_ceil(5);
        out.extend_from_slice(digits.get(..used).unwrap_or_default());
    }
}

/// Whether these bytes are a CID as links of events are: version 1, dag-cbor or raw, sha2-256, 32 bytes.
#[inline]
pub(super) fn is_event_link(cid: &[u8]) -> bool {
    matches!(cid, [1, 0x71 | 0x55, 0x12, 0x20, digest @ ..] if digest.len() == 32)
}

/// Whether these bytes are exactly one CID, of either version: shortest varints, a digest of the length that is stated
/// (and of 32 bytes for sha2-256), nothing behind it.
pub(super) fn is_cid(cid: &[u8]) -> bool {
    let digest_of = |bytes| {
        let (code, rest) = varint(bytes)?;
        let (length, digest) = varint(rest)?;
        (digest.len() as u64 == length && (code != SHA2_256 || length == 32)).then_some(())
    };
    match cid {
        [0x12, 0x20, digest @ ..] => digest.len() == 32,
        [1, rest @ ..] => varint(rest).and_then(|(_codec, rest)| digest_of(rest)).is_some(),
        _ => false,
    }
}

/// An unsigned varint of the multiformats: at most nine bytes, in its shortest form.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return (index == 0 || *byte != 0).then(|| (value, bytes.get(index + 1..).unwrap_or_default()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_one_text_form_parses() {
        let cid = cid_of_block(&[0xa0]);
        let text = cid.to_string();
        assert_eq!(text, "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua");
        assert_eq!(parse_cid(&text).unwrap(), cid);
        let blob = cid_of_blob(b"");
        assert_eq!(parse_cid(&blob.to_string()).unwrap(), blob);
        let other_base = cid.to_string_of_base(cid::multibase::Base::Base58Btc).unwrap();
        for bad in [
            "",
            "b",
            "bafyrei",
            &text.to_uppercase(),
            &other_base,
            &format!("/ipfs/{text}"),
            &format!("https://example.org/ipfs/{text}"),
            &format!("{text}/"),
            &format!("{text}a"),
            &format!(" {text}"),
            &format!("{text}\n"),
            "QmQg1v4o9xdT3Q14wh4S7dxZkDjyZ9ssFzFzyep1YrVJBY",
            "bafkqabiaaebagba",
            "bagcqcera73rupyla6bauseyk75rslfys3st25spm75ykhvgusqvv2zfqtucq",
        ] {
            assert!(parse_cid(bad).is_err(), "{bad}");
        }
        // The last character holds two bits and three that must be zero.
        let last = text.pop_last();
        assert!(parse_cid(&format!("{last}b")).is_err());
    }

    trait PopLast {
        fn pop_last(&self) -> &str;
    }

    impl PopLast for String {
        fn pop_last(&self) -> &str {
            &self[..self.len() - 1]
        }
    }

    #[test]
    fn identifiers_are_taken_to_pieces_strictly() {
        let cid = cid_of_block(&[0xa0]).to_bytes();
        assert!(is_cid(&cid) && is_event_link(&cid));
        let mut v0 = vec![0x12, 0x20];
        v0.extend([7; 32]);
        assert!(is_cid(&v0) && !is_event_link(&v0));
        let with = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = cid.clone();
            edit(&mut bytes);
            bytes
        };
        for bad in [
            vec![],
            with(&|bytes| bytes.push(0)),
            with(&|bytes| bytes.truncate(35)),
            with(&|bytes| bytes[0] = 2),
            with(&|bytes| {
                bytes[3] = 20;
                bytes.truncate(24);
            }),
            with(&|bytes| {
                bytes.splice(1..2, [0xf1, 0x00]);
            }),
            with(&|bytes| {
                bytes.splice(1..2, [0xff; 10]);
            }),
        ] {
            assert!(!is_cid(&bad), "{bad:?}");
        }
    }
}
