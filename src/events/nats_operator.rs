//! Facts about a NATS operator: the aggregate `nats.operator`.

use serde::{Deserialize, Serialize};

use super::common::Set;
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId};
use crate::text::{Name, Note, PublicKey, Url};

/// A NATS operator was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsOperatorCreated {
    /// The operator.
    pub operator_id: NatsOperatorId,
    /// Its name.
    pub name: Name,
    /// Its identity key.
    pub key_id: KeyId,
    /// The identity key's public half: O….
    pub public_key: PublicKey,
    /// The system account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_account_id: Option<NatsAccountId>,
    /// Where account JWTs are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_server_url: Option<Url>,
    /// Where clients connect.
    pub service_urls: Set<Url>,
    /// Whether only signing keys may sign.
    pub strict_signing_key_usage: bool,
}

/// A NATS operator's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsOperatorUpdated {
    /// The operator.
    pub operator_id: NatsOperatorId,
    /// Its name.
    pub name: Name,
    /// Its identity key.
    pub key_id: KeyId,
    /// The identity key's public half: O….
    pub public_key: PublicKey,
    /// The system account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_account_id: Option<NatsAccountId>,
    /// Where account JWTs are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_server_url: Option<Url>,
    /// Where clients connect.
    pub service_urls: Set<Url>,
    /// Whether only signing keys may sign.
    pub strict_signing_key_usage: bool,
}

/// A NATS operator was given up: this ledger signs for it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsOperatorDeleted {
    /// The operator.
    pub operator_id: NatsOperatorId,
    /// O….
    pub public_key: PublicKey,
    /// Why.
    pub reason: Note,
}
