//! Why a user can or cannot connect, publish or subscribe: each check that a server makes, in its order, with its reason.
//!
//! The checks are those of nats-server (`auth.go`, `client.go`, `accounts.go`, `jwt.go`); a test makes the same cases against
//! a real one. Nothing here asks a server: what is said holds for servers that have these very tokens.

mod connect;
mod subjects;

use std::net::IpAddr;

use super::claims::{Account, Claims, Operator, User, UserPermissions};
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
    /// How: one of [`CONNECTION_TYPES`](super::claims::CONNECTION_TYPES).
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

/// All checks, and what they come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The checks, in the server's order.
    pub steps: Vec<Step>,
    /// Whether the user can connect.
    pub connects: bool,
    /// Whether the user can publish, where that was asked.
    pub publishes: Option<bool>,
    /// Whether the user can subscribe, where that was asked.
    pub subscribes: Option<bool>,
}

impl Explanation {
    /// The first check that is not passed.
    #[must_use]
    pub fn refusal(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.outcome == Outcome::Fail)
    }
}

/// The steps of an explanation under way.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn pass(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Pass, reason: reason.into() });
    }

    fn fail(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Fail, reason: reason.into() });
    }

    fn note(&mut self, check: &'static str, reason: impl Into<String>) {
        self.0.push(Step { check, outcome: Outcome::Note, reason: reason.into() });
    }

    fn check(&mut self, check: &'static str, passed: bool, good: impl Into<String>, bad: impl Into<String>) {
        if passed { self.pass(check, good) } else { self.fail(check, bad) }
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|step| step.outcome == Outcome::Fail)
    }
}

/// Answers a question about a user. Where the user cannot connect, permissions are answered as if it could.
#[must_use]
pub fn explain(chain: Chain<'_>, question: &Question) -> Explanation {
    let mut steps = Steps::default();
    let permissions = connect::connect(chain, question, &mut steps);
    let connects = !steps.failed();
    let mut asked = |what: &Option<String>, answer: &dyn Fn(&UserPermissions, &str, &mut Steps)| {
        let (subject, permissions) = (what.as_deref()?, permissions.as_ref()?);
        let mut own = Steps::default();
        answer(permissions, subject, &mut own);
        let allowed = connects && !own.failed();
        steps.0.append(&mut own.0);
        Some(allowed)
    };
    let publishes = asked(&question.publish, &|permissions, subject, steps| {
        subjects::publish(chain, permissions, subject, question, steps);
    });
    let subscribes = asked(&question.subscribe, &|permissions, subject, steps| {
        subjects::subscribe(chain, permissions, subject, question, steps);
    });
    let absent = |what: &Option<String>, answer: Option<bool>| what.as_ref().map(|_| answer.unwrap_or(false));
    let (publishes, subscribes) = (absent(&question.publish, publishes), absent(&question.subscribe, subscribes));
    Explanation { steps: steps.0, connects, publishes, subscribes }
}
