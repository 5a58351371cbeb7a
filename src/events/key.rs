//! Facts about a key pair: the aggregate `key`.

use serde::{Deserialize, Serialize};

use super::common::{KeyAlgorithm, KeyEncoding, KeyPurpose, Party, RevocationReason, Validity};
use crate::ids::{KeyId, LocationId};
use crate::text::{Label, Name, Note, PublicKey, Recipient};
use crate::time::Timestamp;

/// A key pair was made, and its private half sealed in custody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGenerated {
    /// The key pair.
    pub key_id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// How `public_key` is written.
    pub encoding: KeyEncoding,
    /// The public half.
    pub public_key: PublicKey,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Whose it is.
    pub owner: Party,
    /// The custody compartment that holds the private half.
    pub compartment: Label,
    /// When it may be used.
    pub validity: Validity,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
}

/// A key that was made elsewhere became known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyImported {
    /// The key pair.
    pub key_id: KeyId,
    /// What people call it.
    pub name: Name,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// How `public_key` is written.
    pub encoding: KeyEncoding,
    /// The public half.
    pub public_key: PublicKey,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Whose it is.
    pub owner: Party,
    /// The custody compartment that holds the private half; absent when only the public half is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compartment: Option<Label>,
    /// When it may be used.
    pub validity: Validity,
    /// Where it came from.
    pub origin: Note,
    /// Whether the private half lay unencrypted before: such a key is better rotated.
    pub was_plaintext: bool,
}

/// A key must no longer be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// The key.
    pub key_id: KeyId,
    /// Its public half, so that a consumer can act without looking back.
    pub public_key: PublicKey,
    /// Why, in the terms of RFC 5280.
    pub reason: RevocationReason,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Since when it is suspected to be in wrong hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Timestamp>,
}

/// A key was replaced by another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The key that was replaced.
    pub key_id: KeyId,
    /// Its public half.
    pub public_key: PublicKey,
    /// The key that replaces it.
    pub successor_id: KeyId,
    /// Until when both are good; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retire_at: Option<Timestamp>,
}

/// A private key left custody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyExported {
    /// The key.
    pub key_id: KeyId,
    /// Its public half.
    pub public_key: PublicKey,
    /// To whom it was sealed; absent when it left unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
    /// Why.
    pub reason: Note,
}
