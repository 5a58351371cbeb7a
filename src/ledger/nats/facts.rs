//! What is known of NATS operators, accounts and users, and of their tokens.

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::events::{NatsAccountCreated, NatsOperatorCreated, NatsUserCreated};
use crate::ids::KeyId;
use crate::ledger::cid_text;
use crate::text::{Document, Label, Name, PublicKey};
use crate::time::Timestamp;

/// What is known of the token of an operator, account or user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// Its id.
    pub jti: Label,
    /// `iat`: seconds since the Unix epoch, higher than that of any token before it.
    pub issued_at: u64,
    /// `exp`: seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The public key that signed.
    pub issuer: PublicKey,
    /// What it says, as JSON.
    pub claims: Document,
    /// The signed text; recorded together with the claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedFacts>,
}

/// What is known of a token's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedFacts {
    /// Which key signed.
    pub signing_key_id: KeyId,
    /// The text, as a raw block.
    #[serde(with = "cid_text")]
    pub token: Cid,
}

/// What is known of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFacts {
    /// Its attributes.
    pub operator: NatsOperatorCreated,
    /// Its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFacts>,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFacts {
    /// Its attributes.
    pub account: NatsAccountCreated,
    /// Its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFacts>,
    /// The last token that servers were proved to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<PushFacts>,
    /// The newest request that makes servers forget it, once it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<TokenFacts>,
}

/// What servers were proved to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFacts {
    /// The token's id.
    pub jti: Label,
    /// The servers.
    pub servers: Vec<Name>,
    /// When it was recorded.
    pub at: Timestamp,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFacts {
    /// Its attributes.
    pub user: NatsUserCreated,
    /// Its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFacts>,
    /// Up to which second of issue it is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}
