//! Facts about a key of the NATS hierarchy: the aggregate `nats.key`.

use serde::{Deserialize, Serialize};

use super::common::{NatsHolder, NkeyKind, Party};
use crate::ids::KeyId;
use crate::text::{Label, Name, Note, PublicKey};

/// An operator or account got a signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsSigningKeyGenerated {
    /// The signing key.
    pub key_id: KeyId,
    /// The operator or account that it signs for.
    pub holder: NatsHolder,
    /// O… or A….
    pub public_key: PublicKey,
    /// The scope's role, for a scoped key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Name>,
    /// The custody compartment that holds the seed; absent when only the public half is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compartment: Option<Label>,
}

/// An nkey was made, and its seed sealed in custody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NKeyGenerated {
    /// The key.
    pub key_id: KeyId,
    /// What it identifies.
    pub kind: NkeyKind,
    /// The public half.
    pub public_key: PublicKey,
    /// The custody compartment that holds the seed.
    pub compartment: Label,
    /// Whose it is.
    pub owner: Party,
}

/// A signing key no longer signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsSigningKeyRetired {
    /// The signing key.
    pub key_id: KeyId,
    /// Whose it was.
    pub holder: NatsHolder,
    /// O… or A….
    pub public_key: PublicKey,
    /// The key that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor_id: Option<KeyId>,
    /// Why.
    pub reason: Note,
}
