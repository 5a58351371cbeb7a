//! What is newer than a backup, out of the stream that it was published to.

use crate::adapters::stream_reader::StreamReadError;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::log::{Closed, History, PublishedEvent, PublishedHistory, SignedCheckpoint};
use crate::replica::stream::{Flow, LedgerStream, Step};
use crate::store::{CheckpointStoreError, FollowedEvent, Follower, MirrorError, ReadError, Restored, Which};

/// Why nothing more was brought. What was brought before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BringError {
    /// The stream can't be read.
    #[error(transparent)]
    Stream(#[from] StreamReadError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger did not take it: another history, or the disk.
    #[error(transparent)]
    Follow(#[from] MirrorError),
    /// A checkpoint could not be kept.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointStoreError),
    /// The stream's history does not hold.
    #[error("what the stream has does not hold: {0}")]
    Broken(String),
    /// The stream never had an event, since the server refused it.
    #[error("event {0} is parked: the stream never had it, so what is newer can't be taken from there")]
    Parked(u64),
}

impl Explained for BringError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(_) => ErrorKind::Unreachable,
            Self::Follow(MirrorError::Fork { .. }) | Self::Broken(_) => ErrorKind::Verification,
            Self::Parked(_) | Self::Follow(MirrorError::Gap { .. }) => ErrorKind::Refused,
            Self::Read(_) | Self::Follow(_) | Self::Checkpoint(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Parked(_) => vec![Advice::Run(Action::RecoverFromCarry, "brings it")],
            Self::Stream(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Follow(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::Broken(_) => Vec::new(),
        }
    }
}

/// What was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought {
    /// How many events are new.
    pub new: u64,
    /// How many later events the stream has that no signed head covers, and that were not taken.
    pub unsigned: u64,
}

/// Brings what the stream has and the ledger lacks: what a signed head covers, and the rest too when that was accepted.
/// Doing it again changes nothing.
///
/// # Errors
/// When the stream can't be read, when it has another history, or an event of it is missing.
pub fn bring(
    restored: &Restored,
    stream: &LedgerStream,
    accept_unsigned: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Brought, BringError> {
    let follower = restored.follower();
    let store = follower.store();
    let (end, keys) = (store.end()?, stream.keys());
    // What is recorded already is looked up in the ledger.
    let mut history = PublishedHistory::from_head(History::from_edge(store.edge(end)?).forgetful(), None, Some(keys));
    let mut taking = Taking { follower, end, waiting: Vec::new(), new: 0 };
    stream.follow(1, &mut history, &mut |history, step| {
        if let Some(problem) = history.broken() {
            return Err(BringError::Broken(crate::text::visible(&problem.to_string()).into_owned()));
        }
        match step {
            Step::Late(event) => taking.compare(&event)?,
            Step::Closed(closed) => taking.closed(closed)?,
        }
        progress(taking.new);
        Ok(Flow::On)
    })?;
    if accept_unsigned {
        let all = taking.end + taking.waiting.len() as u64;
        taking.record(all)?;
    }
    Ok(Brought { new: taking.new, unsigned: taking.waiting.len() as u64 })
}

struct Taking<'a> {
    follower: &'a Follower,
    /// The last position that is recorded.
    end: u64,
    /// Events behind it that no signed head covers yet, in order.
    waiting: Vec<FollowedEvent>,
    new: u64,
}

impl Taking<'_> {
    /// An event of a position that is recorded must be the recorded one.
    fn compare(&self, event: &PublishedEvent) -> Result<(), BringError> {
        let there = match self.follower.store().event(&Which::Position(event.position)) {
            Ok(there) => there.cid,
            Err(ReadError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match there == event.cid {
            true => Ok(()),
            false => {
                Err(MirrorError::Fork { position: event.position, there: Box::new(there), here: Box::new(event.cid) }
                    .into())
            }
        }
    }

    fn closed(&mut self, closed: Closed) -> Result<(), BringError> {
        for leaf in closed.leaves {
            let Some(event) = leaf.event else { return Err(BringError::Parked(leaf.position)) };
            let PublishedEvent { cid, aggregate, block, .. } = event;
            self.waiting.push(FollowedEvent { cid, aggregate, block });
        }
        for checkpoint in &closed.checkpoints {
            self.record(checkpoint.size())?;
            self.keep(checkpoint)?;
        }
        Ok(())
    }

    fn keep(&self, checkpoint: &SignedCheckpoint) -> Result<(), BringError> {
        if checkpoint.size() <= self.end {
            self.follower.keep_checkpoints(std::slice::from_ref(checkpoint))?;
        }
        Ok(())
    }

    /// Records what waits up to a position.
    fn record(&mut self, through: u64) -> Result<(), BringError> {
        let count = usize::try_from(through.saturating_sub(self.end)).unwrap_or(0).min(self.waiting.len());
        if count > 0 {
            let events: Vec<_> = self.waiting.drain(..count).collect();
            self.new += self.follower.record(self.end + 1, events, Vec::new())?;
            self.end += count as u64;
        }
        Ok(())
    }
}
