//! Following: recording what a ledger's writer recorded elsewhere, at its very positions, without a decision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::append::{Session, Writer};
use super::error::{CheckpointStoreError, DatabaseError, MirrorError, OpenError};
use super::options::StoreOptions;
use super::read::Which;
use super::schema::{self, Access};
use super::{FollowedEvent, Store};
use crate::log::SignedCheckpoint;

/// A copy that takes what its ledger recorded: a mirror, or a ledger that was restored.
pub struct Follower {
    store: Store,
    writer: Mutex<Writer>,
}

impl Follower {
    pub(super) fn open(store: Store, options: &StoreOptions) -> Result<Self, OpenError> {
        let connection = schema::connect(&options.path, Access::Write, options.wait)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .map_err(|error| DatabaseError::new("opening the copy", &options.path, error))?;
        let writer = Mutex::new(Writer::new(connection, options.path.clone(), Arc::clone(&options.clock)));
        Ok(Self { store, writer })
    }

    /// The copy as a ledger to be read.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Records events at their positions, all or none, with blobs that they link to. Those that stand there already are
    /// left as they are. Whoever calls this has checked that a head of the ledger's covers them.
    ///
    /// # Errors
    /// When another event stands at one of the positions, when some are missing in between, or when the disk fails.
    pub fn record(&self, first: u64, events: Vec<FollowedEvent>, blobs: Vec<Vec<u8>>) -> Result<u64, MirrorError> {
        let mut writer = self.writer();
        let end = self.store.end()?;
        if first > end + 1 {
            return Err(MirrorError::Gap { needed: end + 1, first });
        }
        let mut new = Vec::new();
        for (position, event) in (first..).zip(events) {
            if position > end {
                new.push(event);
                continue;
            }
            let there = self.store.event(&Which::Position(position))?.cid;
            if there != event.cid {
                return Err(MirrorError::Fork { position, there: Box::new(there), here: Box::new(event.cid) });
            }
        }
        let count = new.len() as u64;
        let work = move |session: &mut Session<'_>| {
            session.expect(Some(end))?;
            session.record_ahead(&new, &blobs).map(|()| Vec::new())
        };
        for answer in writer.run(vec![Box::new(work)]) {
            answer?;
        }
        Ok(count)
    }

    /// Keeps checkpoints of this history, all or none.
    ///
    /// # Errors
    /// When the root of one is not that of the recorded events, or the disk fails.
    pub fn keep_checkpoints(&self, checkpoints: &[SignedCheckpoint]) -> Result<(), CheckpointStoreError> {
        if checkpoints.is_empty() {
            return Ok(());
        }
        let mut kept: BTreeMap<u64, SignedCheckpoint> = BTreeMap::new();
        for checkpoint in checkpoints {
            let size = checkpoint.size();
            self.store.agrees(checkpoint.checkpoint())?;
            let there = match kept.remove(&size) {
                Some(there) => Some(there),
                None => self.store.checkpoint(size)?,
            };
            let mut merged = there.unwrap_or_else(|| checkpoint.clone());
            merged.merge(checkpoint).map_err(|_| CheckpointStoreError::Disagrees { size })?;
            kept.insert(size, merged);
        }
        let mut writer = self.writer();
        let work = move |session: &mut Session<'_>| {
            kept.iter().try_for_each(|(size, note)| session.put_checkpoint(*size, &note.to_string()))?;
            Ok(Vec::new())
        };
        for answer in writer.run(vec![Box::new(work)]) {
            answer?;
        }
        Ok(())
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
