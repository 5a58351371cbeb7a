//! The organisation as it was at some moment, and what changed between two moments: by replaying the events in memory.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::describe;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::InvalidLink;
use crate::ledger::{Entity, EntityRef, State, ViewError};
use crate::log::SignedCheckpoint;
use crate::store::{ReadError, Store};
use crate::time::Timestamp;

/// A moment in a ledger's history.
#[derive(Debug, Clone)]
pub enum Moment {
    /// After the event at a position; 0 is before the first.
    Position(u64),
    /// After the last event that occurred before a time, or at it.
    Time(Timestamp),
    /// After the events that a signed head covers. It must be one of this history.
    Checkpoint(Box<SignedCheckpoint>),
    /// Now.
    Now,
}

/// Why there is no such moment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event could not be applied.
    #[error(transparent)]
    View(#[from] ViewError),
    /// An identifier is none that an event has.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// The history does not reach so far.
    #[error("there is no position {position}: the ledger ends at {end}")]
    Beyond {
        /// What was asked for.
        position: u64,
        /// The last position.
        end: u64,
    },
    /// The checkpoint is not of this history, or not signed with the ledger's key.
    #[error(transparent)]
    Checkpoint(#[from] crate::session::heads::LogError),
}

impl Explained for StateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Beyond { .. } => ErrorKind::Usage,
            Self::Read(_) | Self::View(_) | Self::Link(_) | Self::Checkpoint(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::View(_) | Self::Link(_) | Self::Beyond { .. } => Vec::new(),
        }
    }
}

/// The state at a moment.
#[derive(Debug, Clone, Default)]
pub struct StateAt {
    /// The last position that counts.
    pub position: u64,
    /// When the event there occurred.
    pub time: Option<Timestamp>,
    /// All entities, ended ones too.
    pub state: State,
}

/// Replays the events up to a moment.
///
/// # Errors
/// When there is no such moment, or the ledger can't be read.
pub fn state_at(store: &Store, moment: &Moment) -> Result<StateAt, StateError> {
    let end = store.end()?;
    let last = match moment {
        Moment::Now | Moment::Time(_) => end,
        Moment::Position(position) => *position,
        Moment::Checkpoint(checkpoint) => {
            super::log::check_against(store, checkpoint)?;
            checkpoint.size()
        }
    };
    if last > end {
        return Err(StateError::Beyond { position: last, end });
    }
    let mut at = StateAt::default();
    for recorded in store.iter(1) {
        let recorded = recorded?;
        if recorded.position > last {
            break;
        }
        let event = recorded.event()?;
        if matches!(moment, Moment::Time(time) if event.occurred_at > *time) {
            break;
        }
        at.state.fold(&event, recorded.cid)?;
        at.position = recorded.position;
        at.time = Some(event.occurred_at);
    }
    Ok(at)
}

/// What became of one entity between two moments.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// It is there only at the later one.
    Added(Value),
    /// It is there only at the earlier one.
    Removed(Value),
    /// It is another.
    Changed {
        /// What it is.
        after: Value,
        /// The attributes that differ: before and after, `null` for what is absent.
        fields: BTreeMap<String, (Value, Value)>,
    },
}

/// What differs between two states, in the order of the entities.
#[must_use]
pub fn differences(before: &State, after: &State) -> Vec<Difference> {
    let (old, new): (BTreeMap<&EntityRef, &Entity>, BTreeMap<&EntityRef, &Entity>) =
        (before.entities().collect(), after.entities().collect());
    let mut differences = Vec::new();
    for (reference, entity) in &old {
        match new.get(reference) {
            None => differences.push(Difference::Removed(describe::entity(entity))),
            Some(now) if now == entity => {}
            Some(now) => {
                let after = describe::entity(now);
                let fields = changed(object(&describe::entity(entity)), object(&after));
                differences.push(Difference::Changed { after, fields });
            }
        }
    }
    let added = new.iter().filter(|(reference, _)| !old.contains_key(*reference));
    differences.extend(added.map(|(_, entity)| Difference::Added(describe::entity(entity))));
    differences
}

fn object(value: &Value) -> &Map<String, Value> {
    static NOTHING: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    value.as_object().unwrap_or_else(|| NOTHING.get_or_init(Map::new))
}

fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> BTreeMap<String, (Value, Value)> {
    let names = before.keys().chain(after.keys());
    let value = |map: &Map<String, Value>, name: &String| map.get(name).cloned().unwrap_or_default();
    let pairs = names.map(|name| (name.clone(), (value(before, name), value(after, name))));
    // Which event touched it last follows from the rest.
    pairs.filter(|(name, (one, other))| one != other && !matches!(name.as_str(), "changed_at" | "last_event")).collect()
}
