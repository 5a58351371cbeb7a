//! Facts about the ledger itself: the aggregate `ledger`.

use serde::{Deserialize, Serialize};

use super::common::{LedgerRelation, Link};
use crate::ids::LedgerId;
use crate::text::{Name, Note, PublicKey};

/// A ledger was made. Always its first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerCreated {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Its name.
    pub name: Name,
    /// Its Ed25519 key: the ledger's identity. It attests order and completeness, not authority.
    pub public_key: PublicKey,
}

/// Another ledger became known, and its key trusted for what is said here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLinked {
    /// The other ledger.
    pub ledger_id: LedgerId,
    /// Its name.
    pub name: Name,
    /// Its Ed25519 key.
    pub public_key: PublicKey,
    /// What it is to this one.
    pub relation: LedgerRelation,
}

/// The ledger goes on under a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerKeyRotated {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The new key.
    pub public_key: PublicKey,
    /// The key that ends here.
    pub previous_public_key: PublicKey,
    /// Why.
    pub reason: Note,
}

/// The right to write moved to another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHandedOver {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Why, and from where to where.
    pub reason: Note,
}

/// A declarative file was applied: what the next one is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestApplied {
    /// The file in its normal form, as a raw block.
    pub manifest: Link,
    /// The file's name.
    pub name: Name,
}
