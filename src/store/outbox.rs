//! The ledger as an outbox: a cursor a stream, parked positions, and the log itself, from which nothing is ever deleted.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cid::Cid;
use rusqlite::{Connection, OptionalExtension};

use super::Store;
use super::epoch::Rotation;
use super::error::{DatabaseError, OpenError};
use super::gate::Gate;
use super::options::Clock;
use super::read::read_cid;
use super::schema::{self, Access};
use crate::advice::{Action, Advice};
use crate::delivery::outbox::{Cursor, Entry, Outbox, OutboxError, Parked, Source, StreamKey, source_of};
use crate::text::InvalidText;
use crate::time::Timestamp;

impl Store {
    /// The outbox, on a connection of its own: it can be moved to the thread that publishes. A mirror has one too: it
    /// publishes what its ledger recorded, in the ledger's name.
    ///
    /// # Errors
    /// When the ledger is open for reading only, or can't be opened once more.
    pub fn outbox(&self) -> Result<LedgerOutbox, OpenError> {
        let gate = match &self.writing {
            Ok(writing) => writing.writer.lock().unwrap_or_else(PoisonError::into_inner).gate(),
            Err(_) if self.pinned_key()?.is_some() => Arc::default(),
            Err(reason) => return Err(reason.clone().into()),
        };
        // Another process may append for long; a publisher has the time.
        self.outbox_with(Access::Write, self.options.wait * 6, gate)
    }

    /// The outbox for looking at only; changing it is an error.
    ///
    /// # Errors
    /// When the ledger can't be opened once more.
    pub fn outbox_read_only(&self) -> Result<LedgerOutbox, OpenError> {
        self.outbox_with(Access::Read, self.options.wait, Arc::default())
    }

    fn outbox_with(&self, access: Access, wait: Duration, gate: Arc<Gate>) -> Result<LedgerOutbox, OpenError> {
        let connection = schema::connect(&self.options.path, access, wait)?;
        // It reads the log from front to back: what it has read, it does not need again.
        let small = connection.pragma_update(None, "cache_size", -4_096);
        small.map_err(|error| DatabaseError::new("opening the ledger", &self.options.path, error))?;
        let path = self.options.path.clone();
        let rotations = self.rotations().map_err(|error| DatabaseError::unreadable(&path, error))?;
        let before =
            |rotation: &Rotation| Ok((source_of(&rotation.rotated.previous_public_key)?, rotation.position - 1));
        let before = rotations.iter().rev().map(before).collect::<Result<_, InvalidText>>();
        let sources = Sources {
            now: self.identity.source.clone(),
            before: before.map_err(|error| DatabaseError::unreadable(&path, error))?,
        };
        Ok(LedgerOutbox::new(connection, path, sources, Arc::clone(&self.options.clock), gate))
    }
}

/// The ledger's outbox, on a connection of its own.
pub struct LedgerOutbox {
    connection: Connection,
    path: PathBuf,
    sources: Sources,
    clock: Clock,
    gate: Arc<Gate>,
}

/// Under which names a ledger publishes: one a key.
pub(super) struct Sources {
    /// The name of now.
    pub(super) now: Source,
    /// Those of before, the newest first, each with the last position that it may have published.
    pub(super) before: Vec<(Source, u64)>,
}

impl LedgerOutbox {
    pub(super) fn new(connection: Connection, path: PathBuf, sources: Sources, clock: Clock, gate: Arc<Gate>) -> Self {
        Self { connection, path, sources, clock, gate }
    }

    /// What is remembered of streams, incarnations of one name in the order in which they were made. What was published
    /// under an earlier key counts.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn cursors(&self) -> Result<Vec<(StreamKey, Cursor)>, OutboxError> {
        self.read_with("reading the cursors of", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT account, stream, created, max(position), head_sequence FROM outbox_cursor
                 GROUP BY account, stream, created ORDER BY stream, created",
            )?;
            let rows = statement.query_map([], |row| {
                let stream = StreamKey { account: row.get(0)?, stream: row.get(1)?, created: row.get(2)? };
                Ok((stream, Cursor { position: row.get(3)?, head_sequence: row.get(4)? }))
            })?;
            rows.collect()
        })
    }

    fn failed(&self, action: &str, error: rusqlite::Error) -> OutboxError {
        let place = self.path.display();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly) => {
                OutboxError::NotWritable(format!("{action}: the ledger {place} is open for reading only"))
            }
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                self.damaged(&format!("{error}"))
            }
            _ => OutboxError::Storage { action: format!("{action} {place}"), source: Box::new(error) },
        }
    }

    fn damaged(&self, problem: &str) -> OutboxError {
        OutboxError::Damaged {
            what: self.path.display().to_string(),
            problem: problem.to_owned(),
            next: vec![Advice::Run(Action::Verify, "shows what is affected"), Advice::Do("go back to a backup")],
        }
    }

    fn write_with<T>(
        &self,
        action: &'static str,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OutboxError> {
        let _turn = self.gate.turn();
        self.read_with(action, write)
    }

    fn read_with<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OutboxError> {
        read(&self.connection).map_err(|error| self.failed(action, error))
    }
}

/// A position as SQLite takes it; beyond that there is none.
fn bounded(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

impl Outbox for LedgerOutbox {
    fn source(&self) -> &Source {
        &self.sources.now
    }

    fn predecessors(&self) -> &[(Source, u64)] {
        &self.sources.before
    }

    fn end(&self) -> Result<u64, OutboxError> {
        self.read_with("reading the end of", |connection| {
            connection.prepare_cached("SELECT coalesce(max(position), 0) FROM log")?.query_row([], |row| row.get(0))
        })
    }

    fn read(&self, after: u64, max_events: usize, max_bytes: usize) -> Result<Vec<Entry>, OutboxError> {
        let failed = |error| self.failed("reading the log of", error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT position, cid, aggregate, type, block FROM log WHERE position > ?1 ORDER BY position LIMIT ?2",
            )
            .map_err(failed)?;
        let mut rows = statement.query((bounded(after), bounded(max_events as u64))).map_err(failed)?;
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next().map_err(failed)? {
            let position: u64 = row.get(0).map_err(failed)?;
            let expected = after.saturating_add(entries.len() as u64 + 1);
            if position != expected {
                return Err(self.damaged(&format!("position {expected} is missing")));
            }
            let block: Vec<u8> = row.get(4).map_err(failed)?;
            bytes = bytes.saturating_add(block.len());
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            let raw = row.get_ref(1).and_then(|value| Ok(value.as_blob()?.to_vec())).map_err(failed)?;
            let cid = read_cid(&raw).map_err(|detail| self.damaged(&format!("position {position}: {detail}")))?;
            entries.push(Entry {
                position,
                cid,
                aggregate: row.get(2).map_err(failed)?,
                event_type: row.get(3).map_err(failed)?,
                block,
            });
        }
        Ok(entries)
    }

    fn cid_at(&self, position: u64) -> Result<Option<Cid>, OutboxError> {
        let bytes: Option<Vec<u8>> = self.read_with("reading the log of", |connection| {
            connection
                .prepare_cached("SELECT cid FROM log WHERE position = ?1")?
                .query_row([bounded(position)], |row| row.get(0))
                .optional()
        })?;
        let read = |bytes: Vec<u8>| read_cid(&bytes);
        bytes.map(read).transpose().map_err(|detail| self.damaged(&format!("position {position}: {detail}")))
    }

    fn cursor(&self, stream: &StreamKey) -> Result<Option<Cursor>, OutboxError> {
        self.read_with("reading the cursor of", |connection| {
            // Where there is none of this source, that of an earlier one says how far the outbox is; it had other heads.
            connection
                .prepare_cached(
                    "SELECT position, iif(source = ?4, head_sequence, 0) FROM outbox_cursor
                     WHERE account = ?1 AND stream = ?2 AND created = ?3 ORDER BY source = ?4 DESC, position DESC LIMIT 1",
                )?
                .query_row((&stream.account, &stream.stream, &stream.created, self.sources.now.as_str()), |row| {
                    Ok(Cursor { position: row.get(0)?, head_sequence: row.get(1)? })
                })
                .optional()
        })
    }

    fn set_cursor(&mut self, stream: &StreamKey, cursor: Cursor) -> Result<(), OutboxError> {
        self.write_with("moving the cursor of", |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO outbox_cursor (account, stream, created, position, head_sequence, source)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT DO UPDATE SET position = excluded.position, head_sequence = excluded.head_sequence",
                )?
                .execute((
                    &stream.account,
                    &stream.stream,
                    &stream.created,
                    bounded(cursor.position),
                    bounded(cursor.head_sequence),
                    self.sources.now.as_str(),
                ))
                .map(|_| ())
        })
    }

    fn parked(&self) -> Result<Vec<Parked>, OutboxError> {
        let rows: Vec<(u64, Vec<u8>, String, i64)> = self.read_with("reading what is parked in", |connection| {
            let mut statement = connection
                .prepare_cached("SELECT position, cid, reason, since FROM outbox_parked ORDER BY position")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
            rows.collect()
        })?;
        let parked = |(position, cid, reason, since): (u64, Vec<u8>, String, i64)| {
            let damaged = |detail: &str| self.damaged(&format!("the parked position {position}: {detail}"));
            let cid = read_cid(&cid).map_err(|detail| damaged(&detail))?;
            let since = Timestamp::from_unix_micros(since).ok_or_else(|| damaged("its time is out of range"))?;
            Ok(Parked { position, cid, reason, since })
        };
        rows.into_iter().map(parked).collect()
    }

    fn park(&mut self, position: u64, reason: &str) -> Result<(), OutboxError> {
        let since = (self.clock)().unix_micros();
        let parked = self.write_with("parking an event of", |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO outbox_parked (position, cid, reason, since, retry)
                     SELECT position, cid, ?2, ?3, 0 FROM log WHERE position = ?1
                     ON CONFLICT (position) DO UPDATE SET reason = excluded.reason",
                )?
                .execute((bounded(position), reason, since))
        })?;
        if parked == 0 { Err(self.damaged(&format!("position {position} is missing"))) } else { Ok(()) }
    }

    fn unpark(&mut self, position: u64) -> Result<(), OutboxError> {
        self.write_with("taking back a parked event of", |connection| {
            connection
                .prepare_cached("DELETE FROM outbox_parked WHERE position = ?1")?
                .execute([bounded(position)])
                .map(|_| ())
        })
    }

    fn retries(&self) -> Result<Vec<u64>, OutboxError> {
        self.read_with("reading what is to be retried in", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT position FROM outbox_parked WHERE retry <> 0 ORDER BY position")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })
    }

    fn set_retry(&mut self, position: u64, retry: bool) -> Result<(), OutboxError> {
        self.write_with("asking for a retry in", |connection| {
            connection
                .prepare_cached("UPDATE outbox_parked SET retry = ?2 WHERE position = ?1")?
                .execute((bounded(position), retry))
                .map(|_| ())
        })
    }

    fn checkpoint(&self, size: u64) -> Result<Option<String>, OutboxError> {
        self.read_with("reading a checkpoint of", |connection| {
            connection
                .prepare_cached("SELECT note FROM checkpoint WHERE size = ?1")?
                .query_row([bounded(size)], |row| row.get(0))
                .optional()
        })
    }

    fn newest_checkpoint(&self, after: u64, through: u64) -> Result<Option<u64>, OutboxError> {
        self.read_with("looking for checkpoints of", |connection| {
            connection
                .prepare_cached("SELECT max(size) FROM checkpoint WHERE size > ?1 AND size <= ?2")?
                .query_row((bounded(after), bounded(through)), |row| row.get(0))
        })
    }
}
