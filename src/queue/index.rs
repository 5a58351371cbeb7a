//! What is known of a queue file without reading it: bounded by what waits divided by a constant, not by what waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read};

use cid::Cid;

use super::line::{Base, Header, MAX_LINE, Note, Record};
use super::medium::Medium;
use crate::delivery::outbox::{Cursor, Parked, StreamKey};
use crate::ids::EventId;
use crate::ipld_support::{cid_of_digest, digest_of};

/// Of every so many events the place in the file is kept; the others are found by reading on from there.
const STRIDE: u64 = 64;

/// Of so many events the id is kept, the last ones, to notice one that is offered again.
pub(super) const REMEMBERED: usize = 65_536;

/// The state of a queue file, folded over its lines.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) base: Base,
    /// The position and content identifier of the last event; those of `base` if there is none.
    pub(super) end: u64,
    pub(super) end_cid: Option<Cid>,
    /// The length of the file up to the end of the last whole record.
    pub(super) len: u64,
    /// The places of events `base + 1`, `base + 1 + STRIDE`, …
    places: Vec<u64>,
    /// The places of parked events that are forgotten otherwise.
    pub(super) kept: BTreeMap<u64, u64>,
    pub(super) cursors: BTreeMap<StreamKey, Cursor>,
    pub(super) latest: Option<StreamKey>,
    pub(super) parked: BTreeMap<u64, Parked>,
    pub(super) retries: BTreeSet<u64>,
    /// With their positions and the digests of their content identifiers.
    remembered: HashMap<EventId, (u64, [u8; 32])>,
    order: VecDeque<EventId>,
}

/// What opening a queue file found.
pub(super) struct Scan {
    pub(super) header: Header,
    pub(super) index: Index,
    /// How many bytes behind the last whole record an interrupted write left.
    pub(super) torn: u64,
}

/// Why a queue file could not be taken in.
#[derive(Debug)]
pub(super) enum ScanError {
    Io(io::Error),
    /// What is wrong, and in which line.
    Damaged {
        line: u64,
        problem: String,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a whole queue file.
///
/// What an append that was cut short leaves at the end is not counted into [`Index::len`]: a line without its line feed,
/// a line with zero bytes where the disk never got the data, and all lines of the append that such a line is part of. Any
/// other line that does not read is damage.
pub(super) fn scan(medium: &dyn Medium) -> Result<Scan, ScanError> {
    let len = medium.len()?;
    let mut lines = Lines::new(medium, 0);
    let first = lines.next()?.unwrap_or_default();
    let header = Header::read(first.bytes).map_err(|problem| ScanError::Damaged { line: 1, problem })?;
    let mut index = Index::new(header.base, lines.offset);
    // The place where the append that is being read began, and how many of its lines are still to come.
    let mut open = Open::default();
    let mut number = 1;
    while let Some(line) = lines.next()? {
        number += 1;
        let damaged = |problem: &str| ScanError::Damaged { line: number, problem: problem.to_owned() };
        match Record::read(line.bytes) {
            Some(record) => {
                if !open.take(&record, line.offset) {
                    return Err(damaged("the line before it belongs to an append whose other lines are missing"));
                }
                index.apply(&record, line.offset).map_err(|problem| damaged(&problem))?;
                index.len = lines.offset;
            }
            None if line.torn() => {
                if !rest_is_torn(&mut lines, &open)? {
                    return Err(damaged("it was not written completely, and there are good lines behind it"));
                }
                break;
            }
            None => return Err(damaged("it does not match its checksum, or is no line of a queue")),
        }
    }
    if open.missing > 0 {
        // Lines of an append that never finished were taken in: read again, up to where it began.
        index = Index::new(header.base, first_len(medium)?);
        let mut lines = Lines::new(medium, index.len);
        while lines.offset < open.start {
            let Some(line) = lines.next()? else { break };
            if let Some(record) = Record::read(line.bytes) {
                index.apply(&record, line.offset).map_err(|problem| ScanError::Damaged { line: number, problem })?;
            }
            index.len = lines.offset;
        }
    }
    let torn = len - index.len;
    Ok(Scan { header, index, torn })
}

fn first_len(medium: &dyn Medium) -> io::Result<u64> {
    let mut lines = Lines::new(medium, 0);
    lines.next()?;
    Ok(lines.offset)
}

/// Whether everything that follows a torn line can be of the same append: no whole line begins another one.
fn rest_is_torn(lines: &mut Lines<'_>, open: &Open) -> io::Result<bool> {
    let mut first = open.first;
    while let Some(line) = lines.next()? {
        match Record::read(line.bytes) {
            Some(Record::Event(event)) if event.part.0 > 1 => {
                let began = event.position.wrapping_sub(u64::from(event.part.0) - 1);
                if *first.get_or_insert(began) != began {
                    return Ok(false);
                }
            }
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(true)
}

/// An append of several lines while it is read.
#[derive(Debug, Default)]
struct Open {
    start: u64,
    missing: u32,
    /// The position of its first event, while lines are missing.
    first: Option<u64>,
}

impl Open {
    /// Takes the next record; false if it can't stand there.
    fn take(&mut self, record: &Record<'_>, offset: u64) -> bool {
        let Record::Event(event) = record else { return self.missing == 0 };
        let (part, of) = event.part;
        if part == 1 {
            if self.missing > 0 {
                return false;
            }
            self.start = offset;
            self.first = Some(event.position);
        } else if self.missing != of - part + 1 {
            return false;
        }
        self.missing = of - part;
        if self.missing == 0 {
            self.first = None;
        }
        true
    }
}

impl Index {
    fn new(base: Base, len: u64) -> Self {
        Self {
            base,
            end: base.position,
            end_cid: base.cid,
            len,
            places: Vec::new(),
            kept: BTreeMap::new(),
            cursors: BTreeMap::new(),
            latest: None,
            parked: BTreeMap::new(),
            retries: BTreeSet::new(),
            remembered: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Takes in a record that stands at a place of the file.
    pub(super) fn apply(&mut self, record: &Record<'_>, place: u64) -> Result<(), String> {
        match record {
            Record::Event(event) => self.event(event.position, event.id, event.cid, place),
            Record::Note(note) => {
                self.note(note);
                Ok(())
            }
        }
    }

    pub(super) fn event(&mut self, position: u64, id: EventId, cid: Cid, place: u64) -> Result<(), String> {
        if position <= self.base.position && self.end == self.base.position {
            self.kept.insert(position, place);
        } else if position == self.end + 1 {
            if (position - self.base.position - 1).is_multiple_of(STRIDE) {
                self.places.push(place);
            }
            self.end = position;
            self.end_cid = Some(cid);
        } else {
            return Err(format!("event {position} stands where {} should", self.end + 1));
        }
        self.remember(id, position, cid);
        Ok(())
    }

    pub(super) fn note(&mut self, note: &Note) {
        match note {
            Note::Cursor { account, stream, created, position, head_sequence } => {
                let key = StreamKey { account: account.clone(), stream: stream.clone(), created: created.clone() };
                let cursor = Cursor { position: *position, head_sequence: *head_sequence };
                self.cursors.insert(key.clone(), cursor);
                self.latest = Some(key);
            }
            Note::Park { position, reason, since, cid } => {
                let parked = Parked { position: *position, cid: *cid, reason: reason.clone(), since: *since };
                self.parked.insert(*position, parked);
            }
            Note::Unpark { position } => {
                self.parked.remove(position);
                self.retries.remove(position);
            }
            Note::Retry { position, wanted: true } => drop(self.retries.insert(*position)),
            Note::Retry { position, wanted: false } => drop(self.retries.remove(position)),
            Note::Seen { position, id, cid } => self.remember(*id, *position, *cid),
        }
    }

    fn remember(&mut self, id: EventId, position: u64, cid: Cid) {
        if self.remembered.insert(id, (position, digest_of(&cid))).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.remembered.remove(&oldest);
        }
    }

    /// The position and content identifier under which an event is remembered.
    pub(super) fn seen(&self, id: &EventId) -> Option<(u64, Cid)> {
        self.remembered.get(id).map(|(position, digest)| (*position, cid_of_digest(digest)))
    }

    /// The events up to a position that are remembered, oldest first.
    pub(super) fn seen_until(&self, upto: u64) -> impl Iterator<Item = (EventId, u64, Cid)> + '_ {
        let known = self.order.iter().filter_map(|id| self.seen(id).map(|(position, cid)| (*id, position, cid)));
        known.filter(move |(_, position, _)| *position <= upto)
    }

    /// A place at or before an event, from which reading on finds it; `None` if it is not in the file.
    pub(super) fn place(&self, position: u64) -> Option<u64> {
        if position <= self.base.position {
            return self.kept.get(&position).copied();
        }
        let nth = (position - self.base.position - 1) / STRIDE;
        if position > self.end { None } else { self.places.get(usize::try_from(nth).ok()?).copied() }
    }
}

/// The lines of a medium from an offset on.
pub(super) struct Lines<'a> {
    reader: BufReader<MediumReader<'a>>,
    buffer: Vec<u8>,
    /// Where the next line begins.
    pub(super) offset: u64,
}

/// One line, with its line feed if it has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line<'a> {
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

impl Line<'_> {
    /// Whether it looks like a write that did not finish, rather than like one that was changed afterwards.
    fn torn(&self) -> bool {
        match self.bytes.split_last() {
            Some((b'\n', body)) => body.windows(2).any(|pair| pair == [0, 0]),
            // A line that was whole but for its last byte was not cut, but changed.
            Some((_, body)) => Record::read(&[body, b"\n"].concat()).is_none(),
            None => false,
        }
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(medium: &'a dyn Medium, offset: u64) -> Self {
        let reader = BufReader::with_capacity(1 << 18, MediumReader { medium, offset });
        Self { reader, buffer: Vec::new(), offset }
    }

    /// The next line; one that is too long comes in pieces, none of which can be right.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let read = self.reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut self.buffer)?;
        let offset = self.offset;
        self.offset += read as u64;
        Ok((read > 0).then_some(Line { offset, bytes: &self.buffer }))
    }
}

struct MediumReader<'a> {
    medium: &'a dyn Medium,
    offset: u64,
}

impl Read for MediumReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.medium.read_at(self.offset, buffer)?;
        self.offset += read as u64;
        Ok(read)
    }
}
