//! What was acknowledged survives: SIGKILL, a full disk, and a publisher beside the appender.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use cim_keys::delivery::outbox::{Cursor, Outbox as _, StreamKey};
use cim_keys::store::*;
use cim_keys_testkit::disk::SmallDisk;
use cim_keys_testkit::{again, again_at};

use crate::support::store::*;

fn child_options(folder: &Path) -> StoreOptions {
    StoreOptions::new(folder.join("ledger.db"), folder.join("tokens"))
}

/// Not a test: the process that is killed. Four threads append, and each position is told once it is acknowledged.
#[test]
fn child_that_appends() {
    let Some(folder) = again::place() else { return };
    let store = Store::open(child_options(&folder)).unwrap();
    let first = store.end().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    // Two people at once: both or neither.
                    let number = first * 1_000_000 + thread * 100_000 + n * 2;
                    let pair = [person(number), person(number + 1)];
                    let commands = pair.map(cim_keys::ledger::Command::CreatePerson).to_vec();
                    let appended = act_with(store, &anywhere(), commands).unwrap();
                    let line = format!("acked {} {}\n", appended[0].position, appended[1].cid);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn killed_at_random_points_what_was_acknowledged_is_there() {
    let folder = tempfile::TempDir::with_prefix("cim-keys-kill-").unwrap();
    drop(create(child_options(folder.path())));
    let mut acknowledged = 0;
    for round in 0..50_u64 {
        let mut child = again_at(module_path!(), "child_that_appends", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acks = Vec::new();
        // From the first acknowledgement on, some milliseconds more, other ones in each round.
        let mut killer = None;
        while let Some(Ok(line)) = lines.next() {
            let Some((_, told)) = line.split_once("acked ") else { continue };
            let (position, cid) = told.split_once(' ').unwrap();
            if cid.len() == 59 {
                acks.push((position.parse::<u64>().unwrap() + 1, cid.to_owned()));
            }
            if killer.is_none() {
                let id = child.id();
                killer = Some(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_micros(300 + 700 * round));
                    Process::new("kill").args(["-9", &id.to_string()]).status().unwrap();
                }));
            }
        }
        child.wait().unwrap();
        killer.expect("the child acknowledged something").join().unwrap();

        let store = Store::open(child_options(folder.path())).unwrap();
        for (position, cid) in &acks {
            assert_eq!(store.event(&Which::Position(*position)).unwrap().cid.to_string(), *cid);
        }
        let people = store.end().unwrap() - 2;
        assert_eq!(people % 2, 0, "an append is whole or absent");
        acknowledged += acks.len();
        check(&store);
    }
    println!("{acknowledged} appends were acknowledged");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let Some(disk) = SmallDisk::of_kib(2_048) else { return };
    let place = Place::new();
    let path = disk.path().join("ledger.db");
    let store = create(place.options_at(&path));
    let mut n = 0;
    let mut refused = 0;
    for round in 0..4 {
        disk.fill_up_to(60_000 * (round + 1));
        loop {
            let before = store.end().unwrap();
            match add_person(&store, n) {
                Ok(appended) => assert_eq!(appended[0].position, before + 1),
                Err(error) => {
                    assert!(error.to_string().contains("no room is left"), "{error}");
                    assert_eq!(store.end().unwrap(), before);
                    refused += 1;
                    break;
                }
            }
            n += 1;
        }
        check(&store);
        disk.make_room();
        // With room again the same append goes through, on the same handle.
        add_person(&store, n).unwrap();
        n += 1;
        check(&store);
    }
    assert_eq!(refused, 4);
    let end = store.end().unwrap();
    disk.fill_up_to(0);
    drop(store);
    disk.make_room();
    let store = Store::open(place.options_at(&path)).unwrap();
    assert_eq!(store.end().unwrap(), end);
    check(&store);
}

#[test]
fn a_publisher_works_beside_the_appender() {
    let place = Place::new();
    let store = place.create();
    let mut outbox = store.outbox().unwrap();
    let stream = StreamKey { account: "A".into(), stream: "S".into(), created: "2026".into() };
    let publisher = std::thread::spawn({
        let stream = stream.clone();
        move || {
            let mut cursor = Cursor::default();
            while cursor.position < 302 {
                let entries = outbox.read(cursor.position, 50, 1 << 20).unwrap();
                for entry in &entries {
                    assert_eq!(entry.position, cursor.position + 1);
                    assert!(cim_keys::ipld_support::verify_block(&entry.block, &entry.cid));
                    cursor = Cursor { position: entry.position, head_sequence: cursor.head_sequence + 1 };
                }
                if entries.is_empty() {
                    std::thread::sleep(Duration::from_millis(1));
                } else {
                    outbox.set_cursor(&stream, cursor).unwrap();
                }
            }
            outbox
        }
    });
    for n in 0..300 {
        add_person(&store, n).unwrap();
    }
    let mut outbox = publisher.join().unwrap();
    assert_eq!(outbox.cursor(&stream).unwrap().unwrap().position, 302);
    assert_eq!(outbox.end().unwrap(), 302);
    assert_eq!(outbox.source(), &store.identity().source);

    outbox.park(7, "too large").unwrap();
    outbox.park(5, "denied").unwrap();
    outbox.park(7, "still too large").unwrap();
    outbox.set_retry(7, true).unwrap();
    let parked: Vec<_> = outbox.parked().unwrap().into_iter().map(|parked| (parked.position, parked.reason)).collect();
    assert_eq!(parked, [(5, "denied".to_owned()), (7, "still too large".to_owned())]);
    assert_eq!(outbox.retries().unwrap(), [7]);
    outbox.unpark(7).unwrap();
    assert!(outbox.retries().unwrap().is_empty());
    assert!(outbox.park(999, "nothing is there").is_err());
    check(&store);
}
