//! What can be in the way of an act on NATS identities.

use crate::advice::{Action, Advice, ErrorKind, Explained};
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
    #[error("this ledger has no NATS operator")]
    NoOperator,
    /// Nothing of that name is there.
    #[error("there is no {kind} \"{}\"", visible(text))]
    NotFound {
        /// What was looked for, in words.
        kind: Kind,
        /// What was given.
        text: String,
        /// A name like it.
        near: Option<String>,
    },
    /// A user is named without its account.
    #[error("\"{}\" does not name the account of the user", visible(.0))]
    UserWithoutAccount(String),
    /// A user that is cut off gets no credentials.
    #[error("user {} is revoked: servers refuse its credentials", visible(.0))]
    UserEnded(String),
    /// The claims would be refused by a server, or silently break.
    #[error("{}", findings(.0))]
    Claims(Vec<Finding>),
    /// What is recorded of a token cannot be parsed as claims.
    #[error("the recorded claims of {what} cannot be parsed: {source}")]
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
    #[error("the token of {0} is not kept here: only the ledger's own machine has it")]
    TokenNotHere(String),
    /// The text of an activation is not here, and the importer's token can't be made without it.
    #[error("the activation of import \"{}\" of account {} is not kept here", visible(import), visible(account))]
    ActivationNotHere {
        /// The importing account.
        account: String,
        /// The subject that it imports.
        import: String,
    },
    /// Servers are asked to delete only what the ledger has deleted.
    #[error("account {0} is not deleted in the ledger")]
    NotDeleted(String),
    /// It was deleted without a request to servers.
    #[error("no request to delete account {0} was signed")]
    NoDeletion(String),
    /// Nothing but an identity key signs, and that one is never replaced.
    #[error(
        "account {} has no signing key to replace: its identity key signs its users, and that key is the account itself, by which servers, imports and permissions know it",
        visible(.0)
    )]
    IdentityKey(String),
    /// What was given is wrong.
    #[error("{0}")]
    Usage(String),
    /// What was given is wrong, and what to do about it is known.
    #[error("{text}")]
    Advised {
        /// What is wrong.
        text: String,
        /// What to do next.
        advice: Vec<Advice>,
    },
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

impl NatsError {
    /// Something that was given is wrong, and what to do is said in words of ours.
    pub(crate) fn advised(text: String, advice: &'static str) -> Self {
        Self::Advised { text, advice: vec![Advice::Do(advice)] }
    }

    /// Something that was given is wrong, and an act does something about it.
    pub(crate) fn act(text: String, action: Action, purpose: &'static str) -> Self {
        Self::Advised { text, advice: vec![Advice::Run(action, purpose)] }
    }
}

impl Explained for NatsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoOperator
            | Self::NotFound { .. }
            | Self::UserWithoutAccount(_)
            | Self::Usage(_)
            | Self::Advised { .. }
            | Self::Text(_) => ErrorKind::Usage,
            Self::Claims(_)
            | Self::Refused(_)
            | Self::UserEnded(_)
            | Self::NotDeleted(_)
            | Self::NoDeletion(_)
            | Self::IdentityKey(_) => ErrorKind::Refused,
            Self::Lookup(error) => error.kind(),
            Self::Key(error) => error.kind(),
            Self::SealTo(error) => error.kind(),
            Self::Recorded { .. }
            | Self::NoToken(_)
            | Self::TokenNotHere(_)
            | Self::ActivationNotHere { .. }
            | Self::Sign(_)
            | Self::View(_)
            | Self::Read(_)
            | Self::Restricted(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        let run = |action, purpose| vec![Advice::Run(action, purpose)];
        match self {
            Self::NoOperator => run(Action::AddOperator, "makes one"),
            Self::NotFound { near: Some(near), .. } => vec![Advice::Near(near.clone())],
            Self::NotFound { kind, near: None, .. } => run(Action::List(kind.as_str()), "shows those that are there"),
            Self::UserWithoutAccount(_) => vec![Advice::Do("write ACCOUNT/USER, or the user's public key")],
            Self::UserEnded(_) => run(Action::AddUser, "makes another user of that name"),
            Self::Recorded { .. } => run(Action::Verify, "checks the ledger"),
            Self::TokenNotHere(_) => {
                vec![Advice::Do("issue it again there, or bring restricted.db back from a backup")]
            }
            Self::ActivationNotHere { account, import } => vec![
                Advice::Run(
                    Action::GiveActivation { account: account.as_str().into(), import: import.as_str().into() },
                    "takes the text again",
                ),
                Advice::Do("bring restricted.db back from a backup"),
            ],
            Self::NotDeleted(name) => run(Action::DeleteAccount { account: name.clone() }, "deletes it there"),
            Self::NoDeletion(name) => {
                run(Action::DeleteAccount { account: name.clone() }, "signs one on the ledger's own machine")
            }
            Self::IdentityKey(name) => vec![
                Advice::Run(
                    Action::AddSigningKey { account: name.clone() },
                    "makes a signing key, and users can be signed with that",
                ),
                Advice::Do("move its users to a new account"),
            ],
            Self::Advised { advice, .. } => advice.clone(),
            Self::Lookup(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::SealTo(error) => error.advice(),
            Self::Refused(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Restricted(error) => error.advice(),
            Self::NoToken(_) | Self::Claims(_) | Self::Usage(_) | Self::Sign(_) | Self::Text(_) | Self::View(_) => {
                Vec::new()
            }
        }
    }
}
