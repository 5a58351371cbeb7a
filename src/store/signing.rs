//! Signing heads as the log grows: one signature a commit, in the same transaction.
//!
//! A head that was signed and rolled back was never seen by anybody: only committed sizes are signed. What was signed last
//! is remembered outside of the ledger's folder too, so that a ledger that was set back knows it. That memory costs three
//! fsyncs, so while the log grows it is brought up to date once a second, and when the ledger is closed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};

use super::Store;
use super::error::{AppendError, CheckpointStoreError, DatabaseError, ReadError};
use super::schema::CHECKPOINTS;
use super::tree::read_edge;
use crate::files::lock::writing;
use crate::files::{folder_of, write_durably};
use crate::log::{Checkpoint, Edge, HeadSigner, SignedCheckpoint};

/// How far the memory may be behind while the log grows.
const BEHIND: Duration = Duration::from_secs(1);

/// The largest head that was signed, in a file outside of the ledger's folder.
#[derive(Debug, Clone)]
pub(super) struct SignedMemory(PathBuf);

impl SignedMemory {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn read(&self) -> Result<Option<SignedCheckpoint>, CheckpointStoreError> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => match text.parse() {
                Ok(signed) => Ok(Some(signed)),
                Err(_) => Err(self.failed(io::ErrorKind::InvalidData.into())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Remembers a head durably, unless a larger one is remembered.
    pub(super) fn remember(&self, note: &str) -> Result<(), CheckpointStoreError> {
        let larger = |one: &SignedCheckpoint| note.parse().is_ok_and(|new: SignedCheckpoint| new.size() < one.size());
        if self.read()?.as_ref().is_some_and(larger) {
            return Ok(());
        }
        let _writing = File::open(folder_of(&self.0)).ok().map(writing);
        write_durably(&self.0, note.as_bytes(), true).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> CheckpointStoreError {
        CheckpointStoreError::Memory { path: self.0.clone(), source }
    }
}

/// Why a whole group of appends was not recorded.
#[derive(Debug, Clone)]
pub(super) enum GroupError {
    Database(DatabaseError),
    Unsigned(Arc<CheckpointStoreError>),
}

impl From<DatabaseError> for GroupError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<GroupError> for AppendError {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Database(error) => Self::Database(error),
            GroupError::Unsigned(error) => Self::Unsigned(error),
        }
    }
}

/// The signer of a connection that appends, and how far it has come.
pub(super) struct Signing {
    signer: HeadSigner,
    memory: SignedMemory,
    /// Whether what was signed before is known to be a beginning of the tree that grows here.
    checked: bool,
    /// The newest committed head that is not remembered yet.
    behind: Option<String>,
    remembered: Option<Instant>,
}

impl Signing {
    pub(super) const fn new(signer: HeadSigner, memory: SignedMemory) -> Self {
        Self { signer, memory, checked: false, behind: None, remembered: None }
    }

    /// Another connection has written: what this one knew of the tree counts no more.
    pub(super) const fn moved(&mut self) {
        self.checked = false;
    }

    /// Signs the head that is about to be committed. Gives the note, for [`Signing::committed`].
    pub(super) fn sign(&mut self, connection: &Connection, path: &Path, edge: &Edge) -> Result<String, GroupError> {
        let unsigned = |error| GroupError::Unsigned(Arc::new(error));
        if self.behind.is_some() && self.remembered.is_none_or(|at| at.elapsed() > 2 * BEHIND) {
            // The last attempt failed, or nothing was appended for a while.
            self.remember().map_err(unsigned)?;
        }
        let failed = |error| DatabaseError::new("signing the head", path, error);
        if !self.checked {
            self.check(connection, path, edge.size()).map_err(unsigned)?;
            self.checked = true;
        }
        let signed = self.signer.sign(edge.size(), edge.root());
        let note = signed.map_err(|error| unsigned(error.into()))?.to_string();
        put_note(connection, edge.size(), &note).map_err(failed)?;
        Ok(note)
    }

    /// The head of this note is committed.
    pub(super) fn committed(&mut self, note: String) {
        self.behind = Some(note);
        if self.remembered.is_none_or(|at| at.elapsed() > BEHIND) {
            // What fails now is tried again before the next head is signed, and refuses that one then.
            let _ = self.remember();
        }
    }

    /// Brings the memory up to date.
    pub(super) fn remember(&mut self) -> Result<(), CheckpointStoreError> {
        if let Some(note) = &self.behind {
            self.memory.remember(note)?;
            self.behind = None;
            self.remembered = Some(Instant::now());
        }
        Ok(())
    }

    /// Every head that is known to have been signed is a beginning of what is recorded.
    fn check(&self, connection: &Connection, path: &Path, end: u64) -> Result<(), CheckpointStoreError> {
        let read = |error| ReadError::from(DatabaseError::new("reading the checkpoints of", path, error));
        let newest: Option<String> = connection
            .prepare_cached("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
            .map_err(read)?;
        let newest = newest.map(|note| note.parse::<SignedCheckpoint>()).transpose()?;
        for signed in [newest, self.memory.read()?].into_iter().flatten() {
            let Checkpoint { size, root, .. } = *signed.checkpoint();
            if size > end {
                return Err(CheckpointStoreError::SetBack { signed: size, end });
            }
            if read_edge(connection, size).map_err(read)?.root() != root {
                return Err(CheckpointStoreError::Disagrees { size });
            }
        }
        Ok(())
    }
}

/// Writes a checkpoint, in the place of an earlier copy of the same size. How many there are is counted, so that one that is
/// taken away is missed.
pub(super) fn put_note(connection: &Connection, size: u64, note: &str) -> rusqlite::Result<()> {
    let update = "UPDATE checkpoint SET note = ?2 WHERE size = ?1";
    if connection.prepare_cached(update)?.execute((size, note))? == 1 {
        return Ok(());
    }
    let insert = "INSERT INTO checkpoint (size, note) VALUES (?1, ?2)";
    connection.prepare_cached(insert)?.execute((size, note))?;
    let count = "INSERT INTO meta (key, value) VALUES (?1, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1";
    connection.prepare_cached(count)?.execute([CHECKPOINTS])?;
    Ok(())
}

impl Store {
    /// Signs the head of every append from here on, one signature a commit, or ends that. An append is then refused when its
    /// head would not continue every head that was signed before.
    ///
    /// # Errors
    /// When the ledger is open for reading only, or what was signed last can't be remembered.
    pub fn sign_heads(&self, signer: Option<HeadSigner>) -> Result<(), CheckpointStoreError> {
        let writing = self.writing.as_ref().map_err(Clone::clone)?;
        let mut writer = writing.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        writer.sign_heads(signer.map(|signer| Signing::new(signer, self.memory())))
    }

    /// Where the largest head that was signed is remembered.
    pub(super) fn memory(&self) -> SignedMemory {
        SignedMemory::new(self.options.tokens.join(format!("{}.signed", self.identity.ledger_id)))
    }
}
