//! Appending: one transaction that writes blocks, positions, tree hashes and entities, and is durable when it returns.

mod followed;

pub use followed::FollowedEvent;

use std::path::PathBuf;
use std::sync::Arc;

use cid::Cid;
use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior};
use uuid::Uuid;

use super::behind::folded;
use super::error::{AppendError, CheckpointStoreError, DatabaseError, ReadError};
use super::gate::Gate;
use super::options::Clock;
use super::read::Log;
use super::schema;
use super::signing::{GroupError, Signing, put_note};
use super::tables::{Cache, TableError, Tables};
use super::tree::{read_edge, write_nodes};
use crate::act::{AppendedEvent, ClockJump, Commit, Decision, Evidence, Signature, Stamped, Verdict, stamp};
use crate::events::KeyEvent;
use crate::ids::EventId;
use crate::ipld_support::{ContentAddressedEvent, cid_of_blob};
use crate::ledger::{Cause, EventDraft, Refusal, decide};
use crate::log::{Edge, NodeHash, leaf_hash, with_cid_bytes};
use crate::time::Timestamp;

/// The end of the log, in memory.
#[derive(Debug, Clone, Default)]
struct Tip {
    time: Option<Timestamp>,
    edge: Edge,
    /// The highest id: one above it is new without a look.
    highest: Option<EventId>,
    /// Up to where the tables of entities follow the log, where that is not its end.
    folded: Option<u64>,
}

/// The one connection of this process that appends.
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    clock: Clock,
    gate: Arc<Gate>,
    tip: Tip,
    /// `data_version` of the connection when `tip` was right: it changes when another connection commits.
    version: Option<i64>,
    signing: Option<Signing>,
}

/// What is to be done within the transaction.
pub(super) type Work = Box<dyn FnOnce(&mut Session<'_>) -> Result<Vec<AppendedEvent>, AppendError> + Send>;

impl Writer {
    pub(super) fn new(connection: Connection, path: PathBuf, clock: Clock) -> Self {
        Self { connection, path, clock, gate: Arc::default(), tip: Tip::default(), version: None, signing: None }
    }

    /// The turns that this process takes in writing.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// Signs the heads of what is appended from here on.
    pub(super) fn sign_heads(&mut self, signing: Option<Signing>) -> Result<(), CheckpointStoreError> {
        self.remember()?;
        self.signing = signing;
        Ok(())
    }

    /// Remembers the head that was signed last.
    pub(super) fn remember(&mut self) -> Result<(), CheckpointStoreError> {
        self.signing.as_mut().map_or(Ok(()), Signing::remember)
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> AppendError {
        DatabaseError::new("recording", &self.path, error).into()
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Does several pieces of work in one transaction: one that is refused leaves no trace, and the others stand. Every answer
    /// holds once this returns: what is Ok is durable.
    pub(super) fn run(&mut self, work: Vec<Work>) -> Vec<Result<Vec<AppendedEvent>, AppendError>> {
        let count = work.len();
        match self.transact(work) {
            Ok(answers) => answers,
            Err(error) => {
                self.version = None;
                (0..count).map(|_| Err(error.clone().into())).collect()
            }
        }
    }

    /// Does one piece of work in a transaction of its own.
    pub(super) fn run_one(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<Vec<AppendedEvent>, AppendError> + Send + 'static,
    ) -> Result<Vec<AppendedEvent>, AppendError> {
        self.run(vec![Box::new(work)]).pop().unwrap_or(Err(AppendError::Interrupted))
    }

    fn transact(&mut self, work: Vec<Work>) -> Result<Vec<Result<Vec<AppendedEvent>, AppendError>>, GroupError> {
        let path = self.path.clone();
        let failed = |error| DatabaseError::new("recording", &path, error);
        let clock = Arc::clone(&self.clock);
        let gate = Arc::clone(&self.gate);
        let _turn = gate.turn();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let version: i64 = transaction.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(failed)?;
        if self.version != Some(version) {
            self.tip = read_tip(&transaction).map_err(failed)?;
            self.version = Some(version);
            if let Some(signing) = &mut self.signing {
                signing.moved();
            }
        }
        let mut tip = self.tip.clone();
        let mut nodes = Vec::new();
        let cache = Cache::default();
        let alone = work.len() == 1;
        let mut answers = Vec::with_capacity(work.len());
        for work in work {
            let before = (tip.clone(), nodes.len());
            let mut session = Session {
                connection: &transaction,
                path: &path,
                tip: &mut tip,
                nodes: &mut nodes,
                clock: &clock,
                cache: &cache,
                trace: if alone { Trace::Ours } else { Trace::None },
            };
            let answer = work(&mut session);
            let trace = session.trace;
            match (answer, trace) {
                // SQLite itself rolled everything back, as it does when the disk is full.
                (Err(AppendError::Database(error)), _) if transaction.is_autocommit() => return Err(error.into()),
                (Err(error), Trace::Ours) => return Ok(vec![Err(error)]),
                // What was decided could not be written.
                (Err(AppendError::Database(error)), Trace::Written) => return Err(error.into()),
                (Err(error), Trace::Written) => {
                    let detail = error.to_string();
                    return Err(DatabaseError::Damaged { action: "recording", path, detail }.into());
                }
                (answer, Trace::Savepoint) => {
                    if answer.is_err() {
                        execute(&transaction, "ROLLBACK TO one").map_err(failed)?;
                        (tip, _) = before;
                        nodes.truncate(before.1);
                        cache.clear();
                    }
                    execute(&transaction, "RELEASE one").map_err(failed)?;
                    answers.push(answer);
                }
                (answer, Trace::None | Trace::Ours | Trace::Written) => answers.push(answer),
            }
        }
        write_nodes(&transaction, &nodes).map_err(failed)?;
        let grown = self.signing.as_mut().filter(|_| tip.edge.size() > self.tip.edge.size());
        let signed = grown.map(|signing| signing.sign(&transaction, &path, &tip.edge)).transpose()?;
        transaction.commit().map_err(failed)?;
        self.tip = tip;
        if let (Some(signing), Some(note)) = (&mut self.signing, signed) {
            signing.committed(note);
        }
        Ok(answers)
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn read_tip(connection: &Connection) -> rusqlite::Result<Tip> {
    let last = connection
        .prepare_cached("SELECT position, occurred_at FROM log ORDER BY position DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((end, micros)) = last else { return Ok(Tip::default()) };
    let highest = connection.prepare_cached("SELECT max(event_id) FROM log")?.query_row([], |row| row.get(0))?;
    Ok(Tip {
        time: Timestamp::from_unix_micros(micros),
        edge: read_edge(connection, end)?,
        highest: Some(EventId::from_uuid(Uuid::from_bytes(highest))),
        folded: folded(connection)?,
    })
}

/// What a piece of work leaves in the transaction if it fails.
#[derive(Clone, Copy)]
enum Trace {
    /// Nothing: it has not written yet.
    None,
    /// What was decided as a whole is being written. That fails only when the database does, for all that share it.
    Written,
    /// Nothing: what it wrote is rolled back to a savepoint, which costs a copy of every page that it touches.
    Savepoint,
    /// The transaction is its own, and goes with it.
    Ours,
}

/// What the log keeps of an event.
struct Row<'a> {
    cid: &'a Cid,
    id: EventId,
    occurred_at: Timestamp,
    aggregate: &'a str,
    event_type: &'a str,
    block: &'a [u8],
}

/// One append, within a transaction.
pub(super) struct Session<'a> {
    connection: &'a Connection,
    path: &'a std::path::Path,
    tip: &'a mut Tip,
    /// The nodes of the tree that are not written yet.
    nodes: &'a mut Vec<(u64, NodeHash)>,
    clock: &'a Clock,
    cache: &'a Cache,
    trace: Trace,
}

impl<'a> Session<'a> {
    /// Records an act. Each decision is taken once more, on what is recorded now and on what the ones before it recorded; it
    /// must come out as it did when the act was drafted, or the act is to be drafted again. Each event is judged on the state
    /// before the decision that led to it.
    pub(super) fn commit(&mut self, mut act: Commit) -> Result<Vec<AppendedEvent>, AppendError> {
        self.expect(act.at)?;
        self.catch_up(u64::MAX)?;
        let is_signed = |it: &Decision| it.events.iter().any(|event| event.signature.is_some());
        if act.decisions.len() > 1 || act.prerequisite.is_some() || act.decisions.iter().any(is_signed) {
            self.savepoint()?;
        }
        let decisions = std::mem::take(&mut act.decisions);
        let mut appended = Vec::with_capacity(decisions.len());
        for Decision { command, events } in decisions {
            let drafts = decide(&self.tables(), &command)?;
            let events = match events.is_empty() {
                true => self.stamped(&act, drafts, &appended)?,
                false => self.unchanged(events, drafts)?,
            };
            for stamped in &events {
                self.judge(&act, stamped)?;
            }
            if let (true, Some(first)) = (appended.is_empty(), events.first()) {
                self.check_time(&act, first.event.event.occurred_at)?;
                self.write_blobs(&act.blobs)?;
            }
            for stamped in events {
                self.write_stamped(stamped, &mut appended)?;
            }
        }
        match &act.prerequisite {
            Some(prerequisite) if !prerequisite.wait() => Err(AppendError::Unfulfilled),
            _ => Ok(appended),
        }
    }

    /// Makes events of what was decided here.
    fn stamped(
        &self,
        act: &Commit,
        drafts: Vec<EventDraft>,
        appended: &[AppendedEvent],
    ) -> Result<Vec<Stamped>, AppendError> {
        // All events of an act are of one moment.
        let occurred_at = match appended.first() {
            Some(first) => first.event.occurred_at,
            None => self.time(),
        };
        let mut made: Vec<Stamped> = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let earlier = |index: usize| made.get(index).map(|earlier| earlier.event.cid);
            let event = stamp(draft, occurred_at, &act.actor, act.correlation_id, earlier);
            made.push(Stamped { event: event.map_err(AppendError::Encoding)?, signature: None });
        }
        Ok(made)
    }

    /// The events that were made when the act was drafted, where the decision is still the same.
    fn unchanged(&self, events: Vec<Stamped>, drafts: Vec<EventDraft>) -> Result<Vec<Stamped>, AppendError> {
        let same = |(made, draft): (&Stamped, &EventDraft)| {
            let cause = |cause: &Cause| match cause {
                Cause::Recorded(cid) => Some(*cid),
                Cause::Earlier(index) => events.get(*index).map(|earlier| earlier.event.cid),
            };
            let event = &made.event.event;
            event.data == draft.data
                && draft.causes.iter().map(cause).eq(event.causes.iter().map(|link| Some(*link.cid())))
        };
        match events.len() == drafts.len() && events.iter().zip(&drafts).all(same) {
            true => Ok(events),
            false => Err(AppendError::Moved { actual: self.end() }),
        }
    }

    fn judge(&self, act: &Commit, stamped: &Stamped) -> Result<(), AppendError> {
        let evidence = Evidence { signed: stamped.signature.is_some() };
        let verdict = act.policy.judge(&self.tables(), &stamped.event.event, &evidence);
        match verdict.map_err(Refusal::from)? {
            Verdict::Allow => Ok(()),
            Verdict::Deny(denial) => Err(AppendError::Denied(denial)),
            Verdict::NeedsApproval(denial) => Err(AppendError::NeedsApproval(denial)),
        }
    }

    /// Records an event, and the actor's signature behind it.
    fn write_stamped(&mut self, stamped: Stamped, appended: &mut Vec<AppendedEvent>) -> Result<(), AppendError> {
        appended.push(self.write_known(stamped.event)?);
        if let Some(Signature { command, event }) = stamped.signature {
            let drafts = decide(&self.tables(), &command)?;
            let made = self.unchanged(vec![Stamped { event, signature: None }], drafts)?;
            for signature in made {
                appended.push(self.write_known(signature.event)?);
            }
        }
        Ok(())
    }

    fn write_known(&mut self, event: ContentAddressedEvent<KeyEvent>) -> Result<AppendedEvent, AppendError> {
        let aggregate = event.event.aggregate().map_or("unknown", |aggregate| aggregate.as_str());
        self.write(event, aggregate)
    }

    /// Time never goes back, and does not jump by more than a day unless that was confirmed.
    fn check_time(&self, act: &Commit, occurred_at: Timestamp) -> Result<(), AppendError> {
        let Some(last) = self.tip.time else { return Ok(()) };
        if occurred_at < last {
            return Err(AppendError::Moved { actual: self.end() });
        }
        // Of an event that was stamped at the last one's time, the clock itself may be behind.
        let now = (self.clock)();
        let jump = ClockJump::between(last, if now < last { now } else { occurred_at });
        match jump.filter(|_| !act.accept_clock) {
            Some(jump) => Err(AppendError::ClockJump(jump)),
            None => Ok(()),
        }
    }

    /// What follows may be refused after something was written.
    pub(super) fn savepoint(&mut self) -> Result<(), AppendError> {
        if matches!(self.trace, Trace::None) {
            execute(self.connection, "SAVEPOINT one").map_err(|error| self.failed(error))?;
            self.trace = Trace::Savepoint;
        }
        Ok(())
    }

    /// Something is about to be written.
    const fn writes(&mut self) {
        if matches!(self.trace, Trace::None) {
            self.trace = Trace::Written;
        }
    }

    /// What the tables of entities follow, where that is not all of the log.
    pub(super) const fn folded(&self) -> Option<u64> {
        self.tip.folded
    }

    pub(super) const fn set_folded(&mut self, folded: Option<u64>) {
        self.tip.folded = folded;
    }

    /// The last position.
    pub(super) fn end(&self) -> u64 {
        self.tip.edge.size()
    }

    /// Empties the tables of entities.
    pub(super) fn forget_entities(&self) -> Result<(), AppendError> {
        self.cache.clear();
        self.tables().clear().map_err(|error| self.failed(error))
    }

    pub(super) const fn log(&self) -> Log<'_> {
        Log { connection: self.connection, path: self.path }
    }

    /// Writes a value of the table `meta`.
    pub(super) fn set_meta(&mut self, key: &str, value: &str) -> Result<(), AppendError> {
        self.savepoint()?;
        schema::set_meta(self.connection, key, value).map_err(|error| self.failed(error))
    }

    /// Removes a value of the table `meta`.
    pub(super) fn remove_meta(&mut self, key: &str) -> Result<(), AppendError> {
        self.savepoint()?;
        schema::remove_meta(self.connection, key).map_err(|error| self.failed(error))
    }

    pub(super) fn tables(&self) -> Tables<'_> {
        Tables::cached(self.connection, self.cache)
    }

    /// Writes a checkpoint, in the place of an earlier copy of the same size.
    pub(super) fn put_checkpoint(&mut self, size: u64, note: &str) -> Result<(), AppendError> {
        self.writes();
        put_note(self.connection, size, note).map_err(|error| self.failed(error))
    }

    pub(super) fn expect(&self, expected: Option<u64>) -> Result<(), AppendError> {
        match expected {
            Some(expected) if expected != self.end() => Err(AppendError::Moved { actual: self.end() }),
            _ => Ok(()),
        }
    }

    /// The time of the next events: the clock's, but never before the last event's.
    fn time(&self) -> Timestamp {
        let now = (self.clock)();
        self.tip.time.map_or(now, |last| now.max(last))
    }

    fn write(&mut self, event: ContentAddressedEvent<KeyEvent>, aggregate: &str) -> Result<AppendedEvent, AppendError> {
        let row = Row {
            cid: &event.cid,
            id: event.event.id,
            occurred_at: event.event.occurred_at,
            aggregate,
            event_type: event.event.event_type(),
            block: event.block(),
        };
        let position = self.write_row(&row, &mut self.insert()?)?;
        let cid = event.cid;
        self.tables().fold(&event.event, position, cid).map_err(|error| self.misapplied(error))?;
        Ok(AppendedEvent { position, cid, event: event.event, is_new: true })
    }

    /// What [`write_row`](Self::write_row) writes with.
    pub(super) fn insert(&self) -> Result<CachedStatement<'a>, AppendError> {
        let insert = self.connection.prepare_cached(
            "INSERT INTO log (position, cid, event_id, occurred_at, aggregate, type, block)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        );
        insert.map_err(|error| self.failed(error))
    }

    /// Writes the next row of the log, and its leaf of the tree.
    fn write_row(&mut self, row: &Row<'_>, insert: &mut CachedStatement<'_>) -> Result<u64, AppendError> {
        self.writes();
        let position = self.end() + 1;
        let mut write = |cid: &[u8]| -> rusqlite::Result<()> {
            insert.execute((
                position,
                cid,
                row.id.as_uuid().as_bytes(),
                row.occurred_at.unix_micros(),
                row.aggregate,
                row.event_type,
                row.block,
            ))?;
            self.tip.edge.push_leaf(leaf_hash(row.cid), |i, h| {
                self.nodes.push((i, *h));
                Ok(())
            })
        };
        with_cid_bytes(row.cid, &mut write).map_err(|error| self.failed(error))?;
        self.tip.time = Some(row.occurred_at);
        self.tip.highest = self.tip.highest.max(Some(row.id));
        Ok(position)
    }

    pub(super) fn write_blobs(&mut self, blobs: &[Vec<u8>]) -> Result<(), AppendError> {
        blobs.iter().try_for_each(|blob| self.write_blob(blob))
    }

    fn write_blob(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        self.writes();
        let write = || -> rusqlite::Result<()> {
            self.connection
                .prepare_cached("INSERT INTO blob (cid, bytes) VALUES (?1, ?2) ON CONFLICT (cid) DO NOTHING")?
                .execute((cid_of_blob(bytes).to_bytes(), bytes))?;
            Ok(())
        };
        write().map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> AppendError {
        DatabaseError::new("recording", self.path, error).into()
    }

    pub(super) fn misapplied(&self, error: TableError) -> AppendError {
        match error {
            TableError::Sqlite(error) => self.failed(error),
            TableError::View(error) => Refusal::from(error).into(),
            error => self.damaged(error.to_string()),
        }
    }

    pub(super) fn unread(&self, error: ReadError) -> AppendError {
        match error {
            ReadError::Database(error) => error.into(),
            error => self.damaged(error.to_string()),
        }
    }

    fn damaged(&self, detail: String) -> AppendError {
        DatabaseError::Damaged { action: "recording", path: self.path.to_owned(), detail }.into()
    }
}
