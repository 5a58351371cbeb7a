//! Facts about a signature over an event: the aggregate `attestation`.

use serde::{Deserialize, Serialize};

use super::common::{Bytes, KeyAlgorithm, Link, Party};
use crate::ids::KeyId;

/// Someone signed an event's content identifier.
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
    /// The signature over the 36 bytes of the CID.
    pub signature: Bytes,
}
