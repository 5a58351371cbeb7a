//! An agent: an issuer that stays at hand for a while, with one compartment open, and answers on a socket.
//!
//! This is what it is asked and what it answers, one JSON object a line each way; where the lines come from is not known
//! here. A request holds a public key and never a seed, so none passes through an agent.

use serde::{Deserialize, Serialize};

use super::draft::NatsDraft;
use super::error::NatsError;
use super::issuer::{self, IssueError, Issued, Issuing, Wanted};
use crate::act::ActError;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::keys::{KeyError, KeyRing};
use crate::session::heads::{self, LogError};
use crate::session::{LedgerActError, Session};
use crate::text::Label;
use crate::time::Timestamp;

/// The longest request, in bytes, its line feed included.
pub const LONGEST_REQUEST: u64 = 4 * 1024;

/// The longest answer, in bytes: a token has at most 1 MiB elsewhere, and here a few hundred bytes.
pub const LONGEST_ANSWER: u64 = 64 * 1024;

/// What an agent is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Sign a user's token.
    Issue {
        /// The user's public key (`U…`).
        public_key: String,
        /// For how many seconds.
        ttl_secs: u64,
        /// The user's name; its public key when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `ROLE` or `ACCOUNT/ROLE`; not needed where the agent has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// Say how things stand.
    Status,
    /// End.
    Stop,
}

/// What an agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// A user's token.
    Issued(Token),
    /// How things stand.
    Status(Status),
    /// It ends.
    Stopping,
    /// It was not done.
    Error(Failure),
}

/// A token for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its text. A secret where the role's users are bearers.
    pub token: String,
    /// The account's name.
    pub account: String,
    /// The role's name.
    pub role: String,
    /// The user's name.
    pub user: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's process.
    pub pid: u32,
    /// The ledger's name.
    pub ledger: String,
    /// The compartment that is open.
    pub compartment: Label,
    /// What it signs for: each `ACCOUNT/ROLE` with the public half of its key.
    pub roles: Vec<ServedRole>,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// When it ends by itself.
    pub ends_at: Timestamp,
    /// For how many seconds a user is good at most.
    pub max_ttl_secs: u64,
    /// How many tokens it signed.
    pub issued: u64,
}

/// A role that an agent signs for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedRole {
    /// `ACCOUNT/ROLE`.
    pub role: String,
    /// The public half of the signing key.
    pub public_key: String,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it is.
    pub kind: FailureKind,
    /// What was wrong.
    pub message: String,
    /// What to do next, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The request is none, or asks for what is not there.
    Request,
    /// It was understood, and is refused.
    Refused,
    /// It was to be done, and something was in the way.
    Failed,
}

impl Failure {
    /// A request that was not understood.
    #[must_use]
    pub fn request(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Request, message: message.into(), advice: Vec::new() }
    }
}

impl From<&IssueError> for Failure {
    fn from(error: &IssueError) -> Self {
        let kind = match error {
            IssueError::PublicKey(_) | IssueError::Name(_) | IssueError::NoRole { .. } | IssueError::Several(_) => {
                FailureKind::Request
            }
            IssueError::Authority(_) | IssueError::NoKey(_) | IssueError::Lifetime { .. } => FailureKind::Refused,
            IssueError::Nats(NatsError::Refused(_) | NatsError::Claims(_)) => FailureKind::Refused,
            IssueError::Nats(_) => FailureKind::Failed,
        };
        // What the other side can do itself; what it takes an act for is for the operator of the agent.
        let words = |advice| if let Advice::Do(words) = advice { Some(words.to_owned()) } else { None };
        Self { kind, message: error.to_string(), advice: error.advice().into_iter().filter_map(words).collect() }
    }
}

/// An act of the agent that did not take place, as it is answered.
fn failure(error: &LedgerActError<IssueError>) -> Failure {
    match error {
        ActError::Build(error) => error.into(),
        ActError::Refused(_) | ActError::Denied(_) | ActError::NeedsApproval(_) | ActError::Journal(_) => {
            Failure { kind: FailureKind::Refused, message: error.to_string(), advice: Vec::new() }
        }
        error => Failure { kind: FailureKind::Failed, message: error.to_string(), advice: Vec::new() },
    }
}

/// An issuer whose keys of one compartment are at hand.
pub struct Agent {
    session: Session,
    compartment: Label,
    keys: Box<dyn KeyRing>,
    max_ttl_secs: u64,
    started_at: Timestamp,
    ends_at: Timestamp,
    issued: u64,
}

impl Agent {
    /// Takes a session and the keys of one compartment. Where the ledger's own key is among them and in memory, every append
    /// signs its head.
    ///
    /// # Errors
    /// When the ledger is no issuer's ([`issuer::keys`]), or its heads can't be signed.
    pub fn new(
        session: Session,
        compartment: Label,
        keys: impl KeyRing + 'static,
        max_ttl_secs: u64,
        ends_at: Timestamp,
    ) -> Result<Self, StartError> {
        roles(&session, &compartment)?;
        let mut keys: Box<dyn KeyRing> = Box::new(keys);
        if let Ok(key) = heads::ledger_key(session.store())
            && let Some(signer) = keys.signer_at_hand(&key)?
            && !signer.waits()
        {
            heads::sign_every_head(session.store(), signer)?;
        }
        Ok(Self { session, compartment, keys, max_ttl_secs, started_at: Timestamp::now(), ends_at, issued: 0 })
    }

    /// When it ends by itself.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Answers a line. A request to end is answered, and left to the caller.
    pub fn answer(&mut self, line: &[u8]) -> Answer {
        match serde_json::from_slice(line) {
            Err(error) => Answer::Error(Failure::request(format!(
                "this is no request that an agent of this release understands: {}",
                crate::text::visible(&error.to_string())
            ))),
            Ok(Request::Stop) => Answer::Stopping,
            Ok(Request::Status) => match self.status() {
                Ok(status) => Answer::Status(status),
                Err(error) => Answer::Error((&error).into()),
            },
            Ok(Request::Issue { public_key, ttl_secs, name, role }) => {
                match self.issue(&Wanted { public_key, ttl_secs, name, role }) {
                    Ok(token) => Answer::Issued(token),
                    Err(error) => Answer::Error(failure(&error)),
                }
            }
        }
    }

    /// Signs a token. It is recorded, durably, before this returns.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&mut self, wanted: &Wanted) -> Result<Token, LedgerActError<IssueError>> {
        let Self { session, compartment, keys, max_ttl_secs, .. } = self;
        let mut pipeline = session.pipeline().with_keys(&mut **keys);
        let outcome = pipeline.act(&session.intent(), |draft| {
            let mut nats = NatsDraft::on(draft)?;
            let issued = issuer::issue(&mut nats, compartment, *max_ttl_secs, wanted)?;
            nats.finish()?;
            Ok(issued)
        })?;
        drop(pipeline);
        self.issued += 1;
        Ok(token(outcome.value))
    }

    /// How many tokens it signed.
    #[must_use]
    pub const fn issued(&self) -> u64 {
        self.issued
    }

    /// How it stands.
    ///
    /// # Errors
    /// When the ledger is no issuer's any more.
    pub fn status(&self) -> Result<Status, IssueError> {
        let compartment = self.compartment.clone();
        let roles = roles(&self.session, &compartment)?;
        let served = |key: Issuing| ServedRole { role: key.label(), public_key: key.key.public_key.to_string() };
        Ok(Status {
            pid: std::process::id(),
            ledger: self.session.store().identity().name.to_string(),
            compartment,
            roles: roles.into_iter().map(served).collect(),
            started_at: self.started_at,
            ends_at: self.ends_at,
            max_ttl_secs: self.max_ttl_secs,
            issued: self.issued,
        })
    }
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The ledger is no issuer's.
    #[error(transparent)]
    Issuer(#[from] IssueError),
    /// The ledger's own key does not come out of custody.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Heads can't be signed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Explained for StartError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Issuer(error) => error.kind(),
            Self::Key(_) | Self::Log(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Issuer(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Log(error) => error.advice(),
        }
    }
}

/// What an agent of this ledger would sign for. Asks for no passphrase.
///
/// # Errors
/// As [`issuer::keys`].
pub fn roles(session: &Session, compartment: &Label) -> Result<Vec<Issuing>, IssueError> {
    session.store().view(|view| issuer::keys(view, compartment)).map_err(NatsError::from)?
}

fn token(issued: Issued) -> Token {
    let micros = i64::try_from(issued.expires_at).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Token {
        token: issued.token.take().unwrap_or_default(),
        account: issued.by.account.account.name.to_string(),
        role: issued.by.role.to_string(),
        user: issued.name,
        expires_at: Timestamp::from_unix_micros(micros).unwrap_or_else(Timestamp::now),
    }
}
