//! Facts about a NATS account: the aggregate `nats.account`.

use serde::{Deserialize, Serialize};

use super::common::{Link, Set};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId};
use crate::text::{Label, Name, Note, PublicKey};

/// A NATS account was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsAccountCreated {
    /// The account.
    pub account_id: NatsAccountId,
    /// The operator that it belongs to.
    pub operator_id: NatsOperatorId,
    /// Its name.
    pub name: Name,
    /// Its identity key.
    pub key_id: KeyId,
    /// The identity key's public half: A….
    pub public_key: PublicKey,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Whether it is the system account.
    pub system: bool,
}

/// A NATS account's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsAccountUpdated {
    /// The account.
    pub account_id: NatsAccountId,
    /// The operator that it belongs to.
    pub operator_id: NatsOperatorId,
    /// Its name.
    pub name: Name,
    /// Its identity key.
    pub key_id: KeyId,
    /// The identity key's public half: A….
    pub public_key: PublicKey,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Whether it is the system account.
    pub system: bool,
}

/// Servers hold an account's JWT, as they proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsAccountPushed {
    /// The account.
    pub account_id: NatsAccountId,
    /// A….
    pub public_key: PublicKey,
    /// The JWT's id.
    pub jti: Label,
    /// The JWT's text, as a raw block.
    pub jwt: Link,
    /// The servers that hold it.
    pub servers: Set<Name>,
}

/// An account was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsAccountDeleted {
    /// The account.
    pub account_id: NatsAccountId,
    /// A….
    pub public_key: PublicKey,
    /// Why.
    pub reason: Note,
}
