//! The file queue: an outbox in one JSON-lines file, for programs that publish events without keeping a ledger.
//!
//! **The file.** The first line names the format, the source that was minted for this queue, and the last position that
//! was published and forgotten. Each further line is an event in DAG-JSON with its position and content identifier, or
//! what happened to one: how far a stream is, parked, to be tried again. Each ends with a checksum. Lines are only ever
//! appended and fsynced, so an append costs the same however long the file is; once everything is published, and when
//! most of a large file is, the file is written anew without what is done. `docs/design.md` has it byte by byte.
//!
//! **Who may write.** One process: the lock is on a file of its own beside the queue (`.lock`), which is never renamed or
//! removed. The folder must be on a file system that keeps its promises; network and FAT file systems are refused.
//!
//! **After a crash** the queue holds every append that was acknowledged, and of any other either all or nothing: what an
//! interrupted write left at the end is cut off when the queue is opened. Any other line that does not read is damage,
//! and stops the opening with the line's number. After a failed fsync nothing is known of the disk: the handle takes
//! nothing more, and the queue has to be opened again.
//!
//! **Memory** does not grow with the backlog, but for 8 bytes in 64 events; the ids of the last 65,536 events are kept to
//! notice one that is offered again.

mod compact;
pub(crate) mod filesystem;
mod index;
mod line;
mod medium;
mod open;
mod platform;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use cid::Cid;

use crate::advice::{Advice, ErrorKind, Explained};
use crate::delivery::outbox::{Cursor, Entry, Outbox, OutboxError, Parked, Source, StreamKey};
use crate::events::KeyEvent;
use crate::ids::EventId;
use crate::ipld_support::{ContentAddressedEvent, append_dag_json, from_dag_json, verify_block};
use crate::time::Timestamp;

use index::{Index, Lines};
use line::{EventLine, Note, Record};
use medium::Medium;
pub use open::OpenError;

/// The most events that one append takes.
pub const MAX_APPEND: usize = 100_000;

/// A queue in a file, locked for as long as this lives.
pub struct FileQueue {
    path: PathBuf,
    source: Source,
    medium: Box<dyn Medium>,
    index: Index,
    /// Where the event behind the one that was read last begins: reading on needs no search.
    next: Cell<Option<(u64, u64)>>,
    closed: Option<String>,
    dropped: u64,
    compaction: compact::Trigger,
    /// Holds the lock; `None` in tests that have no file.
    _lock: Option<open::Lock>,
}

/// What became of an event that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub position: u64,
    /// Whether it is new. An event that is in the queue already, or was until lately, is not appended again.
    pub is_new: bool,
}

/// Why events were not appended. None of them was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The event, its block and its content identifier do not belong together.
    #[error("event {0} does not match its content identifier: it was changed after it was made")]
    Mismatch(EventId),
    /// The subject of an event follows from its type, and this release does not know the type.
    #[error("event {id} is a \"{event_type}\", which this release does not know")]
    UnknownType {
        /// The event's id.
        id: EventId,
        /// Its type.
        event_type: String,
    },
    /// The event has no DAG-JSON text.
    #[error("event {id} can't be written as DAG-JSON: {problem}")]
    Unwritable {
        /// The event's id.
        id: EventId,
        /// Why.
        problem: String,
    },
    /// More than [`MAX_APPEND`] events at once.
    #[error("{0} events are more than one append takes ({MAX_APPEND})")]
    TooMany(usize),
    /// The queue itself failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl Explained for AppendError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Mismatch(_) => vec![Advice::Do("make the event again")],
            Self::UnknownType { .. } => vec![Advice::Do("publish it with the release that made it")],
            Self::Unwritable { .. } => Vec::new(),
            Self::TooMany(_) => vec![Advice::Do("append them in several")],
            Self::Outbox(error) => error.advice(),
        }
    }
}

/// What to do where the file is not what was written.
const RESTORE: Advice = Advice::Do("restore the file from a copy, or move it away to begin a new queue");

/// Whether a line was taken, and whether another one is wanted.
enum Took {
    More,
    Last,
    Not,
}

impl FileQueue {
    /// Appends events, all of them or none, and returns once they are on the disk.
    ///
    /// An event that was appended before is not appended again; the answer says so. This holds for every event among the
    /// last 65,536 of the file, and for the last 1,000 that were published and forgotten. An event whose id is there with
    /// another content identifier is a [`OutboxError::Conflict`].
    pub fn append(&mut self, events: &[ContentAddressedEvent<KeyEvent>]) -> Result<Vec<Appended>, AppendError> {
        if events.len() > MAX_APPEND {
            return Err(AppendError::TooMany(events.len()));
        }
        self.writable()?;
        let (answers, fresh) = self.sort_out(events)?;
        if fresh.is_empty() {
            return Ok(answers);
        }
        let mut bytes = Vec::new();
        let mut json = Vec::new();
        let mut lines = Vec::with_capacity(fresh.len());
        let of = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        for (part, (position, event)) in (1..).zip(&fresh) {
            json.clear();
            let line = written(*position, (part, of), event, &mut json)?;
            lines.push((line.position, line.id, line.cid, bytes.len() as u64));
            line.write(&mut bytes);
        }
        let place = self.index.len;
        self.write(&bytes, "append events to")?;
        for (position, id, cid, offset) in lines {
            self.index.event(position, id, cid, place + offset).map_err(|problem| self.damaged(&problem))?;
        }
        Ok(answers)
    }

    /// How many events wait: those behind the furthest stream that was published to last, and those that are to be tried
    /// again. Parked ones do not wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let done = self.index.latest.as_ref().and_then(|stream| self.index.cursors.get(stream));
        let done = done.map_or(0, |cursor| cursor.position).max(self.index.base.position);
        let parked = self.index.parked.range(done + 1..).count() as u64;
        self.index.end.saturating_sub(done + parked) + self.index.retries.len() as u64
    }

    /// Where the queue is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes of an interrupted write were cut off when the queue was opened.
    #[must_use]
    pub const fn dropped_bytes(&self) -> u64 {
        self.dropped
    }

    /// Which of the events are there already, and the positions that the others get.
    #[expect(clippy::type_complexity)]
    fn sort_out<'e>(
        &self,
        events: &'e [ContentAddressedEvent<KeyEvent>],
    ) -> Result<(Vec<Appended>, Vec<(u64, &'e ContentAddressedEvent<KeyEvent>)>), OutboxError> {
        let mut fresh = Vec::with_capacity(events.len());
        let mut answers = Vec::with_capacity(events.len());
        let mut here = std::collections::HashMap::new();
        for event in events {
            let there = self.index.seen(&event.event.id).or_else(|| here.get(&event.event.id).copied());
            match there {
                Some((position, cid)) if cid == event.cid => answers.push(Appended { position, is_new: false }),
                Some((_, cid)) => {
                    let id = event.event.id.to_string();
                    return Err(OutboxError::Conflict { id, there: Box::new(cid), here: Box::new(event.cid) });
                }
                None => {
                    let position = self.index.end + 1 + fresh.len() as u64;
                    here.insert(event.event.id, (position, event.cid));
                    answers.push(Appended { position, is_new: true });
                    fresh.push((position, event));
                }
            }
        }
        Ok((answers, fresh))
    }

    fn writable(&self) -> Result<(), OutboxError> {
        match &self.closed {
            None => Ok(()),
            Some(reason) => Err(self.storage("write to", io::Error::other(reason.clone()))),
        }
    }

    /// Appends bytes and returns once they are on the disk; on an error they are not in the file, or nothing more is
    /// accepted.
    fn write(&mut self, bytes: &[u8], action: &'static str) -> Result<(), OutboxError> {
        self.writable()?;
        if let Err(error) = self.medium.append(bytes) {
            // Nothing was acknowledged: what was written of it goes again, and if it can't, the handle is useless.
            if let Err(second) = self.medium.truncate(self.index.len) {
                self.close(&format!("a write failed ({error}) and could not be undone ({second})"));
            }
            return Err(self.storage(action, error));
        }
        if let Err(error) = self.medium.sync() {
            self.close(&format!("an fsync failed ({error})"));
            return Err(self.storage(action, error));
        }
        self.index.len += bytes.len() as u64;
        Ok(())
    }

    fn close(&mut self, why: &str) {
        tracing::error!(queue = %self.path.display(), "{why}: the queue takes nothing more until it is opened again");
        self.closed =
            Some(format!("{why} earlier, so nothing more is accepted; mend the disk and open the queue again"));
    }

    fn note(&mut self, note: &Note, action: &'static str) -> Result<(), OutboxError> {
        let mut bytes = Vec::new();
        note.write(&mut bytes);
        self.write(&bytes, action)?;
        self.index.note(note);
        Ok(())
    }

    fn storage(&self, action: &str, error: io::Error) -> OutboxError {
        OutboxError::Storage { action: format!("{action} {}", self.path.display()), source: Box::new(error) }
    }

    fn damaged(&self, problem: &str) -> OutboxError {
        OutboxError::Damaged { what: self.path.display().to_string(), problem: problem.to_owned(), next: vec![RESTORE] }
    }

    /// Calls `take` with each event line from a position on, in order, for as long as it wants more.
    fn lines_from(
        &self,
        position: u64,
        mut take: impl FnMut(&EventLine<'_>) -> Result<Took, OutboxError>,
    ) -> Result<(), OutboxError> {
        let Some(place) = self.place(position) else { return Ok(()) };
        let mut lines = Lines::new(&*self.medium, place);
        let mut expected = position;
        while lines.offset < self.index.len {
            let Some(line) = lines.next().map_err(|error| self.storage("read", error))? else { break };
            let offset = line.offset;
            match Record::read(line.bytes) {
                Some(Record::Event(event)) if event.position == expected => match take(&event)? {
                    Took::More => expected += 1,
                    Took::Last => {
                        expected += 1;
                        break;
                    }
                    Took::Not => {
                        self.next.set(Some((expected, offset)));
                        return Ok(());
                    }
                },
                // Notes, events before the one that is looked for, and kept ones that another kept one follows.
                Some(Record::Note(_)) => {}
                Some(Record::Event(event)) if event.position < expected => {}
                Some(Record::Event(_)) if expected <= self.index.base.position => break,
                _ => return Err(self.damaged(&format!("at byte {offset} there is no good line with event {expected}"))),
            }
        }
        self.next.set(Some((expected, lines.offset)));
        Ok(())
    }

    fn place(&self, position: u64) -> Option<u64> {
        match self.next.get() {
            Some((next, place)) if next == position && position > self.index.base.position => Some(place),
            _ => self.index.place(position),
        }
    }

    fn entry(&self, line: &EventLine<'_>) -> Result<Entry, OutboxError> {
        let block = from_dag_json(line.event)
            .map_err(|error| self.damaged(&format!("event {} is no DAG-JSON ({error})", line.position)))?;
        if !verify_block(&block, &line.cid) {
            return Err(self.damaged(&format!("event {} is not what {} names", line.position, line.cid)));
        }
        Ok(Entry {
            position: line.position,
            cid: line.cid,
            aggregate: line.aggregate.to_owned(),
            event_type: line.event_type.to_owned(),
            block,
        })
    }
}

/// Puts an event into the form of its line, and makes sure that it reads back as what it is.
fn written<'a>(
    position: u64,
    part: (u32, u32),
    addressed: &'a ContentAddressedEvent<KeyEvent>,
    json: &'a mut Vec<u8>,
) -> Result<EventLine<'a>, AppendError> {
    let (event, block) = (&addressed.event, addressed.block());
    let id = event.id;
    if !addressed.verify().unwrap_or(false) {
        return Err(AppendError::Mismatch(id));
    }
    let event_type = event.event_type();
    let aggregate = event
        .aggregate()
        .ok_or_else(|| AppendError::UnknownType { id, event_type: crate::text::visible(event_type).into_owned() })?;
    append_dag_json(block, json).map_err(|error| AppendError::Unwritable { id, problem: error.to_string() })?;
    if from_dag_json(json).ok().as_deref() != Some(block) {
        return Err(AppendError::Unwritable { id, problem: "its text does not read back as the same event".into() });
    }
    Ok(EventLine { position, id, cid: addressed.cid, aggregate: aggregate.as_str(), event_type, part, event: json })
}

impl Outbox for FileQueue {
    fn source(&self) -> &Source {
        &self.source
    }

    fn end(&self) -> Result<u64, OutboxError> {
        Ok(self.index.end)
    }

    fn first(&self) -> Result<u64, OutboxError> {
        Ok(self.index.base.position + 1)
    }

    fn read(&self, after: u64, max_events: usize, max_bytes: usize) -> Result<Vec<Entry>, OutboxError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let Some(position) = after.checked_add(1) else { return Ok(entries) };
        if max_events == 0 {
            return Ok(entries);
        }
        self.lines_from(position, |line| {
            let entry = self.entry(line)?;
            bytes += entry.block.len();
            if !entries.is_empty() && bytes > max_bytes {
                return Ok(Took::Not);
            }
            entries.push(entry);
            Ok(if entries.len() < max_events { Took::More } else { Took::Last })
        })?;
        Ok(entries)
    }

    fn cid_at(&self, position: u64) -> Result<Option<Cid>, OutboxError> {
        if position == self.index.base.position {
            return Ok(self.index.base.cid);
        }
        if position == self.index.end {
            return Ok(self.index.end_cid);
        }
        if let Some(parked) = self.index.parked.get(&position) {
            return Ok(Some(parked.cid));
        }
        let mut found = None;
        let next = self.next.get();
        self.lines_from(position, |line| {
            found = Some(line.cid);
            Ok(Took::Last)
        })?;
        self.next.set(next);
        Ok(found)
    }

    fn cursor(&self, stream: &StreamKey) -> Result<Option<Cursor>, OutboxError> {
        Ok(self.index.cursors.get(stream).copied())
    }

    fn set_cursor(&mut self, stream: &StreamKey, cursor: Cursor) -> Result<(), OutboxError> {
        self.note(&Note::cursor(stream, cursor), "note a stream's progress in")?;
        self.compact_if_due(cursor.position);
        Ok(())
    }

    fn parked(&self) -> Result<Vec<Parked>, OutboxError> {
        Ok(self.index.parked.values().cloned().collect())
    }

    fn park(&mut self, position: u64, reason: &str) -> Result<(), OutboxError> {
        let cid = self.cid_at(position)?;
        let cid = cid.ok_or_else(|| {
            let missing = io::Error::new(io::ErrorKind::NotFound, format!("there is no event {position}"));
            self.storage("park an event in", missing)
        })?;
        // Reasons come from servers.
        let reason = reason.chars().take(1_000).collect();
        self.note(&Note::Park { position, cid, reason, since: Timestamp::now() }, "park an event in")
    }

    fn unpark(&mut self, position: u64) -> Result<(), OutboxError> {
        if !self.index.parked.contains_key(&position) {
            return Ok(());
        }
        self.note(&Note::Unpark { position }, "take back a parked event in")
    }

    fn retries(&self) -> Result<Vec<u64>, OutboxError> {
        Ok(self.index.retries.iter().copied().collect())
    }

    fn set_retry(&mut self, position: u64, retry: bool) -> Result<(), OutboxError> {
        let parked = self.index.parked.contains_key(&position);
        if retry == self.index.retries.contains(&position) || (retry && !parked) {
            return Ok(());
        }
        self.note(&Note::Retry { position, wanted: retry }, "ask for another try in")
    }

    fn checkpoint(&self, _: u64) -> Result<Option<String>, OutboxError> {
        Ok(None)
    }

    fn newest_checkpoint(&self, _: u64, _: u64) -> Result<Option<u64>, OutboxError> {
        Ok(None)
    }
}

impl std::fmt::Debug for FileQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, end) = (&self.path, self.index.end);
        f.debug_struct("FileQueue").field("path", path).field("end", &end).finish_non_exhaustive()
    }
}
