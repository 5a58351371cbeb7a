//! Facts about a signature over an event: the aggregate `attestation`.

use serde::{Deserialize, Serialize};

use super::common::{Bytes, KeyAlgorithm, Link, Party, Set};
use crate::ids::KeyId;
use crate::text::{Label, Note};

/// Someone signed an event's content identifier. The event is one of the causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAttested {
    /// The event.
    pub event: Link,
    /// Who signed.
    pub signer: Party,
    /// With which key.
    pub key_id: KeyId,
    /// Of the signature.
    pub algorithm: KeyAlgorithm,
    /// The signature over the 36 bytes of the CID: 64 bytes for Ed25519 (RFC 8032), a DER `ECDSA-Sig-Value` (RFC 3279) over
    /// their SHA-256 for P-256. What else such a key signs begins with a line of text, and a CID with the bytes 01 71 12 20:
    /// one is never taken for the other.
    pub signature: Bytes,
}

/// From here on, an event of one of these types is recorded only with the signature of whoever acts. Replaces what was
/// demanded before, and is signed itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignaturesRequired {
    /// The types, all of them; none is demanded any more when empty.
    pub event_types: Set<Label>,
    /// Why.
    pub reason: Note,
}
