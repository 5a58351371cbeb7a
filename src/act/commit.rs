//! What the pipeline gives to the journal: decisions with the events that they led to, and on what condition these are
//! recorded.

use std::error::Error;
use std::sync::Arc;

use cid::Cid;

use super::front::ClockJump;
use super::policy::{Denial, Policy};
use super::prerequisite::Prerequisite;
use crate::events::{Actor, KeyEvent, Link};
use crate::ids::{CorrelationId, EventId};
use crate::ipld_support::ContentAddressedEvent;
use crate::ledger::{Cause, Command, EventDraft, Refusal};
use crate::time::Timestamp;

/// One event, as an act left it.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendedEvent {
    /// Its position.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// The event.
    pub event: KeyEvent,
    /// Whether it was recorded now; false when it was there already.
    pub is_new: bool,
}

/// An act that is ready to be recorded. Only the pipeline makes one.
pub struct Commit {
    /// The position at which it was decided; absent for an act that is decided where it is recorded.
    pub(crate) at: Option<u64>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) actor: Actor,
    pub(crate) correlation_id: CorrelationId,
    /// Whether the clock may be more than a day away from the last event.
    pub(crate) accept_clock: bool,
    /// Raw blocks that the events link to; recorded with them.
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) prerequisite: Option<Prerequisite>,
    pub(crate) policy: Arc<dyn Policy>,
}

/// A command, and the events that it led to; none where it is decided when it is recorded.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) command: Command,
    pub(crate) events: Vec<Stamped>,
}

/// An event with identifier, time and content identifier, and the actor's signature over it.
#[derive(Debug)]
pub(crate) struct Stamped {
    pub(crate) event: ContentAddressedEvent<KeyEvent>,
    pub(crate) signature: Option<Signature>,
}

/// A signature over an event, which is an event itself.
#[derive(Debug)]
pub(crate) struct Signature {
    /// What led to it, which is decided once more when it is recorded.
    pub(crate) command: Command,
    pub(crate) event: ContentAddressedEvent<KeyEvent>,
}

/// Makes an event of a draft. Gives `Err` with what is wrong with it: it breaks the canonical form, or names a cause that is
/// not made yet.
pub(crate) fn stamp(
    draft: EventDraft,
    occurred_at: Timestamp,
    actor: &Actor,
    correlation_id: CorrelationId,
    earlier: impl Fn(usize) -> Option<Cid>,
) -> Result<ContentAddressedEvent<KeyEvent>, String> {
    let causes = draft.causes.into_iter().map(|cause| {
        let cid = match cause {
            Cause::Recorded(cid) => cid,
            Cause::Earlier(index) => earlier(index).ok_or("a cause names a later event")?,
        };
        Link::new(cid).map_err(|error| error.to_string())
    });
    let event = KeyEvent {
        id: EventId::mint(),
        data: draft.data,
        occurred_at,
        actor: actor.clone(),
        correlation_id,
        causes: causes.collect::<Result<_, String>>()?,
    };
    ContentAddressedEvent::new(event).map_err(|error| error.to_string())
}

/// Why an act was not recorded. The ledger is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError<J: Error + 'static> {
    /// Something was recorded since the act was decided, or what it decides on is another now: it is to be decided again.
    #[error("the ledger has moved to position {actual} since the act was decided")]
    Moved {
        /// Where the ledger is.
        actual: u64,
    },
    /// The clock is more than a day away from the last event.
    #[error(transparent)]
    ClockJump(ClockJump),
    /// What it depends on is not durable.
    #[error("what the act depends on could not be written")]
    Unfulfilled,
    /// What is recorded now does not let a decision pass.
    #[error(transparent)]
    Refused(Refusal),
    /// The policy denies it.
    #[error(transparent)]
    Denied(Denial),
    /// The policy wants it approved by somebody else.
    #[error(transparent)]
    NeedsApproval(Denial),
    /// Something else.
    #[error(transparent)]
    Journal(J),
}
