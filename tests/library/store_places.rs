//! Copies, moves, hand-overs, second writers, foreign files: who may write, and what is refused at opening.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cim_keys::act::{Evidence, Pipeline, Policy, Verdict};
use cim_keys::events::KeyEvent;
use cim_keys::ledger::{Command, View, ViewError};
use cim_keys::store::*;
use cim_keys::text::Note;
use rusqlite::Connection;

use crate::support::store::*;

/// A policy that keeps an act within its transaction: the second judgement is taken there.
struct Holds {
    judged: AtomicU64,
    began: Sender<()>,
    may_go: Mutex<Receiver<()>>,
}

impl Policy for Holds {
    fn judge(&self, _: &dyn View, _: &KeyEvent, _: &Evidence) -> Result<Verdict, ViewError> {
        if self.judged.fetch_add(1, Ordering::SeqCst) == 1 {
            self.began.send(()).unwrap();
            self.may_go.lock().unwrap().recv().unwrap();
        }
        Ok(Verdict::Allow)
    }
}

fn reason() -> Note {
    Note::new("the old laptop is gone").unwrap()
}

#[test]
fn a_copied_folder_reads_until_it_is_handed_over() {
    let place = Place::new();
    let store = place.create();
    add_person(&store, 1).unwrap();
    store.close().unwrap();
    let copied = place.dir.path().join("copy.db");
    fs::copy(place.database(), &copied).unwrap();

    let copy = Store::open(place.options_at(&copied)).unwrap();
    assert_eq!(copy.writable(), Err(NotTheWriter::Copy));
    assert_eq!(copy.end().unwrap(), 3);
    check(&copy);
    let refused = add_person(&copy, 2).unwrap_err();
    assert!(matches!(append_error(&refused), Some(AppendError::NotTheWriter(NotTheWriter::Copy))), "{refused}");
    assert!(matches!(copy.outbox(), Err(OpenError::NotTheWriter(_))));
    drop(copy);

    let copy = hand_over(place.options_at(&copied), reason()).unwrap();
    assert_eq!(copy.event(&Which::Position(4)).unwrap().event().unwrap().event_type(), "LedgerHandedOver");
    add_person(&copy, 2).unwrap();
    check(&copy);
    drop(copy);
    let original = place.open();
    assert_eq!(original.writable(), Err(NotTheWriter::HandedOver));
    assert_eq!(original.end().unwrap(), 3);
}

#[test]
fn a_moved_folder_still_writes() {
    let place = Place::new();
    drop(place.create());
    let moved = place.dir.path().join("elsewhere");
    fs::create_dir(&moved).unwrap();
    fs::rename(place.database(), moved.join("ledger.db")).unwrap();
    let store = Store::open(place.options_at(&moved.join("ledger.db"))).unwrap();
    store.writable().unwrap();
    add_person(&store, 1).unwrap();
    check(&store);
}

#[test]
fn another_machine_reads() {
    let place = Place::new();
    drop(place.create());
    fs::remove_dir_all(place.dir.path().join("tokens")).unwrap();
    let store = place.open();
    assert_eq!(store.writable(), Err(NotTheWriter::NoToken));
    check(&store);
}

#[test]
fn a_ledger_that_was_set_back_is_noticed() {
    let place = Place::new();
    drop(place.create());
    let old = fs::read(place.database()).unwrap();
    let store = place.open();
    for n in 0..5 {
        add_person(&store, n).unwrap();
    }
    store.close().unwrap();
    // The same file, so that device and inode stay.
    fs::write(place.database(), old).unwrap();
    let store = place.open();
    assert_eq!(store.writable(), Err(NotTheWriter::SetBack { recorded: 7 }));
    assert_eq!(store.end().unwrap(), 2);
    drop(store);
    let store = hand_over(place.options(), reason()).unwrap();
    add_person(&store, 1).unwrap();
    check(&store);
}

#[test]
fn a_copy_to_hand_out_is_one_file_that_opens_on_read_only_media() {
    let place = Place::new();
    let store = place.create();
    for n in 0..20 {
        add_person(&store, n).unwrap();
    }
    let media = place.dir.path().join("media");
    fs::create_dir(&media).unwrap();
    let copy = media.join("auditor.db");
    store.copy_to(&copy).unwrap();
    assert!(matches!(store.copy_to(&copy), Err(CopyError::Exists(_))));
    // Reading goes on, and what is appended later is not in the copy.
    add_person(&store, 20).unwrap();
    assert_eq!(fs::read_dir(&media).unwrap().count(), 1);
    assert_eq!(fs::read(&copy).unwrap()[18..20], [1, 1], "the file is in rollback-journal mode");

    let mut mode = fs::metadata(&media).unwrap().permissions();
    mode.set_readonly(true);
    fs::set_permissions(&copy, mode.clone()).unwrap();
    let opened = Store::open_read_only(place.options_at(&copy)).unwrap();
    assert_eq!(opened.end().unwrap(), 22);
    assert_eq!(opened.root(None).unwrap(), store.root(Some(22)).unwrap());
    check(&opened);
    assert_eq!(fs::read_dir(&media).unwrap().count(), 1, "reading leaves nothing behind");
    drop(opened);
    assert!(Store::open(place.options_at(&copy)).unwrap().writable().is_err());
}

#[test]
fn a_second_writer_waits_and_is_told() {
    let place = Place::new();
    let (first, second) = (place.create(), place.open());
    let (began, has_begun) = channel::<()>();
    let (go, may_go) = channel::<()>();
    std::thread::scope(|scope| {
        let policy = Arc::new(Holds { judged: AtomicU64::new(0), began, may_go: Mutex::new(may_go) });
        let held = scope.spawn(|| {
            Pipeline::new(&first, policy).act(&intent(), |draft| draft.command(Command::CreatePerson(person(1))))
        });
        has_begun.recv().unwrap();
        let start = Instant::now();
        let error = add_person(&second, 2).unwrap_err();
        assert!(start.elapsed().as_millis() >= 250, "it waits");
        assert!(error.to_string().contains("another process is writing"), "{error}");
        // Reading goes on meanwhile, and sees what is committed.
        assert_eq!(second.end().unwrap(), 2);
        go.send(()).unwrap();
        assert_eq!(held.join().unwrap().unwrap().events.len(), 1);
    });
    // The two take turns, each on what the other recorded.
    for n in 2..10 {
        add_person(if n % 2 == 0 { &second } else { &first }, n).unwrap();
    }
    assert!(add_person(&second, 1).is_err(), "the address is taken by what the other recorded");
    check(&first);
    check(&second);
}

#[test]
fn foreign_and_newer_files_are_refused() {
    let place = Place::new();
    fs::write(place.database(), b"no database at all, but long enough to have a header ...........................")
        .unwrap();
    let error = Store::open(place.options()).err().unwrap();
    assert!(matches!(error, OpenError::Database(DatabaseError::Damaged { .. })), "{error}");
    fs::remove_file(place.database()).unwrap();

    Connection::open(place.database()).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let error = Store::open(place.options()).err().unwrap();
    assert!(matches!(error, OpenError::NotALedger { .. }), "{error}");
    fs::remove_file(place.database()).unwrap();

    drop(place.create());
    Connection::open(place.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for error in [Store::open(place.options()).err().unwrap(), Store::open_read_only(place.options()).err().unwrap()] {
        assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("and this release reads up to"));
    }
}

#[test]
fn a_read_only_folder_reads() {
    let place = Place::new();
    let folder = place.dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("ledger.db");
    let store = create(place.options_at(&path));
    add_person(&store, 1).unwrap();
    let read = Store::open_read_only(place.options_at(&path)).unwrap();
    assert_eq!(read.writable(), Err(NotTheWriter::Asked));
    assert_eq!(read.end().unwrap(), 3);
    add_person(&store, 2).unwrap();
    assert_eq!(read.end().unwrap(), 4, "a reader sees what is appended meanwhile");
    assert!(read.outbox_read_only().is_ok());
}
