//! The circumstances of an append: who acts, who signs, and on what condition it is recorded.

use std::sync::Arc;

use super::error::AppendError;
use super::prerequisite::Prerequisite;
use crate::events::{Actor, EventAttested, Link};
use crate::ids::CorrelationId;

/// The circumstances of an append: what the events bear, and on what condition they are recorded.
#[derive(Debug, Clone)]
pub struct AppendContext {
    /// Who acts.
    pub actor: Actor,
    /// What all events of the command bear.
    pub correlation_id: CorrelationId,
    /// The position that the ledger must be at; any when absent.
    pub expected_position: Option<u64>,
    /// Whether the clock may be more than a day away from the last event, because somebody confirmed that it is right.
    pub allow_time_jump: bool,
    /// Raw blocks that the events link to; recorded with them.
    pub blobs: Vec<Vec<u8>>,
    /// Who signs what is recorded, where the actor does: a signature an event, in the same transaction.
    pub signer: Option<Arc<dyn ActSigner>>,
    /// What must be on the disk elsewhere before this is recorded, where there is something.
    pub prerequisite: Option<Prerequisite>,
}

/// Signs events in the name of a person. Called within the transaction: it must not wait for anybody.
pub trait ActSigner: Send + Sync + std::fmt::Debug {
    /// The signature over an event's content identifier.
    ///
    /// # Errors
    /// Why there is none; nothing is recorded then.
    fn attest(&self, event: Link) -> Result<EventAttested, String>;
}

impl AppendContext {
    /// A new command by an actor, on no condition.
    #[must_use]
    pub fn new(actor: Actor) -> Self {
        Self {
            actor,
            correlation_id: CorrelationId::mint(),
            expected_position: None,
            allow_time_jump: false,
            blobs: Vec::new(),
            signer: None,
            prerequisite: None,
        }
    }

    /// Waits for what must be on the disk beforehand.
    pub(super) fn wait(&self) -> Result<(), AppendError> {
        match &self.prerequisite {
            Some(prerequisite) if !prerequisite.wait() => Err(AppendError::Unfulfilled),
            _ => Ok(()),
        }
    }
}
