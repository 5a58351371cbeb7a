//! Who may do what: the question that is put to a policy, and its answer.

use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::KeyEvent;
use crate::ledger::{View, ViewError};

/// Who may do what. Asked twice: when an act is drafted, for a readable answer, and within the transaction that records it.
/// Pure and quick: it is given all that it may look at.
pub trait Policy: Send + Sync {
    /// Judges an event that is about to be recorded. `before` is the state before the decision that led to it; of the event,
    /// identifier and causes may still be missing when an act is drafted.
    ///
    /// # Errors
    /// When the state can't be read.
    fn judge(&self, before: &dyn View, event: &KeyEvent, evidence: &Evidence) -> Result<Verdict, ViewError>;
}

/// What a policy may count on besides the event and the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// Whether the actor's own signature over the event is recorded right behind it.
    pub signed: bool,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be recorded.
    Allow,
    /// It may not.
    Deny(Denial),
    /// It may, once another person has approved it.
    NeedsApproval(Denial),
}

/// Why a policy does not let an event pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denial {
    /// The type of the event.
    pub event_type: String,
    /// Why.
    pub reason: String,
    /// What to do next.
    pub next: Advice,
}

impl Explained for Denial {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }

    fn advice(&self) -> Vec<Advice> {
        vec![self.next.clone()]
    }
}
