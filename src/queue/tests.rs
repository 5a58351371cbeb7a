//! The queue on a medium that tears, fills up and fails.

#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::line::Header;
use super::medium::{Medium, ReplaceError, Rewrite};
use super::*;
use crate::delivery::outbox::OutboxError;
use crate::events::{EventData, LocationClosed};

/// A file in memory, and what shall go wrong with it.
#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// So many more bytes fit.
    room: Option<usize>,
    sync_fails: bool,
    truncate_fails: bool,
    replace_fails: Option<fn(io::Error) -> ReplaceError>,
    syncs: usize,
}

#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn new() -> Self {
        Self::holding(open::new_file())
    }

    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { bytes, ..State::default() })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        self.with(|state| state.bytes.clone())
    }

    fn open(&self) -> Result<FileQueue, OpenError> {
        FileQueue::take("queue.jsonl".into(), Box::new(self.clone()), None)
    }
}

fn io_error() -> io::Error {
    io::Error::other("provoked")
}

impl Medium for Fake {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|state| {
            let rest = state.bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let fits = state.room.unwrap_or(usize::MAX).min(bytes.len());
            state.bytes.extend_from_slice(&bytes[..fits]);
            state.room = state.room.map(|room| room - fits);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.with(|state| {
            if state.truncate_fails {
                return Err(io_error());
            }
            state.bytes.truncate(len as usize);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| {
            state.syncs += 1;
            if state.sync_fails { Err(io_error()) } else { Ok(()) }
        })
    }

    fn replace(&mut self, write: &mut Rewrite<'_>) -> Result<(), ReplaceError> {
        let old = Self::holding(self.bytes());
        let mut new = Vec::new();
        write(&old, &mut new as &mut dyn Write).map_err(ReplaceError::Unchanged)?;
        self.with(|state| match state.replace_fails {
            Some(kind) => Err(kind(io_error())),
            None => {
                state.bytes = new;
                Ok(())
            }
        })
    }
}

type Addressed = ContentAddressedEvent<KeyEvent>;

fn event_with(n: u64, reason: &str) -> Addressed {
    let id = |kind: u64| format!("01890a5d-ac96-774b-8{kind:03}-{n:012x}");
    let data = LocationClosed { location_id: id(1).parse().unwrap(), reason: reason.parse().unwrap() };
    ContentAddressedEvent::new(KeyEvent {
        id: id(0).parse().unwrap(),
        data: EventData::from(data),
        occurred_at: "2026-01-31T09:30:00.000000Z".parse().unwrap(),
        actor: "system:test".parse().unwrap(),
        correlation_id: id(2).parse().unwrap(),
        causes: Vec::new(),
    })
    .unwrap()
}

fn event(n: u64) -> Addressed {
    event_with(n, "moved \"away\" to kim@n1 \\ ü\nand on")
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<Addressed> {
    range.map(event).collect()
}

fn all(queue: &FileQueue) -> Vec<Entry> {
    queue.read(queue.first().unwrap() - 1, usize::MAX, usize::MAX).unwrap()
}

fn cids(entries: &[Entry]) -> Vec<Cid> {
    entries.iter().map(|entry| entry.cid).collect()
}

fn stream() -> StreamKey {
    StreamKey { account: "A".into(), stream: "S".into(), created: "then".into() }
}

fn at(position: u64) -> Cursor {
    Cursor { position, head_sequence: position + 7 }
}

/// A queue file of five appends, and the length after each.
fn five_appends() -> (Vec<u8>, Vec<(usize, u64)>) {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    let mut lengths = vec![(fake.bytes().len(), 0)];
    for range in [1..=1, 2..=4, 5..=5, 6..=8] {
        queue.append(&events(range.clone())).unwrap();
        lengths.push((fake.bytes().len(), *range.end()));
        if *range.end() == 4 {
            queue.park(2, "denied").unwrap();
            lengths.push((fake.bytes().len(), 4));
        }
    }
    (fake.bytes(), lengths)
}

#[test]
fn what_goes_in_comes_out() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    let made = events(1..=200);
    let answers = queue.append(&made).unwrap();
    assert!(answers.iter().zip(1..).all(|(answer, n)| *answer == Appended { position: n, is_new: true }));
    for queue in [&queue, &fake.open().unwrap()] {
        let entries = all(queue);
        assert_eq!(cids(&entries), made.iter().map(|event| event.cid).collect::<Vec<_>>());
        for (entry, event) in entries.iter().zip(&made) {
            assert_eq!(entry.block, event.block());
            assert_eq!((entry.aggregate.as_str(), entry.event_type.as_str()), ("location", "LocationClosed"));
            assert_eq!(queue.cid_at(entry.position).unwrap(), Some(event.cid));
        }
        assert_eq!(queue.read(130, 3, usize::MAX).unwrap(), entries[130..133]);
        assert_eq!(queue.read(133, 3, usize::MAX).unwrap(), entries[133..136]);
        assert_eq!(queue.read(0, 9, 1).unwrap(), entries[..1]);
        assert_eq!(queue.read(1, 9, entries[1].block.len() * 2).unwrap(), entries[1..3]);
        assert_eq!(queue.read(3, 1, usize::MAX).unwrap(), entries[3..4]);
        for beyond in [200, 201, u64::MAX] {
            assert!(queue.read(beyond, 9, 9).unwrap().is_empty());
        }
        assert_eq!(queue.cid_at(0).unwrap(), None);
        assert_eq!(queue.cid_at(201).unwrap(), None);
    }
}

#[test]
fn each_append_is_one_write_and_one_fsync() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    let before = fake.with(|state| state.syncs);
    queue.append(&events(1..=50)).unwrap();
    queue.append(&events(51..=51)).unwrap();
    assert_eq!(fake.with(|state| state.syncs) - before, 2);
}

#[test]
fn an_event_that_is_there_is_not_appended_again() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    queue.append(&events(1..=3)).unwrap();
    let len = fake.bytes().len();
    assert_eq!(queue.append(&events(2..=2)).unwrap(), [Appended { position: 2, is_new: false }]);
    assert_eq!(fake.bytes().len(), len, "nothing was written");
    let answers = queue.append(&[event(3), event(4), event(4)]).unwrap();
    assert_eq!(answers.iter().map(|a| (a.position, a.is_new)).collect::<Vec<_>>(), [(3, false), (4, true), (4, false)]);
    let mut queue = fake.open().unwrap();
    assert!(!queue.append(&events(4..=4)).unwrap()[0].is_new);
    let conflict = queue.append(&[event(5), event_with(2, "other")]).unwrap_err();
    assert!(matches!(conflict, AppendError::Outbox(OutboxError::Conflict { .. })), "{conflict}");
    assert_eq!(queue.end().unwrap(), 4, "all or none");
}

#[test]
fn changed_events_and_unknown_types_are_refused() {
    let mut queue = Fake::new().open().unwrap();
    let mut changed = event(1);
    changed.event.id = event(2).event.id;
    assert!(matches!(queue.append(&[changed]).unwrap_err(), AppendError::Mismatch(_)));
    let mut unknown = event(1).event;
    let data = ipld_core::ipld::Ipld::Map([("a".to_owned(), ipld_core::ipld::Ipld::Integer(1))].into());
    unknown.data = EventData::Unknown(crate::events::UnknownEvent { event_type: "Newer".into(), schema: 1, data });
    let unknown = ContentAddressedEvent::new(unknown).unwrap();
    assert!(matches!(queue.append(&[unknown]).unwrap_err(), AppendError::UnknownType { .. }));
    assert_eq!(queue.end().unwrap(), 0);
}

#[test]
fn a_file_that_is_cut_anywhere_holds_every_whole_append() {
    let (bytes, lengths) = five_appends();
    for cut in lengths[0].0..=bytes.len() {
        let (whole, end) = *lengths.iter().rev().find(|(len, _)| *len <= cut).unwrap();
        let fake = Fake::holding(bytes[..cut].to_vec());
        let mut queue = fake.open().unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert_eq!(queue.end().unwrap(), end, "cut at {cut}");
        assert_eq!(queue.dropped_bytes(), (cut - whole) as u64);
        assert_eq!(fake.bytes(), bytes[..whole], "cut off before the first append");
        // It goes on from there.
        queue.append(&events(end + 1..=end + 1)).unwrap();
        assert_eq!(cids(&all(&fake.open().unwrap())), events(1..=end + 1).iter().map(|e| e.cid).collect::<Vec<_>>());
    }
}

#[test]
fn blocks_of_the_last_append_that_never_reached_the_disk() {
    let (bytes, lengths) = five_appends();
    let (start, end) = lengths[lengths.len() - 2];
    let step = 97;
    for from in (start..bytes.len() - 2).step_by(step) {
        for to in (from + 2..bytes.len()).step_by(step) {
            let mut torn = bytes.clone();
            torn[from..to].fill(0);
            let queue = Fake::holding(torn).open().unwrap_or_else(|e| panic!("zeros at {from}..{to}: {e}"));
            assert_eq!(queue.end().unwrap(), end, "zeros at {from}..{to}");
        }
    }
    // The same in an earlier append is no tear: something durable was lost.
    let mut damaged = bytes.clone();
    damaged[lengths[1].0 + 10..lengths[1].0 + 900].fill(0);
    assert!(matches!(Fake::holding(damaged).open().unwrap_err(), OpenError::Damaged { .. }));
}

#[test]
fn a_flipped_bit_is_damage_with_a_line_number() {
    let (bytes, _) = five_appends();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 7);
        let line = 1 + bytes[..at].iter().filter(|&&b| b == b'\n').count() as u64;
        match Fake::holding(flipped).open().unwrap_err() {
            OpenError::Damaged { line: named, problem, .. } => {
                assert_eq!(named, line, "at {at}: {problem}");
                assert!(!problem.contains(';'), "says only what is wrong: {problem}");
            }
            other => panic!("at {at}: {other}"),
        }
    }
}

#[test]
fn a_missing_or_doubled_line_is_damage() {
    let (bytes, _) = five_appends();
    let lines: Vec<_> = bytes.split_inclusive(|&b| b == b'\n').collect();
    for n in 1..lines.len() - 1 {
        let is_note = !lines[n].starts_with(b"{\"position\"");
        let mut missing = lines.clone();
        missing.remove(n);
        let mut doubled = lines.clone();
        doubled.insert(n, lines[n]);
        assert_eq!(Fake::holding(missing.concat()).open().is_ok(), is_note, "line {n} missing");
        assert_eq!(Fake::holding(doubled.concat()).open().is_ok(), is_note, "line {n} twice");
    }
}

#[test]
fn other_files_are_refused_by_name() {
    for (content, expected) in [
        ("not json\n", "is no queue file"),
        ("{\"a\":1}\n", "is no queue file"),
        ("", "is no queue file"),
        ("{\"cim-keys-queue\":2,\"x\":1}\n", "version 2"),
        ("{\"cim-keys-queue\":1,\"source\":\"x\"}\n", "checksum"),
    ] {
        let error = Fake::holding(content.into()).open().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut long = Header::read(&open::new_file()).map(|h| h.source.to_string()).unwrap().into_bytes();
    long.resize(1 << 20, b'x');
    assert!(Fake::holding(long).open().is_err());
}

#[test]
fn a_full_disk_refuses_an_append_and_takes_the_next_one() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    queue.append(&events(1..=2)).unwrap();
    let whole = fake.bytes();
    for room in [0, 1, 100, 500, 900] {
        fake.with(|state| state.room = Some(room));
        let error = queue.append(&events(3..=5)).unwrap_err();
        assert!(matches!(error, AppendError::Outbox(OutboxError::Storage { .. })), "{error}");
        assert_eq!(fake.bytes(), whole, "no trace");
        assert!(queue.set_cursor(&stream(), at(1)).is_err());
        assert_eq!(queue.cursor(&stream()).unwrap(), None);
    }
    fake.with(|state| state.room = Some(10));
    assert!(queue.append(&events(3..=3)).is_err());
    fake.with(|state| state.room = None);
    queue.append(&events(3..=3)).unwrap();
    assert_eq!(all(&fake.open().unwrap()).len(), 3);
}

#[test]
fn a_write_that_cannot_be_undone_closes_the_handle() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    fake.with(|state| (state.room, state.truncate_fails) = (Some(30), true));
    assert!(queue.append(&events(1..=1)).is_err());
    fake.with(|state| (state.room, state.truncate_fails) = (None, false));
    assert!(queue.append(&events(1..=1)).is_err(), "closed");
    let mut again = fake.open().unwrap();
    assert_eq!(again.dropped_bytes(), 30);
    again.append(&events(1..=1)).unwrap();
}

#[test]
fn a_failed_fsync_closes_the_handle() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    queue.append(&events(1..=1)).unwrap();
    fake.with(|state| state.sync_fails = true);
    assert!(queue.append(&events(2..=2)).is_err());
    fake.with(|state| state.sync_fails = false);
    for refused in [
        queue.append(&events(2..=2)).unwrap_err().to_string(),
        queue.set_cursor(&stream(), at(1)).unwrap_err().to_string(),
        queue.park(1, "x").unwrap_err().to_string(),
    ] {
        assert!(refused.contains("queue.jsonl"), "{refused}");
    }
    assert_eq!(all(&queue).len(), 1, "reading goes on, and shows nothing that was not acknowledged");
    // What was not acknowledged is whole or absent.
    assert!(matches!(fake.open().unwrap().end().unwrap(), 1 | 2));
}

#[test]
fn what_is_noted_survives() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    queue.append(&events(1..=6)).unwrap();
    assert_eq!(queue.waiting(), 6);
    queue.set_cursor(&stream(), at(4)).unwrap();
    queue.park(3, "first").unwrap();
    queue.park(3, "denied\u{1b}").unwrap();
    queue.park(2, "too large").unwrap();
    queue.set_retry(3, true).unwrap();
    queue.set_retry(5, true).unwrap();
    assert!(queue.park(9, "no such event").is_err());
    for queue in [&queue, &fake.open().unwrap()] {
        assert_eq!(queue.cursor(&stream()).unwrap(), Some(at(4)));
        let parked = queue.parked().unwrap();
        assert_eq!(parked.iter().map(|p| p.position).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((parked[1].reason.as_str(), parked[1].cid), ("denied\u{1b}", event(3).cid));
        assert_eq!(queue.retries().unwrap(), [3], "only what is parked");
        assert_eq!(queue.waiting(), 3);
    }
    queue.unpark(3).unwrap();
    queue.unpark(5).unwrap();
    assert!(queue.retries().unwrap().is_empty());
    assert_eq!(fake.open().unwrap().parked().unwrap().len(), 1);
}

#[test]
fn a_drained_queue_is_written_anew() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    let source = queue.source().clone();
    queue.append(&events(1..=1_200)).unwrap();
    let other = StreamKey { created: "earlier".into(), ..stream() };
    queue.set_cursor(&other, at(9)).unwrap();
    queue.park(7, "denied").unwrap();
    queue.park(900, "denied").unwrap();
    queue.set_retry(900, true).unwrap();
    let before = fake.bytes().len();
    queue.set_cursor(&stream(), at(1_200)).unwrap();
    assert!(fake.bytes().len() < before / 3, "{} of {before}", fake.bytes().len());
    queue.append(&events(1_201..=1_202)).unwrap();
    for mut queue in [queue, fake.open().unwrap()] {
        assert_eq!((queue.source(), queue.first().unwrap(), queue.end().unwrap()), (&source, 1_201, 1_202));
        assert_eq!(queue.waiting(), 3);
        assert_eq!(cids(&all(&queue)), [event(1_201).cid, event(1_202).cid]);
        assert_eq!(queue.cid_at(1_200).unwrap(), Some(event(1_200).cid));
        assert_eq!(queue.cid_at(1_199).unwrap(), None);
        assert_eq!(queue.cursor(&stream()).unwrap(), Some(at(1_200)));
        assert_eq!(queue.cursor(&other).unwrap(), Some(at(9)));
        assert_eq!(queue.parked().unwrap().len(), 2);
        assert_eq!(queue.retries().unwrap(), [900]);
        assert_eq!(cids(&queue.read(6, 5, usize::MAX).unwrap()), [event(7).cid], "parked, so kept");
        assert_eq!(cids(&queue.read(899, 5, usize::MAX).unwrap()), [event(900).cid]);
        assert!(queue.read(0, 5, usize::MAX).unwrap().is_empty());
        let answers = queue.append(&[event(1_200), event(201), event(7)]).unwrap();
        assert!(answers.iter().all(|answer| !answer.is_new), "{answers:?}");
    }
}

#[test]
fn a_queue_that_is_mostly_published_can_be_written_anew_too() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    for range in [1..=100, 101..=300, 301..=301] {
        queue.append(&events(range)).unwrap();
    }
    queue.park(250, "denied").unwrap();
    queue.compact(177);
    queue.append(&events(302..=303)).unwrap();
    for queue in [queue, fake.open().unwrap()] {
        let expected: Vec<_> = events(178..=303).iter().map(|event| event.cid).collect();
        assert_eq!(cids(&all(&queue)), expected);
        for position in 178..=303 {
            assert_eq!(queue.cid_at(position).unwrap(), Some(event(position).cid));
        }
        assert_eq!(queue.parked().unwrap()[0].position, 250);
    }
}

#[test]
fn a_failed_rewriting_loses_nothing() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    queue.append(&events(1..=600)).unwrap();
    fake.with(|state| state.replace_fails = Some(ReplaceError::Unchanged));
    queue.set_cursor(&stream(), at(600)).unwrap();
    queue.append(&events(601..=601)).unwrap();
    assert_eq!(all(&fake.open().unwrap()).len(), 601);
    fake.with(|state| state.replace_fails = Some(ReplaceError::Unsure));
    queue.compact(601);
    assert!(queue.append(&events(602..=602)).is_err(), "closed");
    assert_eq!(fake.open().unwrap().end().unwrap(), 601);
}

#[test]
fn what_is_kept_in_memory_does_not_grow_with_the_backlog() {
    let fake = Fake::new();
    let mut queue = fake.open().unwrap();
    for start in (1..=70_000).step_by(10_000) {
        queue.append(&events(start..=start + 9_999)).unwrap();
    }
    assert!(queue.append(&events(70_000..=70_000)).unwrap().iter().all(|answer| !answer.is_new));
    assert_eq!(queue.index.seen_until(u64::MAX).count(), index::REMEMBERED);
    assert!(queue.index.place(70_000).is_some());
    assert_eq!(cids(&queue.read(69_998, 5, usize::MAX).unwrap()), [event(69_999).cid, event(70_000).cid]);
    assert!(matches!(queue.append(&vec![event(1); MAX_APPEND + 1]).unwrap_err(), AppendError::TooMany(_)));
    let _: &Path = queue.path();
}
