//! What can be in the way of an act on NATS identities.

use crate::custody::SealToError;
use crate::keys::KeyError;
use crate::ledger::lookup::LookupError;
use crate::ledger::{Kind, Refusal, ViewError};
use crate::nats::check::Finding;
use crate::nats::jwt::SignError;
use crate::store::{ReadError, RestrictedError};
use crate::text::InvalidText;
use crate::text::visible;

/// Why an act on NATS identities did not take place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// There is no operator yet.
    #[error("this ledger has no NATS operator; make one with `cim-keys nats operator add NAME`")]
    NoOperator,
    /// Nothing of that name is there.
    #[error("there is no {kind} \"{}\"; {}", visible(text), advice(noun, near.as_deref()))]
    NotFound {
        /// What was looked for, in words.
        kind: Kind,
        /// The command's noun.
        noun: &'static str,
        /// What was given.
        text: String,
        /// A name like it.
        near: Option<String>,
    },
    /// A user is named without its account.
    #[error("\"{}\" does not say whose user it is; write ACCOUNT/USER, or the user's public key", visible(.0))]
    UserWithoutAccount(String),
    /// A user that is cut off gets no credentials.
    #[error(
        "user {} is revoked: servers refuse its credentials; `cim-keys nats user add` makes another of that name",
        visible(.0)
    )]
    UserEnded(String),
    /// The claims would be refused by a server, or silently break.
    #[error("{}", findings(.0))]
    Claims(Vec<Finding>),
    /// What is recorded of a token does not read as claims.
    #[error("the recorded claims of {what} do not read: {source}; run `cim-keys verify`")]
    Recorded {
        /// Whose claims.
        what: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It has no token yet.
    #[error("{0} has no token yet")]
    NoToken(String),
    /// The text of a token is not here.
    #[error(
        "the token of {0} is not kept here: only the ledger's own machine has it; issue it again there, or bring restricted.db back from a backup"
    )]
    TokenNotHere(String),
    /// The text of an activation is not here, and the importer's token can't be made without it.
    #[error(
        "the activation of import \"{}\" of account {} is not kept here; give it again with `cim-keys nats import edit … --activation FILE`, or bring restricted.db back from a backup",
        visible(import),
        visible(account)
    )]
    ActivationNotHere {
        /// The importing account.
        account: String,
        /// The subject that it imports.
        import: String,
    },
    /// Servers are asked to delete only what the ledger has deleted.
    #[error("account {0} is not deleted in the ledger; delete it there first, with `cim-keys nats account delete`")]
    NotDeleted(String),
    /// It was deleted without a request to servers.
    #[error(
        "no request to delete account {0} was signed; `cim-keys nats account delete` on the ledger's own machine signs one"
    )]
    NoDeletion(String),
    /// Nothing but an identity key signs, and that one is never replaced.
    #[error(
        "account {} has no signing key to replace: its identity key signs its users, and that key is the account itself, by which servers, imports and permissions know it; give it a signing key with `cim-keys nats signing-key add` and let users be signed with that, or move them to a new account",
        visible(.0)
    )]
    IdentityKey(String),
    /// The role has no users to template for.
    #[error("{0}")]
    Usage(String),
    /// A key was not made, found or taken in.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What is handed out could not be sealed to its recipient.
    #[error(transparent)]
    SealTo(#[from] SealToError),
    /// A token could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A text is not acceptable.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// Something else that was named is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Texts of tokens could not be read.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
}

fn findings(list: &[Finding]) -> String {
    let lines: Vec<_> = list.iter().map(|finding| format!("\n  {finding}")).collect();
    format!("servers would refuse this, or silently break it:{}", lines.concat())
}

fn advice(noun: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("did you mean \"{}\"?", visible(near)),
        None => format!("`cim-keys nats {noun} list` shows those that are there"),
    }
}
