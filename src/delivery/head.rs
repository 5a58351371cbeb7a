//! The head: the message that closes a batch, and opens a fast one.

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::outbox::Source;

/// The largest head that is read: what is larger was not written by us.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The greatest position that a source counts to: what JSON carries everywhere.
const MAX_POSITION: u64 = (1 << 53) - 1;

/// How far a source's events are in the stream, as the message on `{head_subject}.{source}` says.
///
/// Its body is JSON, with links as DAG-JSON writes them:
///
/// ```json
/// {"version":1,"source":"5f0c…","position":1042,"cid":{"/":"bafy…"},
///  "previous":{"sequence":901,"position":899},
///  "parked":[{"position":17,"cid":{"/":"bafy…"}}],
///  "checkpoint":"…"}
/// ```
///
/// Every event of the source up to `position` stands in the stream before the head, except the parked ones: a subscriber
/// can tell an event that the server refused from one that it missed. `previous` is absent in the first head, or where
/// the one before it was gone from the stream; `checkpoint` is absent where there is none of exactly this size.
/// Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// The version of this format: 1.
    version: u32,
    /// Whose head it is.
    pub source: Source,
    /// The last position that is in the stream or parked; 0 before the first event.
    pub position: u64,
    /// The content identifier of the event at `position`.
    #[serde(with = "link")]
    pub cid: Cid,
    /// The head before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The events up to `position` that the server refused for what they are, in order of position.
    #[serde(default)]
    pub parked: Vec<ParkedEvent>,
    /// The signed checkpoint of exactly `position` events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

/// A C2SP checkpoint, as text.
pub type Checkpoint = String;

/// The head before a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Previous {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The position that it named.
    pub position: u64,
}

/// One parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Its position.
    pub position: u64,
    /// Its content identifier.
    #[serde(with = "link")]
    pub cid: Cid,
}

/// Why the message on a head subject is no head of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// It is larger than any head that we write.
    #[error("it has {0} bytes, more than any head")]
    TooLarge(usize),
    /// It is not the JSON that a head is.
    #[error("it cannot be parsed as a head: {0}")]
    Malformed(String),
    /// A newer release wrote it.
    #[error("it is of version {0}, which this release does not know")]
    Version(u32),
    /// It names another source.
    #[error("it names the source {0}")]
    Source(Source),
}

impl Head {
    /// Makes a head.
    #[must_use]
    pub fn new(source: Source, position: u64, cid: Cid) -> Self {
        Self { version: 1, source, position, cid, previous: None, parked: Vec::new(), checkpoint: None }
    }

    /// The message's body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists in a buffer: nothing here can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a message's body as the head of `source`.
    pub fn parse(body: &[u8], source: &Source) -> Result<Self, HeadError> {
        if body.len() > MAX_HEAD_BYTES {
            return Err(HeadError::TooLarge(body.len()));
        }
        let head: Self = serde_json::from_slice(body).map_err(|e| HeadError::Malformed(e.to_string()))?;
        if head.version != 1 {
            return Err(HeadError::Version(head.version));
        }
        if head.source != *source {
            return Err(HeadError::Source(head.source));
        }
        if head.position > MAX_POSITION {
            return Err(HeadError::Malformed(format!("its position is beyond {MAX_POSITION}")));
        }
        if !head.parked.is_sorted_by(|a, b| a.position < b.position)
            || head.parked.last().is_some_and(|last| last.position > head.position)
        {
            return Err(HeadError::Malformed("its parked list is out of order or beyond its position".into()));
        }
        Ok(head)
    }
}

/// A CID as DAG-JSON writes a link: `{"/":"bafy…"}`.
mod link {
    use cid::Cid;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Link {
        #[serde(rename = "/")]
        cid: String,
    }

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        Link { cid: cid.to_string() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        let text = Link::deserialize(deserializer)?.cid;
        match Cid::try_from(text.as_str()) {
            // Only the canonical text: other spellings of the same identifier would make two of one.
            Ok(cid) if cid.to_string() == text => Ok(cid),
            _ => Err(D::Error::custom("a CID in base32 is needed")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cid(byte: u8) -> Cid {
        Cid::new_v1(0x71, cid::multihash::Multihash::wrap(0x12, &[byte; 32]).unwrap())
    }

    fn head() -> Head {
        let mut head = Head::new("ledger-1".parse().unwrap(), 1042, cid(7));
        head.previous = Some(Previous { sequence: 901, position: 899 });
        head.parked = vec![ParkedEvent { position: 17, cid: cid(9) }];
        head
    }

    #[test]
    fn the_body_round_trips_and_has_the_documented_shape() {
        let body = head().to_json();
        assert_eq!(Head::parse(&body, &head().source).unwrap(), head());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["cid"]["/"], cid(7).to_string());
        assert_eq!(json["previous"]["sequence"], 901);
        assert!(json.get("checkpoint").is_none());
    }

    #[test]
    fn what_is_no_head_of_ours_is_refused() {
        let text = String::from_utf8(head().to_json()).unwrap();
        let source = head().source;
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("ledger-1", "ledger-2"),
            ("\"position\":17", "\"position\":4000"),
            ("{\"/\":\"baf", "{\"/\":\"Baf"),
            ("1042", "-1"),
            ("1042", "9007199254740992"),
            ("1042", "18446744073709551615"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(Head::parse(changed.as_bytes(), &source).is_err(), "{changed}");
        }
        for bad in [&b""[..], b"null", b"{}", b"\xff", &vec![b' '; MAX_HEAD_BYTES + 1]] {
            assert!(Head::parse(bad, &source).is_err());
        }
    }
}
