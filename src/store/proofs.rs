//! The log's proofs, and the checkpoints that were signed.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension as _;
use tlog_tiles::{prove_record, prove_tree};

use super::Store;
use super::error::{CheckpointStoreError, ReadError};
use super::read::Log;
use super::tree::{self, Nodes};
use crate::events::EventData;
use crate::log::{Checkpoint, Edge, NodeHash, SignedCheckpoint};

impl Store {
    /// The head of the log: how many events there are, and the root of their tree.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn head(&self) -> Result<(u64, NodeHash), ReadError> {
        self.root(None)
    }

    /// The right edge of the tree of the first `size` events.
    ///
    /// # Errors
    /// When the log is shorter, or the ledger can't be read.
    pub fn edge(&self, size: u64) -> Result<Edge, ReadError> {
        self.reader.with(|log| log.try_read(|log| tree::read_edge(log.connection, size)))
    }

    /// The hashes that lead from the event at a position to the root of the tree of the first `size` events.
    ///
    /// # Errors
    /// When there is no such position or size, or the ledger can't be read.
    pub fn prove_inclusion(&self, position: u64, size: u64) -> Result<Vec<NodeHash>, ReadError> {
        if position == 0 || position > size || size > self.end()? {
            return Err(ReadError::NotFound(format!("at position {position} of the first {size}")));
        }
        self.prove(|nodes| prove_record(size, position - 1, nodes))
    }

    /// The hashes that lead from the tree of the first `old_size` events to that of the first `size`.
    ///
    /// # Errors
    /// When there is no such size, or the ledger can't be read.
    pub fn prove_consistency(&self, old_size: u64, size: u64) -> Result<Vec<NodeHash>, ReadError> {
        if old_size == 0 || old_size > size || size > self.end()? {
            return Err(ReadError::NotFound(format!("at position {size}, or a tree of {old_size} before it")));
        }
        self.prove(|nodes| prove_tree(size, old_size, nodes))
    }

    /// The last position that a stream has confirmed; 0 when none has.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn published(&self) -> Result<u64, ReadError> {
        let sql = "SELECT coalesce(max(position), 0) FROM outbox_cursor";
        self.reader.with(|log| log.try_read(|log| log.connection.query_row(sql, [], |row| row.get(0))))
    }

    fn prove(
        &self,
        prove: impl FnOnce(&Nodes<'_>) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error>,
    ) -> Result<Vec<NodeHash>, ReadError> {
        self.reader.with(|log| {
            let hashes = prove(&Nodes(log.connection)).map_err(|error| node_damaged(&error.to_string()))?;
            Ok(hashes.into_iter().map(|hash| hash.0).collect())
        })
    }

    /// The newest checkpoint that was signed; `None` before the first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn latest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, ReadError> {
        let notes = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1";
        Ok(self.reader.with(|log| read_notes(log, notes, []))?.pop())
    }

    /// The checkpoint of exactly this many events, where there is one.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn checkpoint(&self, size: u64) -> Result<Option<SignedCheckpoint>, ReadError> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(self.reader.with(|log| read_notes(log, "SELECT size, note FROM checkpoint WHERE size = ?1", [size]))?.pop())
    }

    /// All checkpoints, the smallest first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, ReadError> {
        self.reader.with(|log| read_notes(log, "SELECT size, note FROM checkpoint ORDER BY size", []))
    }

    /// Keeps a signed checkpoint. It must be one of this history: a head that does not agree with the recorded events is
    /// refused, whoever signed it. Signatures of an earlier copy of the same head are kept beside the new ones.
    ///
    /// The head is remembered outside the ledger's folder first, so that a ledger that was set back knows what it has
    /// signed.
    ///
    /// # Errors
    /// See [`CheckpointStoreError`].
    pub fn keep_checkpoint(&self, checkpoint: &SignedCheckpoint) -> Result<SignedCheckpoint, CheckpointStoreError> {
        let writing = self.writing.as_ref().map_err(Clone::clone)?;
        let head = checkpoint.checkpoint();
        self.agrees(head)?;
        let mut kept = checkpoint.clone();
        if let Some(there) = self.checkpoint(head.size)? {
            kept = there;
            kept.merge(checkpoint).map_err(|_| CheckpointStoreError::Disagrees { size: head.size })?;
        }
        let note = kept.to_string();
        self.memory().remember(&note)?;
        let size = head.size;
        let work =
            move |session: &mut super::append::Session<'_>| session.put_checkpoint(size, &note).map(|()| Vec::new());
        writing.group.submit(&writing.writer, Box::new(work))?;
        Ok(kept)
    }

    /// Checks that everything that this ledger is known to have signed is a beginning of what is recorded. Whoever signs a
    /// new head asks this first.
    ///
    /// # Errors
    /// See [`CheckpointStoreError`].
    pub fn check_signed(&self) -> Result<(), CheckpointStoreError> {
        self.writable()?;
        if let Some(latest) = self.latest_checkpoint()? {
            self.agrees(latest.checkpoint())?;
        }
        if let Some(remembered) = self.memory().read()? {
            self.agrees(remembered.checkpoint())?;
        }
        Ok(())
    }

    /// Whether a head is one of this history.
    pub(super) fn agrees(&self, head: &Checkpoint) -> Result<(), CheckpointStoreError> {
        let end = self.end()?;
        if head.size > end {
            return Err(CheckpointStoreError::SetBack { signed: head.size, end });
        }
        let (_, root) = self.root(Some(head.size))?;
        if root == head.root { Ok(()) } else { Err(CheckpointStoreError::Disagrees { size: head.size }) }
    }
}

fn read_notes(log: &Log<'_>, sql: &str, params: impl rusqlite::Params) -> Result<Vec<SignedCheckpoint>, ReadError> {
    let rows: Vec<(u64, String)> = log.try_read(|log| {
        let mut statement = log.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    })?;
    let read = |(size, note): (u64, String)| {
        let damaged = |detail: String| ReadError::Damaged { position: size, detail };
        let signed: SignedCheckpoint = note.parse().map_err(|error| damaged(format!("its checkpoint: {error}")))?;
        if signed.size() == size { Ok(signed) } else { Err(damaged("its checkpoint is of another size".into())) }
    };
    rows.into_iter().map(read).collect()
}

fn node_damaged(detail: &str) -> ReadError {
    ReadError::Damaged { position: 0, detail: format!("the tree: {detail}") }
}

/// Raw blocks, for whoever copies all of them.
impl Store {
    /// The raw block after a number, with its own number; `None` after the last. The first number is 1.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn next_blob(&self, after: u64) -> Result<Option<(u64, Vec<u8>)>, ReadError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.reader.with(|log| {
            log.try_read(|log| {
                log.connection
                    .prepare_cached("SELECT number, bytes FROM blob WHERE number > ?1 ORDER BY number LIMIT 1")?
                    .query_row([after], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
        })
    }

    /// How many raw blocks there are.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn blob_count(&self) -> Result<u64, ReadError> {
        self.reader
            .with(|log| log.try_read(|log| log.connection.query_row("SELECT count(*) FROM blob", [], |row| row.get(0))))
    }

    /// The aggregates under which events stand whose type this release does not know: what can't be derived from the event.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn unknown_aggregates(&self) -> Result<BTreeMap<String, String>, ReadError> {
        let rows: Vec<(String, String)> = self.reader.with(|log| {
            log.try_read(|log| {
                let mut statement = log.connection.prepare_cached("SELECT DISTINCT type, aggregate FROM log")?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            })
        })?;
        let known = |name: &str| EventData::KNOWN.iter().any(|(_, known, _)| *known == name);
        Ok(rows.into_iter().filter(|(name, _)| !known(name)).collect())
    }
}
