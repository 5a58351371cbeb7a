//! Facts about a JWT of the NATS hierarchy: the aggregate `nats.jwt`.

use serde::{Deserialize, Serialize};

use super::common::{JwtKind, Link, NatsParty};
use crate::ids::KeyId;
use crate::text::{Document, Label, PublicKey};

/// What a JWT is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtClaimsCreated {
    /// The JWT's id: base32 over its claims.
    pub jti: Label,
    /// Operator, account, user, activation or generic.
    pub kind: JwtKind,
    /// Whom it is about; of what an account gives out to others (activations, users for a while), the account.
    pub about: NatsParty,
    /// The public key that it is about.
    pub subject: PublicKey,
    /// By whom.
    pub issuer: PublicKey,
    /// `iat`, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// `exp`, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// The claims, as JSON.
    pub claims: Document,
}

/// A JWT was signed; its text is a restricted block and no part of any event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtSigned {
    /// The JWT's id: base32 over its claims.
    pub jti: Label,
    /// Operator, account, user, activation or generic.
    pub kind: JwtKind,
    /// Whom it is about; of what an account gives out to others (activations, users for a while), the account.
    pub about: NatsParty,
    /// The public key that it is about.
    pub subject: PublicKey,
    /// By whom.
    pub issuer: PublicKey,
    /// `iat`, in seconds since the Unix epoch.
    pub issued_at: u64,
    /// The key that signed.
    pub signing_key_id: KeyId,
    /// The JWT's text, as a raw block.
    pub token: Link,
}
