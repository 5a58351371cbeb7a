//! Rows of the log, read many at a time, and what they are judged by without their neighbours.

use std::ops::Range;

use cid::Cid;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::events::{EventData, KeyEvent};
use crate::ipld_support::Envelope;
use crate::store::read::read_cid;
use crate::verify::{Layer, Verdict, judge};

/// Rows, and bytes of blocks, that are read at a time: what bounds the memory.
const MOST_ROWS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// After so many positions in a row that can't be read, one by one, the rest is given up.
const MOST_UNREADABLE: u64 = 4_096;

const COLUMNS: &str = "SELECT position, cid, event_id, occurred_at, aggregate, type, block FROM log";

/// A row, as far as it reads.
pub(super) struct LogRow {
    pub(super) position: u64,
    pub(super) cid: Result<Cid, String>,
    event_id: Option<[u8; 16]>,
    occurred_at: i64,
    aggregate: Range<usize>,
    event_type: Range<usize>,
    block: Range<usize>,
}

/// What stands at a position.
pub(super) enum Entry {
    Row(LogRow),
    /// The row is there and does not read, or the page that should hold it does not.
    Unreadable {
        position: u64,
        why: String,
    },
}

/// Rows in order, with their texts and blocks in one place.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Batch {
    fn push(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let begin = self.bytes.len();
        let read = self.read(row);
        if read.is_err() {
            self.bytes.truncate(begin);
        }
        self.entries.push(Entry::Row(read?));
        Ok(())
    }

    fn read(&mut self, row: &Row<'_>) -> rusqlite::Result<LogRow> {
        Ok(LogRow {
            position: row.get(0)?,
            cid: read_cid(row.get_ref(1)?.as_blob()?),
            event_id: row.get_ref(2)?.as_blob()?.try_into().ok(),
            occurred_at: row.get(3)?,
            aggregate: self.keep(row.get_ref(4)?.as_str()?.as_bytes()),
            event_type: self.keep(row.get_ref(5)?.as_str()?.as_bytes()),
            block: self.keep(row.get_ref(6)?.as_blob()?),
        })
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        begin..self.bytes.len()
    }

    /// The type of an entry's event.
    pub(super) fn event_type(&self, at: usize) -> &str {
        match &self.entries[at] {
            Entry::Row(row) => std::str::from_utf8(&self.bytes[row.event_type.clone()]).unwrap_or_default(),
            Entry::Unreadable { .. } => "",
        }
    }

    /// The aggregate of an entry.
    pub(super) fn aggregate(&self, at: usize) -> &[u8] {
        match &self.entries[at] {
            Entry::Row(row) => &self.bytes[row.aggregate.clone()],
            Entry::Unreadable { .. } => &[],
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MOST_ROWS || self.bytes.len() >= MOST_BYTES
    }

    /// Judges each row. `keep` asks for the events themselves.
    pub(super) fn judge(&self, keep: bool) -> Vec<Option<Verdict>> {
        self.entries.iter().map(|entry| self.judge_one(entry, keep)).collect()
    }

    fn judge_one(&self, entry: &Entry, keep: bool) -> Option<Verdict> {
        let Entry::Row(LogRow { cid: Ok(cid), event_id, occurred_at, aggregate, event_type, block, .. }) = entry else {
            return None;
        };
        let beside = Beside {
            event_id: event_id.as_ref(),
            occurred_at: *occurred_at,
            aggregate: &self.bytes[aggregate.clone()],
            event_type: &self.bytes[event_type.clone()],
        };
        Some(judge(cid, &self.bytes[block.clone()], keep, |envelope, event, problems| {
            beside.compare(envelope, event, problems)
        }))
    }
}

/// What the row says beside the block.
struct Beside<'a> {
    event_id: Option<&'a [u8; 16]>,
    occurred_at: i64,
    aggregate: &'a [u8],
    event_type: &'a [u8],
}

impl Beside<'_> {
    fn compare(&self, envelope: &Envelope<'_>, event: Option<&KeyEvent>, problems: &mut Vec<(Layer, String)>) {
        let mut wrong = |what: String| problems.push((Layer::Log, what));
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if event.is_some_and(|event| Some(event.id.as_uuid().as_bytes()) != self.event_id) {
            wrong("the log gives it another event id than the event itself".into());
        }
        if self.event_type != envelope.event_type.as_bytes() {
            let (there, here) = (text(self.event_type), envelope.event_type);
            wrong(format!("the log gives it the type {there}, and the event is a {here}"));
        }
        if event.is_some_and(|event| event.occurred_at.unix_micros() != self.occurred_at) {
            wrong("the log gives it another time than the event itself".into());
        }
        // A schema that is not known may be of a type that is.
        let of_type = || EventData::KNOWN.iter().find(|(_, name, _)| *name == envelope.event_type);
        match event.and_then(KeyEvent::aggregate).or_else(|| of_type().map(|(aggregate, ..)| *aggregate)) {
            Some(aggregate) if aggregate.as_str().as_bytes() != self.aggregate => {
                let there = text(self.aggregate);
                wrong(format!("the log gives it the aggregate {there}, and the event's is {aggregate}"));
            }
            None if text(self.aggregate).parse::<crate::text::SubjectPrefix>().is_err() => {
                wrong(format!("the aggregate {} makes no subject", text(self.aggregate)));
            }
            _ => {}
        }
    }
}

/// Reads the log from a position on.
pub(super) struct RowReader<'a> {
    connection: &'a Connection,
    /// The last position that was read or given up.
    last: u64,
    end: u64,
    unreadable: u64,
    state: State,
}

/// Whether the end of the rows was told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    AtEnd,
    Closed,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(connection: &'a Connection, after: u64, end: u64) -> Self {
        Self { connection, last: after, end, unreadable: 0, state: State::Reading }
    }

    /// Tells once that all rows were read.
    pub(super) fn ends(&mut self) -> bool {
        let ends = self.state == State::AtEnd;
        if ends {
            self.state = State::Closed;
        }
        ends
    }

    /// The next rows; nothing after the last that there is. Positions that are not there are left out.
    pub(super) fn next(&mut self) -> Option<Batch> {
        if self.last >= self.end {
            if self.state == State::Reading {
                self.state = State::AtEnd;
            }
            return None;
        }
        let mut batch = Batch::default();
        if self.page(&mut batch).is_err() {
            batch = Batch::default();
            self.one_by_one(&mut batch);
        }
        match batch.entries.last() {
            Some(Entry::Row(LogRow { position, .. }) | Entry::Unreadable { position, .. }) => {
                // It always goes on, whatever a damaged tree of pages answers.
                self.last = (*position).max(self.last + 1);
                Some(batch)
            }
            None => {
                self.last = self.end;
                self.next()
            }
        }
    }

    fn page(&self, batch: &mut Batch) -> rusqlite::Result<()> {
        let sql = format!("{COLUMNS} WHERE position > ?1 ORDER BY position LIMIT {MOST_ROWS}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([self.last])?;
        while let Some(row) = rows.next()? {
            batch.push(row)?;
            if batch.is_full() {
                break;
            }
        }
        Ok(())
    }

    /// Each position by itself, where a page of them can't be read.
    fn one_by_one(&mut self, batch: &mut Batch) {
        let mut position = self.last;
        while position < self.end && !batch.is_full() {
            position += 1;
            match self.one(position, batch) {
                Ok(true) => self.unreadable = 0,
                Ok(false) => self.unreadable += 1,
                Err(error) => {
                    self.unreadable += 1;
                    batch.entries.push(Entry::Unreadable { position, why: format!("can't be read: {error}") });
                }
            }
            if self.unreadable > MOST_UNREADABLE {
                let why = format!("nothing from here to {} can be read", self.end);
                batch.entries.push(Entry::Unreadable { position, why });
                self.last = self.end;
                return;
            }
        }
        self.last = position - 1;
    }

    fn one(&self, position: u64, batch: &mut Batch) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached(&format!("{COLUMNS} WHERE position = ?1"))?;
        let mut rows = statement.query([position])?;
        match rows.next()? {
            Some(row) => batch.push(row).map(|()| true),
            None => Ok(false),
        }
    }
}

/// Where an event stands, by the index of content identifiers.
pub(super) fn position_of(connection: &Connection, cid: &Cid) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT position FROM log WHERE substr(cid, 5, 8) = substr(?1, 5, 8) AND cid = ?1")?
        .query_row([cid.to_bytes()], |row| row.get(0))
        .optional()
}
