//! The file queue on real files: the suite of all outboxes, crashes, full disks, locks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use cim_keys::delivery::outbox::{Cursor, Outbox, StreamKey};
use cim_keys::events::{EventData, KeyEvent, LocationClosed};
use cim_keys::ipld_support::{ContentAddressedEvent, verify_block};
use cim_keys::queue::{FileQueue, OpenError};
use cim_keys_testkit::{OutboxUnderTest, SmallDisk, outbox_conformance, samples};
use cim_keys_testkit::{again, again_at};

fn event(n: u64) -> ContentAddressedEvent<KeyEvent> {
    let id = |kind: u64| format!("01890a5d-ac96-774b-8{kind:03}-{n:012x}");
    let data = LocationClosed { location_id: id(1).parse().unwrap(), reason: "moved".parse().unwrap() };
    let event = KeyEvent {
        id: id(0).parse().unwrap(),
        data: EventData::from(data),
        occurred_at: "2026-01-31T09:30:00.000000Z".parse().unwrap(),
        actor: "system:test".parse().unwrap(),
        correlation_id: id(2).parse().unwrap(),
        causes: Vec::new(),
    };
    ContentAddressedEvent::new(event).unwrap()
}

fn events(from: u64, count: u64) -> Vec<ContentAddressedEvent<KeyEvent>> {
    (from..from + count).map(event).collect()
}

struct Queue {
    path: PathBuf,
    queue: Option<FileQueue>,
    made: u64,
}

impl OutboxUnderTest for Queue {
    fn append(&mut self, count: usize) {
        let events = events(self.made, count as u64);
        self.made += count as u64;
        self.queue.as_mut().unwrap().append(&events).unwrap();
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.queue.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.queue = None;
        self.queue = Some(FileQueue::open(&self.path).unwrap());
    }
}

#[test]
fn the_suite_of_all_outboxes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let queue = Some(FileQueue::open(&path).unwrap());
    outbox_conformance(&mut Queue { path, queue, made: 0 });
}

#[test]
fn a_sample_of_every_type_goes_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let samples: Vec<_> =
        samples::events().into_iter().map(|event| ContentAddressedEvent::new(event).unwrap()).collect();
    FileQueue::open(&path).unwrap().append(&samples).unwrap();
    let entries = FileQueue::open(&path).unwrap().read(0, usize::MAX, usize::MAX).unwrap();
    assert_eq!(entries.len(), samples.len());
    for (entry, sample) in entries.iter().zip(&samples) {
        assert_eq!((entry.cid, entry.block.as_slice()), (sample.cid, sample.block()));
        assert_eq!(entry.aggregate, sample.event.aggregate().unwrap().as_str());
    }
}

#[test]
fn every_line_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let mut queue = FileQueue::open(&path).unwrap();
    queue.append(&events(1, 3)).unwrap();
    queue.park(2, "denied \"so\"\n").unwrap();
    let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "c".into() };
    queue.set_cursor(&stream, Cursor { position: 3, head_sequence: 4 }).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["cim-keys-queue"], 1);
    assert_eq!(lines[0]["source"], queue.source().as_str());
    assert_eq!(lines[2]["cid"]["/"], event(2).cid.to_string());
    assert_eq!(lines[2]["event"]["type"], "LocationClosed");
    assert_eq!(lines[4]["park"]["position"], 2);
    assert_eq!(lines[5]["cursor"]["head_sequence"], 4);
    assert!(lines.iter().all(|line| line["crc"].as_str().is_some_and(|crc| crc.len() == 8)));
}

#[test]
fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let queue = FileQueue::open(&path).unwrap();
    for name in ["queue.jsonl", "./queue.jsonl"] {
        let error = FileQueue::open(&folder.path().join(name)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, OpenError::InUse { .. }), "{text}");
        assert!(text.contains(&std::process::id().to_string()), "names who has it: {text}");
    }
    drop(queue);
    FileQueue::open(&path).unwrap();
}

#[test]
#[cfg(unix)]
fn names_modes_and_folders() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/cim/queue.jsonl");
    let mut queue = FileQueue::open(&path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // A link to the queue is the queue: the same lock, and writing it anew leaves the link a link.
    let link = folder.path().join("link.jsonl");
    symlink(&path, &link).unwrap();
    assert!(matches!(FileQueue::open(&link).unwrap_err(), OpenError::InUse { .. }));
    queue.append(&events(1, 700)).unwrap();
    drop(queue);
    let mut queue = FileQueue::open(&link).unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "c".into() };
    queue.set_cursor(&stream, Cursor { position: 700, head_sequence: 701 }).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < before);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(mode(&path), 0o600, "also when written anew");
    assert!(!path.with_extension("jsonl.new").exists());
    // What is there and is no queue is left alone.
    let other = folder.path().join("config.toml");
    std::fs::write(&other, "[nats]\n").unwrap();
    assert!(matches!(FileQueue::open(&other).unwrap_err(), OpenError::Damaged { line: 1, .. }));
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "[nats]\n");
    assert!(FileQueue::open(folder.path()).is_err());
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::of_kib(64) else { return };
    let path = disk.path().join("queue.jsonl");
    let mut queue = FileQueue::open(&path).unwrap();
    let mut accepted = 0;
    let error = loop {
        match queue.append(&events(accepted + 1, 7)) {
            Ok(_) => accepted += 7,
            Err(error) => break error.to_string(),
        }
    };
    assert!(accepted > 0 && error.contains("queue.jsonl"), "{error}");
    assert_eq!(queue.end().unwrap(), accepted, "whole or absent");
    // Writing it anew does not fit beside the old one, or does; either way nothing is lost, and there is room again.
    let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "c".into() };
    drop(queue);
    let mut queue = FileQueue::open(&path).unwrap();
    assert_eq!(queue.end().unwrap(), accepted);
    let _ = queue.set_cursor(&stream, Cursor { position: accepted, head_sequence: accepted });
    drop(queue);
    let queue = FileQueue::open(&path).unwrap();
    assert_eq!(queue.end().unwrap(), accepted);
}

/// Not a test of its own: the process that the next test kills. It appends in groups, acknowledges on its standard
/// output what is durable, and publishes now and then, so that the file is written anew.
#[test]
fn child_that_appends() {
    let Some(path) = again::place() else { return };
    let mut queue = FileQueue::open(&path).unwrap();
    let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "c".into() };
    let mut out = std::io::stdout();
    loop {
        let end = queue.end().unwrap();
        let answers = queue.append(&events(end + 1, 1 + end % 13)).unwrap();
        let end = answers.last().unwrap().position;
        writeln!(out, "acked {end}").unwrap();
        if end.is_multiple_of(5) {
            queue.set_cursor(&stream, Cursor { position: end, head_sequence: end }).unwrap();
            writeln!(out, "published {end}").unwrap();
        }
    }
}

fn spawn_child(path: &Path) -> Child {
    again_at(module_path!(), "child_that_appends", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_moment_it_holds_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let (mut acked, mut published) = (0, 0);
    for round in 0..40_u64 {
        let mut child = spawn_child(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Wait for the first sign of life, then for a while that differs each time.
        let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("acked")).unwrap();
        std::thread::sleep(Duration::from_micros(round * round * 37 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in std::iter::once(first).chain(lines.map_while(Result::ok)) {
            match line.split_once(' ') {
                Some(("acked", n)) => acked = n.parse::<u64>().unwrap(),
                Some(("published", n)) => published = n.parse::<u64>().unwrap(),
                _ => {}
            }
        }
        let queue = FileQueue::open(&path).unwrap();
        let (first, end) = (queue.first().unwrap(), queue.end().unwrap());
        assert!(end >= acked, "round {round}: {acked} was acknowledged, {end} is there");
        let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "c".into() };
        let cursor = queue.cursor(&stream).unwrap().unwrap_or_default().position;
        assert!((published..=end).contains(&cursor), "round {round}: cursor {cursor}, published {published}");
        assert!(first <= cursor + 1, "round {round}: only what is published is forgotten");
        let entries = queue.read(first - 1, usize::MAX, usize::MAX).unwrap();
        assert_eq!(entries.len() as u64, end + 1 - first);
        for entry in entries {
            assert_eq!(entry.cid, event(entry.position).cid);
            assert!(verify_block(&entry.block, &entry.cid));
        }
    }
}
