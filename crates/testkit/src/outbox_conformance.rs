//! What every outbox must do. One suite, for the file queue and for the ledger.

use cid::Cid;
use cim_keys::delivery::outbox::{Cursor, Entry, Outbox, StreamKey};
use cim_keys::ipld_support::{Envelope, verify_block};

/// An outbox under test, with the means to fill it.
pub trait OutboxUnderTest {
    /// Records exactly so many further events.
    fn append(&mut self, count: usize);

    /// The outbox.
    fn outbox(&mut self) -> &mut dyn Outbox;

    /// Closes it and opens it again, as after a restart of the program.
    fn reopen(&mut self);
}

/// Runs the whole suite on an outbox that nothing was published from.
///
/// # Panics
/// Where the outbox does not do what the port says.
pub fn outbox_conformance(subject: &mut dyn OutboxUnderTest) {
    reading(subject);
    cursors(subject);
    parking(subject);
    trying_again(subject);
    failing_cleanly(subject);
    much(subject);
}

fn all(outbox: &dyn Outbox) -> Vec<Entry> {
    let after = outbox.first().expect("first") - 1;
    outbox.read(after, usize::MAX, usize::MAX).expect("read")
}

fn stream(created: &str) -> StreamKey {
    StreamKey { account: "ACCOUNT".into(), stream: "EVENTS".into(), created: created.into() }
}

fn reading(subject: &mut dyn OutboxUnderTest) {
    let start = subject.outbox().end().expect("end");
    assert_eq!(subject.outbox().first().expect("first"), 1, "nothing was published, so nothing is forgotten");
    subject.append(10);
    let before = all(subject.outbox());
    let source = subject.outbox().source().clone();
    subject.reopen();
    let outbox = subject.outbox();
    assert_eq!(outbox.source(), &source, "the source never changes");
    assert_eq!(outbox.end().expect("end"), start + 10);
    let entries = all(outbox);
    assert_eq!(entries, before, "the same after a restart");
    assert_eq!(entries.len() as u64, start + 10);
    for (entry, position) in entries.iter().zip(1..) {
        assert_eq!(entry.position, position, "in order and without a gap");
        assert!(verify_block(&entry.block, &entry.cid), "{} is not what its identifier names", entry.position);
        let envelope = Envelope::parse(&entry.block).expect("an event's block");
        assert_eq!(envelope.event_type, entry.event_type);
        assert!(!entry.aggregate.is_empty());
        assert_eq!(outbox.cid_at(position).expect("cid_at"), Some(entry.cid));
    }
    assert_eq!(outbox.cid_at(0).expect("cid_at"), None);
    assert_eq!(outbox.cid_at(start + 11).expect("cid_at"), None);
    limits(outbox, &entries);
}

fn limits(outbox: &dyn Outbox, entries: &[Entry]) {
    let (end, len) = (entries.len(), |range: std::ops::Range<usize>| -> usize {
        entries.get(range).unwrap_or_default().iter().map(|entry| entry.block.len()).sum()
    });
    let read = |after: usize, max_events, max_bytes| outbox.read(after as u64, max_events, max_bytes).expect("read");
    assert_eq!(read(end - 5, 3, usize::MAX), entries[end - 5..end - 2], "no more than asked for");
    assert_eq!(read(end - 5, 99, len(end - 5..end - 2)), entries[end - 5..end - 2], "exactly as many bytes");
    assert_eq!(read(end - 5, 99, len(end - 5..end - 2) - 1), entries[end - 5..end - 3], "one byte too few");
    assert_eq!(read(end - 5, 99, 0), entries[end - 5..end - 4], "always at least one");
    assert_eq!(read(end - 2, 99, usize::MAX), entries[end - 2..], "up to the end");
    assert!(read(end - 2, 0, usize::MAX).is_empty());
    for beyond in [end as u64, end as u64 + 1, u64::MAX] {
        assert!(outbox.read(beyond, 9, usize::MAX).expect("read").is_empty(), "nothing behind the end");
    }
}

fn cursors(subject: &mut dyn OutboxUnderTest) {
    let (here, other) = (stream("2026-01-31T09:30:00Z"), stream("2026-02-01T00:00:00Z"));
    let outbox = subject.outbox();
    assert_eq!(outbox.cursor(&here).expect("cursor"), None);
    let cursor = |position| Cursor { position, head_sequence: position + 100 };
    for position in [3, 5, 4] {
        outbox.set_cursor(&here, cursor(position)).expect("set_cursor");
        assert_eq!(outbox.cursor(&here).expect("cursor"), Some(cursor(position)), "also backwards");
    }
    outbox.set_cursor(&other, cursor(1)).expect("set_cursor");
    subject.reopen();
    let outbox = subject.outbox();
    assert_eq!(outbox.cursor(&here).expect("cursor"), Some(cursor(4)));
    assert_eq!(outbox.cursor(&other).expect("cursor"), Some(cursor(1)), "a stream made anew is another one");
    assert_eq!(outbox.cursor(&StreamKey { account: "B".into(), ..here }).expect("cursor"), None);
}

fn parking(subject: &mut dyn OutboxUnderTest) {
    let outbox = subject.outbox();
    let before = all(outbox);
    outbox.park(4, "denied").expect("park");
    outbox.park(2, "too large\u{1b}[31m\n").expect("park");
    outbox.park(4, "denied, again").expect("park");
    subject.reopen();
    let outbox = subject.outbox();
    let parked = outbox.parked().expect("parked");
    assert_eq!(parked.iter().map(|p| p.position).collect::<Vec<_>>(), [2, 4], "in order of position");
    assert_eq!(parked[1].reason, "denied, again", "the last reason counts");
    assert_eq!(Some(parked[0].cid), outbox.cid_at(2).expect("cid_at"));
    assert_eq!(all(outbox), before, "a parked event is still there");
    outbox.unpark(4).expect("unpark");
    outbox.unpark(4).expect("twice is once");
    outbox.unpark(7).expect("what is not parked stays so");
    subject.reopen();
    assert_eq!(subject.outbox().parked().expect("parked").len(), 1);
}

fn trying_again(subject: &mut dyn OutboxUnderTest) {
    let outbox = subject.outbox();
    outbox.park(5, "denied").expect("park");
    outbox.set_retry(5, true).expect("set_retry");
    outbox.set_retry(5, true).expect("twice is once");
    outbox.set_retry(2, true).expect("set_retry");
    subject.reopen();
    let outbox = subject.outbox();
    assert_eq!(outbox.retries().expect("retries"), [2, 5], "in order of position");
    assert_eq!(outbox.parked().expect("parked").len(), 2, "still parked until the stream has it");
    outbox.set_retry(2, false).expect("set_retry");
    outbox.unpark(5).expect("unpark");
    subject.reopen();
    assert!(subject.outbox().retries().expect("retries").is_empty(), "what is not parked is not tried again");
    subject.outbox().unpark(2).expect("unpark");
}

fn failing_cleanly(subject: &mut dyn OutboxUnderTest) {
    let end = subject.outbox().end().expect("end");
    assert!(subject.outbox().park(end + 1, "x").is_err(), "there is no such event");
    assert!(subject.outbox().parked().expect("parked").is_empty());
    subject.append(1);
    assert_eq!(subject.outbox().end().expect("end"), end + 1, "a refusal does no harm");
}

fn much(subject: &mut dyn OutboxUnderTest) {
    for _ in 0..4 {
        subject.append(300);
    }
    let outbox = subject.outbox();
    let whole: Vec<(u64, Cid)> = all(outbox).iter().map(|entry| (entry.position, entry.cid)).collect();
    for chunk in [1, 7, 64, 999] {
        let mut read = Vec::with_capacity(whole.len());
        while let Some(entries) =
            Some(outbox.read(read.len() as u64, chunk, usize::MAX).expect("read")).filter(|entries| !entries.is_empty())
        {
            read.extend(entries.iter().map(|entry| (entry.position, entry.cid)));
        }
        assert_eq!(read, whole, "in chunks of {chunk}");
    }
    // Everything is published: what was promised about cursors holds, whatever the outbox forgets.
    let end = outbox.end().expect("end");
    let cid = outbox.cid_at(end).expect("cid_at");
    outbox.park(9, "denied").expect("park");
    let done = Cursor { position: end, head_sequence: end + 1 };
    outbox.set_cursor(&stream("2026-01-31T09:30:00Z"), done).expect("set_cursor");
    subject.append(2);
    subject.reopen();
    let outbox = subject.outbox();
    assert_eq!(outbox.cursor(&stream("2026-01-31T09:30:00Z")).expect("cursor"), Some(done));
    assert_eq!(outbox.cid_at(end).expect("cid_at"), cid, "the last published one is never forgotten");
    assert_eq!(outbox.read(end, 9, usize::MAX).expect("read").len(), 2);
    assert!(outbox.first().expect("first") <= end + 1);
    let parked = outbox.read(8, 1, usize::MAX).expect("read");
    assert_eq!(parked.first().map(|entry| entry.position), Some(9), "nor is a parked one");
}
