//! Facts about a NATS user: the aggregate `nats.user`.

use serde::{Deserialize, Serialize};

use super::common::Party;
use crate::ids::{KeyId, NatsAccountId, NatsUserId};
use crate::text::{Name, Note, PublicKey};
use crate::time::Timestamp;

/// A NATS user was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsUserCreated {
    /// The user.
    pub user_id: NatsUserId,
    /// The account that it belongs to.
    pub account_id: NatsAccountId,
    /// Its name.
    pub name: Name,
    /// Its key.
    pub key_id: KeyId,
    /// The key's public half: U….
    pub public_key: PublicKey,
    /// The person or service that uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Party>,
    /// Whether its JWT alone is a credential.
    pub bearer: bool,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A NATS user's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsUserUpdated {
    /// The user.
    pub user_id: NatsUserId,
    /// The account that it belongs to.
    pub account_id: NatsAccountId,
    /// Its name.
    pub name: Name,
    /// Its key.
    pub key_id: KeyId,
    /// The key's public half: U….
    pub public_key: PublicKey,
    /// The person or service that uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Party>,
    /// Whether its JWT alone is a credential.
    pub bearer: bool,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A NATS user is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsUserRevoked {
    /// The user.
    pub user_id: NatsUserId,
    /// Its account.
    pub account_id: NatsAccountId,
    /// U….
    pub public_key: PublicKey,
    /// Every JWT of the user issued up to this second is refused.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: Note,
}
