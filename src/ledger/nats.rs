//! NATS identities: operators, accounts, users, their signing keys and tokens.

mod decide;
mod evolve;

use serde::{Deserialize, Serialize};

use super::cid_text;
use super::entity::{EntityRef, Facts};
use crate::events::{
    JwtClaimsCreated, JwtSigned, NKeyGenerated, NatsAccountCreated, NatsAccountDeleted, NatsAccountPushed,
    NatsAccountUpdated, NatsHolder, NatsOperatorCreated, NatsOperatorDeleted, NatsOperatorUpdated, NatsParty,
    NatsSigningKeyGenerated, NatsSigningKeyRetired, NatsUserCreated, NatsUserRevoked, NatsUserUpdated,
};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId, NatsUserId};
use crate::text::{Document, Label, Name, PublicKey};
use crate::time::Timestamp;

pub(super) use decide::decide;
pub(super) use evolve::{carry, concerns, evolve, facts_of};

/// What can be done about NATS identities. As with every command, identifiers are minted by whoever commands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // commands are held in small numbers
pub enum NatsCommand {
    /// Records an nkey whose seed is sealed in custody.
    AddKey(NKeyGenerated),
    /// Makes an operator.
    CreateOperator(NatsOperatorCreated),
    /// Replaces an operator's attributes.
    UpdateOperator(NatsOperatorUpdated),
    /// Gives an operator up whose accounts are deleted, all but the system account.
    DeleteOperator(NatsOperatorDeleted),
    /// Makes an account.
    CreateAccount(NatsAccountCreated),
    /// Replaces an account's attributes.
    UpdateAccount(NatsAccountUpdated),
    /// Deletes an account whose users are all revoked; the system account only once its operator is given up.
    DeleteAccount(NatsAccountDeleted),
    /// Records that servers hold an account's token.
    RecordPush(NatsAccountPushed),
    /// Makes a user.
    CreateUser(NatsUserCreated),
    /// Replaces a user's attributes: its name, its key, its expiry.
    UpdateUser(NatsUserUpdated),
    /// Cuts a user off.
    RevokeUser(NatsUserRevoked),
    /// Gives an operator or account a signing key.
    AddSigningKey(NatsSigningKeyGenerated),
    /// Takes a signing key out of use.
    RetireSigningKey(NatsSigningKeyRetired),
    /// Says that a recorded key takes over from another, which stays good for a while.
    ReplaceKey {
        /// The key that is replaced.
        key_id: KeyId,
        /// The key that takes over.
        successor_id: KeyId,
        /// Until when both are good.
        retire_at: Timestamp,
    },
    /// Records a token that an account gives out and that is the token of no identity here: an activation, or that of a
    /// user who keeps the key and is known by nothing else.
    HandOut {
        /// What it says; it is about the account that gives it.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
    /// Records the signed request that makes servers forget an account that is deleted.
    RecordDeletion {
        /// What it says; it is about the account.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
    /// Records a token: what it says, and that it is signed.
    IssueToken {
        /// What it says.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
}

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
    pub token: cid::Cid,
}

/// A token is one slot of an operator, account or user.
pub(super) fn token_of(facts: &mut Facts) -> Option<&mut Option<TokenFacts>> {
    match facts {
        Facts::Operator(facts) => Some(&mut facts.token),
        Facts::Account(facts) => Some(&mut facts.token),
        Facts::User(facts) => Some(&mut facts.token),
        _ => None,
    }
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

impl EntityRef {
    /// The entity of an operator, account or user.
    #[must_use]
    pub fn nats(party: &NatsParty) -> Self {
        match party {
            NatsParty::Operator(id) => (*id).into(),
            NatsParty::Account(id) => (*id).into(),
            NatsParty::User(id) => (*id).into(),
        }
    }

    /// The operator or account that a signing key signs for.
    #[must_use]
    pub fn holder(holder: &NatsHolder) -> Self {
        match holder {
            NatsHolder::Operator(id) => (*id).into(),
            NatsHolder::Account(id) => (*id).into(),
        }
    }

    /// A signing key, in its role as one; the key pair itself is an entity too, under the same identifier.
    #[must_use]
    pub fn signing_key(id: KeyId) -> Self {
        Self::new(super::Kind::SigningKey, *id.as_uuid())
    }
}

macro_rules! refs {
    ($($id:ident => $kind:ident,)+) => {$(
        impl From<$id> for EntityRef {
            fn from(id: $id) -> Self {
                Self::new(super::Kind::$kind, *id.as_uuid())
            }
        }
    )+};
}

refs! {
    NatsOperatorId => Operator,
    NatsAccountId => Account,
    NatsUserId => User,
}
