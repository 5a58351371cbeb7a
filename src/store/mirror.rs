//! Mirrors: read-only copies of a ledger, fed with what its writer recorded and signed.
//!
//! A mirror is a ledger file like any other, pinned to the key that its user typed in. It has no right to write, so nothing
//! can be decided in it; what a signed head covers is recorded at its very position, and another history is refused.

use std::path::PathBuf;
use std::sync::Arc;

use super::append::Writer;
use super::error::{AppendError, CheckpointStoreError, CreateError, DatabaseError, MirrorError, OpenError, OtherKey};
use super::follow::Follower;
use super::identity::PINNED;
use super::options::StoreOptions;
use super::schema::{self, Access, close, remove_database};
use super::{FollowedEvent, Store};
use crate::events::{EventData, KeyEvent};
use crate::files::{folder_of, sync_folder};
use crate::ipld_support::decode_block;
use crate::log::{SignedCheckpoint, VerifierKey};

/// An open mirror.
pub struct Mirror {
    follower: Follower,
    key: VerifierKey,
}

impl Mirror {
    /// Makes a mirror of the ledger whose first event this is, pinned to its key.
    ///
    /// # Errors
    /// When there is a file already, when the event is not a ledger's first, or when the disk fails.
    pub fn create(options: StoreOptions, first: FollowedEvent, key: &VerifierKey) -> Result<Self, CreateError> {
        schema::check_sqlite()?;
        if options.path.exists() {
            return Err(CreateError::Exists(options.path));
        }
        let event: KeyEvent =
            decode_block(&first.block).map_err(|error| AppendError::Encoding(format!("the first event: {error}")))?;
        let EventData::LedgerCreated(created) = event.data else {
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
        for answer in
            writer.run(vec![Box::new(move |session| session.record_ahead(&[first], &[]).map(|()| Vec::new()))])
        {
            answer?;
        }
        close(writer.into_connection()).map_err(failed)?;
        std::fs::rename(&aside, &options.path).map_err(io("putting in place", options.path.clone()))?;
        sync_folder(folder_of(&options.path)).map_err(io("syncing the folder of", options.path.clone()))?;
        Ok(Self::open(options)?)
    }

    /// Opens a mirror to bring it up to date.
    ///
    /// # Errors
    /// When there is no ledger, when it is no mirror, or when the disk fails.
    pub fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let store = Store::open_read_only(options.clone())?;
        let key = store.pinned_key()?.ok_or_else(|| OpenError::NotAMirror(options.path.clone()))?;
        Ok(Self { follower: Follower::open(store, &options)?, key })
    }

    /// The mirror as a ledger to be read.
    #[must_use]
    pub const fn store(&self) -> &Store {
        self.follower.store()
    }

    /// What records in it.
    #[must_use]
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// As [`Follower::record`].
    ///
    /// # Errors
    /// As [`Follower::record`].
    pub fn record(&self, first: u64, events: Vec<FollowedEvent>, blobs: Vec<Vec<u8>>) -> Result<u64, MirrorError> {
        self.follower.record(first, events, blobs)
    }

    /// As [`Follower::keep_checkpoints`].
    ///
    /// # Errors
    /// As [`Follower::keep_checkpoints`].
    pub fn keep_checkpoints(&self, checkpoints: &[SignedCheckpoint]) -> Result<(), CheckpointStoreError> {
        self.follower.keep_checkpoints(checkpoints)
    }

    /// Checks that it is pinned to a key.
    ///
    /// # Errors
    /// When it is pinned to another one.
    pub fn is_of(&self, key: &VerifierKey) -> Result<(), OtherKey> {
        match self.key == *key {
            true => Ok(()),
            false => Err(OtherKey { pinned: self.key.to_string(), given: key.to_string() }),
        }
    }

    /// The key that it is pinned to.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }
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
        text.map(|text| text.parse().map_err(|error| DatabaseError::unreadable(self.path(), error))).transpose()
    }
}
