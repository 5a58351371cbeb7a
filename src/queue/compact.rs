//! Writing the file anew without what is published.

use std::io::{self, Write};

use super::FileQueue;
use super::index::{self, Index, Lines};
use super::line::{Base, EventLine, Header, Note, Record, VERSION};
use super::medium::{Medium, ReplaceError};
use crate::delivery::outbox::Outbox as _;

/// A file of which everything is published is written anew from this length on.
const DRAINED: u64 = 256 * 1024;

/// A file of which something still waits is written anew once it has grown by this much since the last time and most of
/// its events are published: so the cost of rewriting stays a fraction of that of writing.
const GROWN: u64 = 64 * 1024 * 1024;

/// Of so many events that are published and forgotten the ids are kept.
const SEEN: usize = 1_000;

/// When the next compaction is due.
#[derive(Debug, Default)]
pub(super) struct Trigger {
    /// What was left the last time, or what the file held when writing it anew failed.
    floor: u64,
}

impl FileQueue {
    /// Forgets what is published up to a position, when that is worth it. A failure leaves the file as it is, which is
    /// only larger than needed, unless it is unsure which of two is there.
    pub(super) fn compact_if_due(&mut self, published: u64) {
        let (len, end, base) = (self.index.len, self.index.end, self.index.base.position);
        let growth = len.saturating_sub(self.compaction.floor);
        let due = if published >= end {
            growth >= DRAINED
        } else {
            growth >= GROWN && published.saturating_sub(base) >= 3 * (end - published)
        };
        if !due || self.closed.is_some() {
            return;
        }
        self.compact(published.min(end));
        self.compaction.floor = self.index.len;
    }

    /// Forgets all events up to a position, but for the parked ones.
    pub(super) fn compact(&mut self, upto: u64) {
        let Ok(cid) = self.cid_at(upto) else { return };
        let header = Header { version: VERSION, source: self.source.clone(), base: Base { position: upto, cid } };
        let index = &self.index;
        let replaced = self.medium.replace(&mut |old, out| write(old, index, &header, out));
        self.next.set(None);
        match replaced {
            Ok(()) => {}
            Err(ReplaceError::Unchanged(error)) => {
                tracing::warn!(queue = %self.path.display(), %error, "the queue could not be written anew, and stays as it is");
                return;
            }
            Err(ReplaceError::Unsure(error)) => {
                return self.close(&format!("the fsync of the folder failed ({error})"));
            }
        }
        match index::scan(&*self.medium) {
            Ok(scan) if scan.torn == 0 => self.index = scan.index,
            _ => self.close("what was written anew does not read"),
        }
    }
}

/// Writes what is left: what is known beside events, parked events that were published past, and what still waits.
fn write(old: &dyn Medium, index: &Index, header: &Header, out: &mut dyn Write) -> io::Result<()> {
    let upto = header.base.position;
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    let seen: Vec<_> = index.seen_until(upto).collect();
    for (id, position, cid) in seen.iter().skip(seen.len().saturating_sub(SEEN)) {
        Note::Seen { position: *position, id: *id, cid: *cid }.write(&mut bytes);
    }
    let latest = index.latest.as_ref();
    let others = index.cursors.keys().filter(|key| Some(*key) != latest);
    for key in others.chain(latest) {
        Note::cursor(key, index.cursors.get(key).copied().unwrap_or_default()).write(&mut bytes);
    }
    out.write_all(&bytes)?;
    for &position in index.parked.keys().filter(|&&position| position <= upto) {
        let place = index.place(position).ok_or_else(|| missing(position))?;
        copy(old, place, index.len, position, position, out)?;
    }
    bytes.clear();
    for parked in index.parked.values() {
        let (position, cid, reason, since) = (parked.position, parked.cid, parked.reason.clone(), parked.since);
        Note::Park { position, cid, reason, since }.write(&mut bytes);
    }
    for &position in &index.retries {
        Note::Retry { position, wanted: true }.write(&mut bytes);
    }
    out.write_all(&bytes)?;
    match index.place(upto + 1) {
        Some(place) => copy(old, place, index.len, upto + 1, index.end, out),
        None if upto == index.end => Ok(()),
        None => Err(missing(upto + 1)),
    }
}

/// Copies the events of some positions, each as an append of its own.
fn copy(old: &dyn Medium, place: u64, len: u64, first: u64, last: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = Lines::new(old, place);
    let mut next = first;
    let mut bytes = Vec::new();
    while next <= last && lines.offset < len {
        let Some(line) = lines.next()? else { break };
        match Record::read(line.bytes) {
            Some(Record::Event(event)) if event.position == next => {
                bytes.clear();
                EventLine { part: (1, 1), ..event }.write(&mut bytes);
                out.write_all(&bytes)?;
                next += 1;
            }
            Some(_) => {}
            None => return Err(missing(next)),
        }
    }
    if next > last { Ok(()) } else { Err(missing(next)) }
}

fn missing(position: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("event {position} is not where it was written"))
}
