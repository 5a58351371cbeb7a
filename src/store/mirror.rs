//! Mirrors: read-only copies of a ledger, fed with what its writer recorded and signed.
//!
//! A mirror is a ledger file like any other, pinned to the key that its user typed in. It has no right to write, so nothing
//! can be decided in it; what a signed head covers is recorded at its very position, and another history is refused.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cid::Cid;
use rusqlite::Connection;

use super::append::{AppendedEvent, ReadyEvent, Session, Writer};
use super::error::{AppendError, CreateError, DatabaseError, OpenError, ReadError};
use super::schema::{self, Access};
use super::{Store, StoreOptions, close, damaged, folder, remove_database, token};
use crate::events::EventData;
use crate::log::{SignedCheckpoint, VerifierKey};

/// The entry of the table `meta` that makes a ledger's file a mirror: the key that it is pinned to.
const PINNED: &str = "mirror";

/// Why a mirror did not take what it was given. It is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// Another event stands at a position: two histories.
    #[error(
        "two histories: at position {position} stands {there}, and what was brought has {here}; nothing was taken. Keep both, they are the evidence"
    )]
    Fork {
        /// The first position at which the two differ, or one behind it.
        position: u64,
        /// What is recorded.
        there: Box<Cid>,
        /// What was brought.
        here: Box<Cid>,
    },
    /// Events are missing in between.
    #[error("the events from {needed} to {} are missing in between; bring an archive that begins at {needed} or before", first - 1)]
    Gap {
        /// The position that is needed next.
        needed: u64,
        /// The first that was brought.
        first: u64,
    },
    /// The events could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is recorded could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger's files could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// An open mirror.
pub struct Mirror {
    store: Store,
    key: VerifierKey,
    writer: Mutex<Writer>,
}

impl Mirror {
    /// Makes a mirror of the ledger whose first event this is, pinned to its key.
    ///
    /// # Errors
    /// When there is a file already, when the event is not a ledger's first, or when the disk fails.
    pub fn create(options: StoreOptions, first: ReadyEvent, key: &VerifierKey) -> Result<Self, CreateError> {
        schema::check_sqlite()?;
        if options.path.exists() {
            return Err(CreateError::Exists(options.path));
        }
        let EventData::LedgerCreated(created) = first.event.event.data.clone() else {
            return Err(AppendError::Encoding("the first event is no LedgerCreated".into()).into());
        };
        let io = |action, path: PathBuf| move |source| CreateError::Io { action, path, source };
        let aside = options.path.with_extension("db.new");
        remove_database(&aside).map_err(io("removing the unfinished", aside.clone()))?;
        let connection = schema::connect(&aside, Access::Create, options.wait)?;
        let failed = |error| DatabaseError::new("making the mirror", &aside, error);
        for (name, value) in [
            ("ledger", created.ledger_id.to_string()),
            ("name", created.name.to_string()),
            ("public_key", created.public_key.to_string()),
            (PINNED, key.to_string()),
        ] {
            schema::set_meta(&connection, name, &value).map_err(failed)?;
        }
        let mut writer = Writer::new(connection, aside.clone(), Arc::clone(&options.clock));
        for answer in writer.run(vec![Box::new(move |session| session.record(vec![first], &[]))]) {
            answer?;
        }
        close(writer.into_connection()).map_err(failed)?;
        std::fs::rename(&aside, &options.path).map_err(io("putting in place", options.path.clone()))?;
        token::sync_folder(folder(&options.path)).map_err(io("syncing the folder of", options.path.clone()))?;
        Ok(Self::open(options)?)
    }

    /// Opens a mirror to bring it up to date.
    ///
    /// # Errors
    /// When there is no ledger, when it is no mirror, or when the disk fails.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let store = Store::open_read_only(options.clone())?;
        let pinned = store.pinned_key()?.ok_or_else(|| OpenError::NotAMirror(options.path.clone()))?;
        let connection = schema::connect(&options.path, Access::Write, options.wait)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .map_err(|error| DatabaseError::new("opening the mirror", &options.path, error))?;
        let writer = Mutex::new(Writer::new(connection, options.path.clone(), Arc::clone(&options.clock)));
        Ok(Self { store, key: pinned, writer })
    }

    /// The mirror as a ledger to be read.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The key that it is pinned to.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Records events at their positions, all or none, with blobs that they link to. Those that stand there already are
    /// left as they are. Whoever calls this has checked that a head signed with the pinned key covers them.
    ///
    /// # Errors
    /// When another event stands at one of the positions, when some are missing in between, or when the disk fails.
    pub fn record(&self, first: u64, events: Vec<ReadyEvent>, blobs: Vec<Vec<u8>>) -> Result<u64, MirrorError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.store.end()?;
        if first > end + 1 {
            return Err(MirrorError::Gap { needed: end + 1, first });
        }
        let mut new = Vec::new();
        for (position, ready) in (first..).zip(events) {
            if position > end {
                new.push(ready);
                continue;
            }
            let there = self.store.event(&super::Which::Position(position))?.cid;
            if there != ready.event.cid {
                return Err(MirrorError::Fork { position, there: Box::new(there), here: Box::new(ready.event.cid) });
            }
        }
        let count = new.len() as u64;
        let work = move |session: &mut Session<'_>| -> Result<Vec<AppendedEvent>, AppendError> {
            session.expect(Some(end))?;
            session.record(new, &blobs)
        };
        for answer in writer.run(vec![Box::new(work)]) {
            answer?;
        }
        Ok(count)
    }

    /// Keeps a checkpoint of this history.
    ///
    /// # Errors
    /// When its root is not that of the recorded events, or the disk fails.
    pub fn keep_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<(), super::CheckpointStoreError> {
        self.store.agrees(checkpoint.checkpoint())?;
        let mut kept = checkpoint.clone();
        if let Some(there) = self.store.checkpoint(checkpoint.size())? {
            kept = there;
            kept.merge(checkpoint).map_err(|_| super::CheckpointStoreError::Disagrees { size: checkpoint.size() })?;
        }
        let (size, note) = (kept.size(), kept.to_string());
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let work = move |session: &mut Session<'_>| session.put_checkpoint(size, &note).map(|()| Vec::new());
        for answer in writer.run(vec![Box::new(work)]) {
            answer?;
        }
        Ok(())
    }
}

/// Whether a ledger's file is a mirror.
pub(super) fn is_mirror(connection: &Connection, path: &Path) -> Result<bool, DatabaseError> {
    let pinned = schema::meta(connection, PINNED);
    Ok(pinned.map_err(|error| DatabaseError::new("reading the key of", path, error))?.is_some())
}

impl Store {
    /// The key that this file is pinned to, if it is a mirror.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn pinned_key(&self) -> Result<Option<VerifierKey>, DatabaseError> {
        let text = self.reader.with(|log| {
            schema::meta(log.connection, PINNED)
                .map_err(|error| DatabaseError::new("reading the key of", log.path, error))
        })?;
        text.map(|text| text.parse().map_err(|error| damaged(self.path(), error))).transpose()
    }
}
