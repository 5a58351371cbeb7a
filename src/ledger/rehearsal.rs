//! Decisions in a row, as if those before were recorded already.

use std::collections::HashMap;

use cid::Cid;
use multihash::Multihash;

use super::command::{Cause, Command, EventDraft};
use super::decide::decide;
use super::refusal::Refusal;
use super::state::Overlay;
use super::view::{View, ViewError};
use crate::events::{Actor, EventData, KeyEvent, Link};
use crate::ids::{CorrelationId, EventId, PersonId};
use crate::time::Timestamp;

/// Commands that are decided one after the other on what is recorded and on what those before them would record. Nothing
/// is recorded.
pub struct Rehearsal<'v> {
    overlay: Overlay<'v>,
    drafts: Vec<EventDraft>,
    // Drafts have no content identifiers yet; stand-ins are causes in the overlay, and indexes in the answer.
    stand_ins: HashMap<Cid, usize>,
}

impl<'v> Rehearsal<'v> {
    /// On top of what is recorded.
    #[must_use]
    pub fn new(view: &'v dyn View) -> Self {
        Self { overlay: Overlay::new(view), drafts: Vec::new(), stand_ins: HashMap::new() }
    }

    /// Decides on one command, and lets those after it see what it leads to. Says how many events that are.
    ///
    /// # Errors
    /// The reason why the command may not follow. The rehearsal is then as it was.
    pub fn command(&mut self, command: &Command) -> Result<usize, Refusal> {
        let drafts = self.decide(command)?;
        let count = drafts.len();
        self.take(drafts)?;
        Ok(count)
    }

    /// Decides on one command, and changes nothing.
    ///
    /// # Errors
    /// The reason why the command may not follow.
    pub fn decide(&self, command: &Command) -> Result<Vec<EventDraft>, Refusal> {
        decide(&self.overlay, command)
    }

    /// Lets everything after it see what a decision leads to.
    ///
    /// # Errors
    /// When what is recorded can't be read.
    pub fn take(&mut self, drafts: Vec<EventDraft>) -> Result<(), ViewError> {
        let base = self.drafts.len();
        for EventDraft { data, mut causes } in drafts {
            for cause in &mut causes {
                *cause = match *cause {
                    Cause::Recorded(cid) => self.stand_ins.get(&cid).map_or(*cause, |&earlier| Cause::Earlier(earlier)),
                    Cause::Earlier(earlier) => Cause::Earlier(base + earlier),
                };
            }
            let cid = stand_in(self.drafts.len());
            self.stand_ins.insert(cid, self.drafts.len());
            let event = unrecorded(data);
            self.overlay.fold(&event, cid)?;
            self.drafts.push(EventDraft { data: event.data, causes });
        }
        Ok(())
    }

    /// Puts other data into drafts, from an index on: what was signed in the place of a placeholder. What came after it was
    /// decided on the placeholder.
    pub fn replace(&mut self, first: usize, data: Vec<EventData>) {
        for (draft, data) in self.drafts.iter_mut().skip(first).zip(data) {
            draft.data = data;
        }
    }

    /// What would be recorded by now.
    #[must_use]
    pub const fn view(&self) -> &Overlay<'v> {
        &self.overlay
    }

    /// The events that all commands lead to.
    #[must_use]
    pub fn into_drafts(self) -> Vec<EventDraft> {
        self.drafts
    }
}

/// Decides on commands in a row, each as if those before it were recorded already.
///
/// # Errors
/// The index of the first command that is refused, and the reason.
pub fn decide_all(view: &dyn View, commands: &[Command]) -> Result<Vec<EventDraft>, (usize, Refusal)> {
    let mut rehearsal = Rehearsal::new(view);
    for (index, command) in commands.iter().enumerate() {
        rehearsal.command(command).map_err(|refusal| (index, refusal))?;
    }
    Ok(rehearsal.into_drafts())
}

/// A content identifier that no event has: its digest is a small number.
fn stand_in(index: usize) -> Cid {
    let mut digest = [0; 32];
    digest[24..].copy_from_slice(&(index as u64).to_be_bytes());
    // 32 bytes fit a multihash of 64.
    let hash = Multihash::wrap(Link::SHA2_256, &digest).unwrap_or_default();
    Cid::new_v1(Link::DAG_CBOR, hash)
}

const EPOCH: Timestamp = match Timestamp::from_unix_micros(0) {
    Some(time) => time,
    None => panic!("0 is between the years 0000 and 9999"),
};

const fn unrecorded(data: EventData) -> KeyEvent {
    KeyEvent {
        id: EventId::from_uuid(uuid::Uuid::nil()),
        data,
        occurred_at: EPOCH,
        actor: Actor::Person(PersonId::from_uuid(uuid::Uuid::nil())),
        correlation_id: CorrelationId::from_uuid(uuid::Uuid::nil()),
        causes: Vec::new(),
    }
}
