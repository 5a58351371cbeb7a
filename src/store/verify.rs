//! Checking everything that is recorded. What is wrong is named by position; nothing here panics on a damaged file.

use std::cmp::Ordering;

use cid::Cid;
use rusqlite::{Connection, OptionalExtension, Row};

use super::mirror::is_mirror;
use super::read::{Log, read_cid};
use super::schema;
use super::tables::{Cache, Tables, reference_of};
use super::tree::{node_count, push_stored, read_edge};
use crate::events::{EventData, KeyEvent, Link};
use crate::ipld_support::{Envelope, cid_of_blob, decode_block, verify_block};
use crate::ledger::Entity;
use crate::log::{Edge, SignedCheckpoint, leaf_hash};
use crate::time::Timestamp;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many events were there to be checked.
    pub events: u64,
    /// What is wrong, in the order in which it was found; the first [`Report::MOST`] of it.
    pub problems: Vec<Problem>,
    /// How many problems more there are.
    pub more: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The position that it concerns, where it concerns one.
    pub position: Option<u64>,
    /// The content identifier that is recorded there, as far as it reads.
    pub cid: Option<Cid>,
    /// What is wrong. What came from the file is made visible.
    pub what: String,
}

impl Report {
    /// How many problems are listed.
    pub const MOST: usize = 1_000;

    /// Whether nothing is wrong.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, position: Option<u64>, cid: Option<Cid>, what: impl Into<String>) {
        if self.problems.len() < Self::MOST {
            let what = what.into();
            self.problems.push(Problem { position, cid, what: crate::text::visible(&what).into_owned() });
        } else {
            self.more += 1;
        }
    }
}

/// Events between two calls of the progress function.
const STEP: u64 = 1_024;

/// Events read at a time.
const PAGE: i64 = 256;

pub(super) fn verify(log: &Log<'_>, progress: &mut dyn FnMut(u64, u64)) -> Report {
    let mut report = Report::default();
    // One moment for all that follows; without it each statement has its own, which only matters while others write.
    let _moment = log.connection.unchecked_transaction();
    check_file(log, &mut report);
    let Some(end) = find_end(log, &mut report) else { return report };
    let scratch = match schema::scratch() {
        Ok(scratch) => Some(scratch),
        Err(error) => {
            report.add(None, None, format!("the entities can't be replayed: {error}"));
            None
        }
    };
    let mut walk = Walk {
        log,
        report: &mut report,
        scratch: scratch.as_ref(),
        cache: Cache::default(),
        end,
        last: 0,
        time: None,
        edge: Some(Edge::default()),
    };
    walk.run(progress);
    let edge = walk.edge.take();
    check_tree_size(log, &mut report, edge.as_ref());
    check_checkpoints(log, &mut report);
    check_blobs(log, &mut report);
    check_outbox(log, &mut report);
    match scratch {
        Some(scratch) if report.ok() => compare_entities(log, &scratch, &mut report),
        Some(_) => report.add(None, None, "the tables of entities were not compared, because of the problems above"),
        None => {}
    }
    progress(report.events, end);
    report
}

/// SQLite's own check of pages, and of indexes against tables.
fn check_file(log: &Log<'_>, report: &mut Report) {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = log.connection.prepare("PRAGMA integrity_check(100)")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    match read() {
        Ok(lines) => {
            for line in lines.into_iter().filter(|line| line != "ok") {
                report.add(None, None, format!("the file: {line}"));
            }
        }
        Err(error) => report.add(None, None, format!("the file: {error}")),
    }
}

/// The last position: of the log, or of the tree where that is further.
fn find_end(log: &Log<'_>, report: &mut Report) -> Option<u64> {
    let number = |sql| log.connection.query_row(sql, [], |row| row.get::<_, Option<u64>>(0));
    let logged = number("SELECT max(position) FROM log");
    let nodes = number("SELECT max(i) FROM node");
    // A tree of n leaves has between n and 2n nodes.
    let leaves = match &nodes {
        Ok(Some(last)) if *last < 1 << 50 => {
            let (level, n) = tlog_tiles::split_stored_hash_index(*last);
            Some((n + 1) << level)
        }
        Ok(_) => None,
        Err(error) => {
            report.add(None, None, format!("the tree can't be read: {error}"));
            None
        }
    };
    match logged {
        Ok(logged) => Some(logged.unwrap_or(0).max(leaves.unwrap_or(0))),
        Err(error) => {
            report.add(None, None, format!("the end of the log can't be read: {error}"));
            leaves
        }
    }
}

struct Walk<'a, 'b> {
    log: &'a Log<'b>,
    report: &'a mut Report,
    scratch: Option<&'a Connection>,
    cache: Cache,
    end: u64,
    /// The last position that was looked at.
    last: u64,
    time: Option<Timestamp>,
    /// The tree up to `last`; absent once it can't be followed any more.
    edge: Option<Edge>,
}

/// A row of the log, as far as it reads.
struct LogRow {
    position: u64,
    cid: Result<Cid, String>,
    event_id: Vec<u8>,
    occurred_at: i64,
    aggregate: String,
    event_type: String,
    block: Vec<u8>,
}

fn log_row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        position: row.get(0)?,
        cid: read_cid(row.get_ref(1)?.as_blob()?),
        event_id: row.get(2)?,
        occurred_at: row.get(3)?,
        aggregate: row.get(4)?,
        event_type: row.get(5)?,
        block: row.get(6)?,
    })
}

const ROWS: &str = "SELECT position, cid, event_id, occurred_at, aggregate, type, block FROM log";

impl Walk<'_, '_> {
    fn run(&mut self, progress: &mut dyn FnMut(u64, u64)) {
        while self.last < self.end {
            match self.page() {
                Ok(page) if page.is_empty() => {
                    self.missing(self.end);
                }
                Ok(page) => {
                    for row in page {
                        self.row(row);
                        if self.report.events.is_multiple_of(STEP) {
                            progress(self.report.events, self.end);
                        }
                    }
                }
                Err(_) => self.step(),
            }
        }
    }

    fn page(&self) -> rusqlite::Result<Vec<LogRow>> {
        let sql = format!("{ROWS} WHERE position > ?1 ORDER BY position LIMIT {PAGE}");
        let mut statement = self.log.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([self.last], log_row)?;
        rows.collect()
    }

    /// One position by itself, where a page of them can't be read.
    fn step(&mut self) {
        let position = self.last + 1;
        let read = || {
            let mut statement = self.log.connection.prepare_cached(&format!("{ROWS} WHERE position = ?1"))?;
            statement.query_row([position], log_row).optional()
        };
        match read() {
            Ok(Some(row)) => self.row(row),
            Ok(None) => self.missing(position),
            Err(error) => {
                self.report.add(Some(position), None, format!("can't be read: {error}"));
                self.skip(position);
            }
        }
    }

    /// All positions after the last one, up to this one, are not there.
    fn missing(&mut self, to: u64) {
        let first = self.last + 1;
        let what = if first == to { "is missing".into() } else { format!("is missing, and so is all up to {to}") };
        self.report.add(Some(first), None, what);
        self.skip(to);
    }

    /// Goes on after positions that can't be checked. The tree keeps the hash of their leaves.
    fn skip(&mut self, to: u64) {
        if to - self.last > 10_000 {
            self.edge = None;
        }
        while self.last < to && self.edge.is_some() {
            self.edge = self.edge.take().and_then(|mut edge| {
                push_stored(&mut edge, self.log.connection).ok()?;
                Some(edge)
            });
            self.last += 1;
        }
        self.last = to;
    }

    fn row(&mut self, row: LogRow) {
        if row.position > self.last + 1 {
            self.missing(row.position - 1);
        }
        self.report.events += 1;
        let position = row.position;
        let cid = match &row.cid {
            Ok(cid) => *cid,
            Err(detail) => {
                self.report.add(Some(position), None, detail.clone());
                self.skip(position);
                return;
            }
        };
        self.tree(position, &cid);
        self.last = position;
        if !verify_block(&row.block, &cid) {
            self.report.add(Some(position), Some(cid), "the block is not the one that its content identifier names");
            return;
        }
        match Envelope::parse(&row.block) {
            Ok(envelope) => self.envelope(&row, cid, &envelope),
            Err(error) => self.report.add(Some(position), Some(cid), format!("the block is no event: {error}")),
        }
    }

    fn tree(&mut self, position: u64, cid: &Cid) {
        let Some(edge) = &mut self.edge else { return };
        let connection = self.log.connection;
        let mut wrong = None;
        let checked = edge.push_leaf(leaf_hash(cid), |i, hash| -> rusqlite::Result<()> {
            let stored: Option<Vec<u8>> = connection
                .prepare_cached("SELECT h FROM node WHERE i = ?1")?
                .query_row([i], |row| row.get(0))
                .optional()?;
            match stored {
                None => {
                    wrong.get_or_insert(format!("node {i} of the tree is missing"));
                }
                Some(stored) if stored != hash => {
                    wrong.get_or_insert(format!("node {i} of the tree has another hash than follows from the log"));
                }
                Some(_) => {}
            }
            Ok(())
        });
        if let Err(error) = checked {
            wrong.get_or_insert(format!("the tree can't be read: {error}"));
            // The edge stopped half-way.
            self.edge = None;
        }
        if let Some(what) = wrong {
            self.report.add(Some(position), Some(*cid), what);
        }
    }

    fn envelope(&mut self, row: &LogRow, cid: Cid, envelope: &Envelope<'_>) {
        let position = row.position;
        let mut wrong = |what: String| self.report.add(Some(position), Some(cid), what);
        let id = uuid::Uuid::try_parse(envelope.id).map(|id| id.as_bytes().to_vec());
        if id.as_ref() != Ok(&row.event_id) {
            wrong("the log gives it another event id than the event itself".into());
        }
        if row.event_type != envelope.event_type {
            wrong(format!("the log gives it the type {}, and the event is a {}", row.event_type, envelope.event_type));
        }
        match envelope.occurred_at.parse::<Timestamp>() {
            Ok(time) => {
                if time.unix_micros() != row.occurred_at {
                    wrong("the log gives it another time than the event itself".into());
                }
                if let Some(last) = self.time.filter(|&last| time < last) {
                    wrong(format!("it is of {time}, before the event before it, of {last}"));
                }
                self.time = Some(time);
            }
            Err(error) => wrong(error.to_string()),
        }
        for cause in envelope.causes.iter().filter(|cause| cause.codec() == Link::DAG_CBOR) {
            match position_of(self.log.connection, &cause) {
                Ok(Some(earlier)) if earlier < position => {}
                Ok(Some(_)) => {
                    self.report.add(Some(position), Some(cid), format!("its cause {cause} does not stand before it"));
                }
                Ok(None) => {
                    self.report.add(Some(position), Some(cid), format!("its cause {cause} is not recorded"));
                }
                Err(error) => {
                    self.report.add(
                        Some(position),
                        Some(cid),
                        format!("its cause {cause} can't be looked up: {error}"),
                    );
                }
            }
        }
        match decode_block::<KeyEvent>(&row.block) {
            Ok(event) => self.event(row, cid, &event),
            Err(error) => self.report.add(Some(position), Some(cid), format!("the event does not decode: {error}")),
        }
    }

    fn event(&mut self, row: &LogRow, cid: Cid, event: &KeyEvent) {
        let position = row.position;
        if let Some(aggregate) = event.aggregate().filter(|aggregate| aggregate.as_str() != row.aggregate) {
            let what = format!("the log gives it the aggregate {}, and the event's is {aggregate}", row.aggregate);
            self.report.add(Some(position), Some(cid), what);
        }
        match (&event.data, position) {
            (EventData::LedgerCreated(created), 1) => {
                let meta = |key| schema::meta(self.log.connection, key).ok().flatten();
                let same = meta("ledger") == Some(created.ledger_id.to_string())
                    && meta("public_key") == Some(created.public_key.to_string());
                if !same {
                    self.report.add(Some(1), Some(cid), "the file says that it is another ledger than its first event");
                }
            }
            (_, 1) => self.report.add(Some(1), Some(cid), "the first event is no LedgerCreated"),
            (EventData::ManifestApplied(applied), _) => match self.log.blob(applied.manifest.cid()) {
                Ok(Some(_)) => {}
                // Streams carry events only: a mirror that was fed from one has none of the raw blocks until an archive
                // brings them.
                Ok(None) if is_mirror(self.log.connection, self.log.path).unwrap_or(false) => {}
                Ok(None) => {
                    let what = format!("the raw block {} that it links to is not recorded", applied.manifest);
                    self.report.add(Some(position), Some(cid), what);
                }
                Err(error) => self.report.add(Some(position), Some(cid), error.to_string()),
            },
            _ => {}
        }
        if let Some(scratch) = self.scratch
            && let Err(error) = Tables::replay(scratch, self.log.connection, &self.cache).fold(event, position, cid)
        {
            self.report.add(Some(position), Some(cid), format!("it can't be replayed: {error}"));
        }
    }
}

fn position_of(connection: &Connection, cid: &Cid) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT position FROM log WHERE substr(cid, 5, 8) = substr(?1, 5, 8) AND cid = ?1")?
        .query_row([cid.to_bytes()], |row| row.get(0))
        .optional()
}

/// Every checkpoint is one of this history: its root is that of the tree of its size.
fn check_checkpoints(log: &Log<'_>, report: &mut Report) {
    let read = || -> rusqlite::Result<Vec<(u64, String)>> {
        let mut statement = log.connection.prepare("SELECT size, note FROM checkpoint ORDER BY size")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let checkpoints = match read() {
        Ok(checkpoints) => checkpoints,
        Err(error) => return report.add(None, None, format!("the checkpoints can't be read: {error}")),
    };
    for (size, note) in checkpoints {
        let mut wrong = |what: String| report.add(Some(size), None, format!("the checkpoint of {size} events {what}"));
        let signed: SignedCheckpoint = match note.parse() {
            Ok(signed) => signed,
            Err(error) => {
                wrong(format!("does not read: {error}"));
                continue;
            }
        };
        if signed.size() != size {
            wrong(format!("says that it is of {} events", signed.size()));
        }
        match read_edge(log.connection, size) {
            Ok(edge) if edge.root() == signed.checkpoint().root => {}
            Ok(_) => wrong("has another root than the events have".into()),
            Err(_) => wrong("covers more events than there are".into()),
        }
    }
}

fn check_tree_size(log: &Log<'_>, report: &mut Report, edge: Option<&Edge>) {
    let count = log.connection.query_row("SELECT count(*) FROM node", [], |row| row.get::<_, u64>(0));
    match (count, edge) {
        (Ok(count), Some(edge)) if count != node_count(edge.size()) => {
            let (size, needed) = (edge.size(), node_count(edge.size()));
            report.add(None, None, format!("the tree of {size} events has {count} nodes, and should have {needed}"));
        }
        (Err(error), _) => report.add(None, None, format!("the tree can't be read: {error}")),
        _ => {}
    }
}

fn check_blobs(log: &Log<'_>, report: &mut Report) {
    let mut check = || -> rusqlite::Result<()> {
        let mut statement = log.connection.prepare("SELECT number, cid, bytes FROM blob ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            if cid_of_blob(row.get_ref(2)?.as_blob()?).to_bytes() != row.get_ref(1)?.as_blob()? {
                report.add(None, None, format!("raw block {number} is not the one that its content identifier names"));
            }
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.add(None, None, format!("the raw blocks can't be read: {error}"));
    }
}

fn check_outbox(log: &Log<'_>, report: &mut Report) {
    let mut check = || -> rusqlite::Result<()> {
        let mut statement = log.connection.prepare(
            "SELECT parked.position FROM outbox_parked AS parked LEFT JOIN log USING (position)
             WHERE log.cid IS NULL OR log.cid <> parked.cid ORDER BY 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            report.add(Some(row.get(0)?), None, "it is parked with another content identifier than the log has");
        }
        let mut statement = log.connection.prepare(
            "SELECT stream, position FROM outbox_cursor
             WHERE position > (SELECT coalesce(max(position), 0) FROM log)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (stream, position): (String, u64) = (row.get(0)?, row.get(1)?);
            let what = format!("the stream {stream} is said to hold it, and the log ends before");
            report.add(Some(position), None, what);
        }
        Ok(())
    };
    if let Err(error) = check() {
        report.add(None, None, format!("the outbox can't be read: {error}"));
    }
}

/// The tables of entities against their replay, in the order of their keys.
fn compare_entities(log: &Log<'_>, scratch: &Connection, report: &mut Report) {
    let same_entity = |one: &str, other: &str| {
        // A release that knows more writes the same entity as another text.
        let parse = |text: &str| serde_json::from_str::<Entity>(text).ok();
        one == other || parse(one).is_some_and(|one| Some(one) == parse(other))
    };
    let entities = "SELECT kind, id, body FROM entity ORDER BY kind, id";
    let compared = compare(log.connection, scratch, entities, same_entity, report)
        .and_then(|()| {
            let names = "SELECT kind, id, idx || ' ' || hex(scope) || ' ' || key || ' ' || held FROM name
                         ORDER BY kind, id, 3";
            compare(log.connection, scratch, names, |one, other| one == other, report)
        })
        .and_then(|()| {
            let references = "SELECT kind, id, to_kind || ' ' || hex(to_id) FROM reference ORDER BY kind, id, 3";
            compare(log.connection, scratch, references, |one, other| one == other, report)
        })
        .and_then(|()| {
            let marks = "SELECT kind, id, position || '' FROM mark ORDER BY kind, id, 3";
            compare(log.connection, scratch, marks, |one, other| one == other, report)
        });
    if let Err(error) = compared {
        report.add(None, None, format!("the tables of entities can't be read: {error}"));
    }
}

type Key = (String, Vec<u8>, String);

fn compare(
    tables: &Connection,
    replay: &Connection,
    sql: &str,
    same: impl Fn(&str, &str) -> bool,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let (mut ours, mut theirs) = (tables.prepare(sql)?, replay.prepare(sql)?);
    let (mut ours, mut theirs) = (ours.query([])?, theirs.query([])?);
    let next = |rows: &mut rusqlite::Rows<'_>| -> rusqlite::Result<Option<(Key, String)>> {
        let Some(row) = rows.next()? else { return Ok(None) };
        let label = reference_of(row).map_or_else(|error| error.to_string(), |reference| reference.to_string());
        Ok(Some(((row.get(0)?, row.get(1)?, row.get(2)?), label)))
    };
    let (mut one, mut other) = (next(&mut ours)?, next(&mut theirs)?);
    let whole = sql.contains("body");
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) if whole => (&one.0, &one.1).cmp(&(&other.0, &other.1)),
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        match order {
            Ordering::Less => {
                let label = one.map(|(_, label)| label).unwrap_or_default();
                report.add(
                    None,
                    None,
                    format!("{label} is in the tables, and does not follow from the log; rebuild them"),
                );
                one = next(&mut ours)?;
            }
            Ordering::Greater => {
                let label = other.map(|(_, label)| label).unwrap_or_default();
                report.add(None, None, format!("{label} follows from the log, and is not in the tables; rebuild them"));
                other = next(&mut theirs)?;
            }
            Ordering::Equal => {
                if let (Some((one, label)), Some((other, _))) = (&one, &other)
                    && !same(&one.2, &other.2)
                {
                    report.add(
                        None,
                        None,
                        format!("{label} is otherwise in the tables than follows from the log; rebuild them"),
                    );
                }
                one = next(&mut ours)?;
                other = next(&mut theirs)?;
            }
        }
    }
}
