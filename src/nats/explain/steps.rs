//! What is asked about a user, and the checks that answer it.

use std::net::IpAddr;

use crate::nats::claims::{Account, Claims, Operator, User};
use crate::time::Timestamp;

/// What a user depends on.
#[derive(Clone, Copy)]
pub struct Chain<'c> {
    /// The operator's claims.
    pub operator: &'c Claims<Operator>,
    /// The account's claims.
    pub account: &'c Claims<Account>,
    /// The user's claims.
    pub user: &'c Claims<User>,
    /// The claims of other accounts, by their public key, as far as they are known.
    pub others: &'c dyn Fn(&str) -> Option<Claims<Account>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// When.
    pub at: Timestamp,
    /// From which address; any when absent.
    pub from: Option<IpAddr>,
    /// How: one of [`CONNECTION_TYPES`](crate::nats::claims::CONNECTION_TYPES).
    pub connection: String,
    /// Whether the connection comes through a proxy that the server trusts.
    pub proxied: bool,
    /// The subject to publish to.
    pub publish: Option<String>,
    /// How many bytes are published.
    pub size: u64,
    /// The subject to subscribe to, with a queue behind a space where there is one.
    pub subscribe: Option<String>,
}

impl Question {
    /// Whether the user may connect, as an ordinary client from anywhere.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        let connection = "STANDARD".to_owned();
        Self { at, from: None, connection, proxied: false, publish: None, size: 0, subscribe: None }
    }
}

/// What came of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is passed.
    Pass,
    /// The server refuses.
    Fail,
    /// It decides nothing here, and is good to know.
    Note,
}

impl Outcome {
    /// The word for it, stable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Note => "note",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which, in a stable word: `issuer`, `revocation`, `publish`.
    pub check: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// The steps of an explanation under way.
#[derive(Default)]
pub(super) struct Steps(pub(super) Vec<Step>);

impl Steps {
    pub(super) fn pass(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Pass, reason: reason.into() });
    }

    pub(super) fn fail(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Fail, reason: reason.into() });
    }

    pub(super) fn note(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Note, reason: reason.into() });
    }

    pub(super) fn check(&mut self, check: &'static str, passed: bool, good: impl Into<String>, bad: impl Into<String>) {
        if passed { self.pass(check, good) } else { self.fail(check, bad) }
    }

    pub(super) fn failed(&self) -> bool {
        self.0.iter().any(|step| step.outcome == Outcome::Fail)
    }
}
