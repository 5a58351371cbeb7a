//! Mirrors take much at once into the log; their entities follow when somebody looks at them, and are then the ledger's.

use std::path::PathBuf;

use cim_keys::ledger::{Command, Entity, Kind};
use cim_keys::store::*;
use cim_keys::text::Note;
use rusqlite::{Connection, OptionalExtension as _};

use crate::support::store::*;

/// More than is followed at once, and more than a page of it.
const MANY: u64 = 700;

struct Mirrored {
    place: Place,
    store: Store,
    mirror: Mirror,
    path: PathBuf,
}

impl Mirrored {
    fn new() -> Self {
        let place = Place::new();
        let store = place.create();
        let path = place.dir.path().join("mirror.db");
        let mirror = mirror_of(&store, place.options_at(&path));
        Self { place, store, mirror, path }
    }

    /// One whose entities are behind: much came at once.
    fn behind_by_many() -> Self {
        let mirrored = Self::new();
        mirrored.grow(MANY);
        mirrored.bring();
        assert_eq!(mirrored.behind(), Some(2));
        mirrored
    }

    /// Adds people to the ledger, in one act.
    fn grow(&self, count: u64) {
        let from = self.store.end().unwrap();
        let people = (from..from + count).map(|n| Command::CreatePerson(person(n)));
        act(&self.store, people.collect()).unwrap();
    }

    /// Brings the mirror what it lacks, at once.
    fn bring(&self) {
        let next = self.mirror.store().end().unwrap() + 1;
        self.mirror.record(next, followed_from(&self.store, next), Vec::new()).unwrap();
        assert_eq!(self.mirror.store().end().unwrap(), self.store.end().unwrap());
    }

    /// Up to which position the mirror's entities are, where that is not the end.
    fn behind(&self) -> Option<u64> {
        behind(&self.path)
    }

    fn check(&self) {
        check(self.mirror.store());
        assert_eq!(entities(self.mirror.store()), entities(&self.store));
    }
}

fn behind(path: &std::path::Path) -> Option<u64> {
    let connection = Connection::open(path).unwrap();
    let folded = connection.query_row("SELECT value FROM meta WHERE key = 'folded'", [], |row| row.get::<_, String>(0));
    folded.optional().unwrap().map(|text| text.parse().unwrap())
}

fn entities(store: &Store) -> Vec<Entity> {
    let list = |kind: &Kind| store.view(|view| view.list(*kind, None, usize::MAX)).unwrap().unwrap();
    Kind::ALL.iter().flat_map(list).collect()
}

#[test]
fn what_comes_in_bulk_is_followed_when_it_is_looked_at() {
    assert_eq!(Mirrored::new().behind(), None);
    let mirrored = Mirrored::behind_by_many();
    // It is whole as it is, and verifying changes nothing.
    check(mirrored.mirror.store());
    assert_eq!(mirrored.behind(), Some(2));
    // While much is behind, what comes one by one waits with it.
    mirrored.grow(1);
    mirrored.bring();
    assert_eq!(mirrored.behind(), Some(2));
    check(mirrored.mirror.store());

    mirrored.check();
    assert_eq!(mirrored.behind(), None);
    mirrored.grow(1);
    mirrored.bring();
    assert_eq!(mirrored.behind(), None);
    mirrored.check();
}

#[test]
fn whoever_only_reads_brings_them_up_to_date_too() {
    let mirrored = Mirrored::behind_by_many();
    let reader = Store::open_read_only(mirrored.place.options_at(&mirrored.path)).unwrap();
    assert_eq!(entities(&reader), entities(&mirrored.store));
    assert_eq!(mirrored.behind(), None);
    mirrored.check();
}

#[test]
fn where_nothing_can_be_written_they_are_followed_in_memory() {
    let mirrored = Mirrored::behind_by_many();
    let other = Connection::open(&mirrored.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reader = Store::open_read_only(mirrored.place.options_at(&mirrored.path)).unwrap();
    assert_eq!(entities(&reader), entities(&mirrored.store));
    assert_eq!(mirrored.behind(), Some(2));
    other.execute_batch("ROLLBACK").unwrap();
    mirrored.grow(MANY);
    mirrored.bring();
    assert_eq!(entities(&reader), entities(&mirrored.store));
    assert_eq!(mirrored.behind(), None);
    mirrored.check();
}

#[test]
fn what_the_ledger_says_of_itself_is_never_behind() {
    let mirrored = Mirrored::behind_by_many();
    assert_eq!(mirrored.mirror.store().rotations().unwrap().len(), 0);
    assert_eq!(mirrored.behind(), Some(2));
    // The right to write goes to another place, and that is recorded.
    let Mirrored { place, store, mirror, path } = mirrored;
    store.close().unwrap();
    let store = hand_over(place.options(), Note::new("the old laptop is gone").unwrap()).unwrap();
    let mirrored = Mirrored { place, store, mirror, path };
    mirrored.grow(MANY);
    mirrored.bring();
    assert_eq!(mirrored.behind(), None);
    mirrored.check();
}

#[test]
fn a_copy_to_hand_out_is_up_to_date() {
    let mirrored = Mirrored::behind_by_many();
    let copy = mirrored.place.dir.path().join("copy.db");
    mirrored.mirror.store().copy_to(&copy).unwrap();
    assert_eq!(behind(&copy), None);
    let copy = Store::open_read_only(mirrored.place.options_at(&copy)).unwrap();
    assert_eq!(entities(&copy), entities(&mirrored.store));
    check(&copy);
}

#[test]
fn what_does_not_follow_from_the_log_is_found_while_they_are_behind() {
    let mirrored = Mirrored::behind_by_many();
    let tamper = Connection::open(&mirrored.path).unwrap();
    tamper.execute("UPDATE entity SET body = replace(body, 'Acme', 'Evil') WHERE kind = 'organization'", []).unwrap();
    let found = |what: &str| {
        let report = mirrored.mirror.store().verify(&mut |_, _| {});
        assert!(report.problems.iter().any(|one| one.what.contains(what)), "{report:#?}");
    };
    found("is otherwise in the tables");
    tamper.execute("UPDATE entity SET body = replace(body, 'Evil', 'Acme') WHERE kind = 'organization'", []).unwrap();
    check(mirrored.mirror.store());
    // Neither is a claim that they are further than they are, or than the log is.
    for claim in [Some(1), Some(3), Some(MANY + 100), None] {
        match claim {
            Some(claim) => {
                tamper.execute("UPDATE meta SET value = ?1 WHERE key = 'folded'", [claim.to_string()]).unwrap()
            }
            None => tamper.execute("DELETE FROM meta WHERE key = 'folded'", []).unwrap(),
        };
        found("in the tables");
    }
}
