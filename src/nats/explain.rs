//! Why a user can or cannot connect, publish or subscribe: each check that a server makes, in its order, with its reason.
//!
//! The checks are those of nats-server (`auth.go`, `client.go`, `accounts.go`, `jwt.go`); a test makes the same cases against
//! a real one. Nothing here asks a server: what is said holds for servers that have these very tokens.

mod connect;
mod steps;
mod subjects;

pub use steps::{Chain, Outcome, Question, Step};

use super::claims::UserPermissions;
use steps::Steps;

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
