//! Damage is found, named by position, and never panics.

use std::fs;
use std::path::Path;

use cim_keys::store::*;
use cim_keys::verify::Report;
use rusqlite::Connection;

use crate::support::store::*;

/// A ledger of 2 + 40 events, whose bytes are damaged anew in each round.
struct Damaged {
    place: Place,
    whole: Vec<u8>,
}

impl Damaged {
    fn new() -> Self {
        let place = Place::new();
        let store = place.create();
        for n in 0..40 {
            add_person(&store, n).unwrap();
        }
        store.close().unwrap();
        let whole = fs::read(place.database()).unwrap();
        Self { place, whole }
    }

    fn sql(&self, sql: &str) -> Report {
        fs::write(self.place.database(), &self.whole).unwrap();
        let connection = Connection::open(self.place.database()).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        self.verify().unwrap()
    }

    fn verify(&self) -> Result<Report, OpenError> {
        let store = Store::open_read_only(self.place.options())?;
        let report = store.verify(&mut |_, _| {});
        // Whatever else somebody does with a damaged ledger gives an answer or an error.
        let _ = store.events(Listing::newest(100));
        let _ = store.iter(1).count();
        let _ = store.root(None);
        let _ = store.view(|view| view.list(cim_keys::ledger::Kind::Person, None, 100).is_ok());
        let _ = store.outbox_read_only().map(|outbox| {
            use cim_keys::delivery::outbox::Outbox as _;
            let _ = outbox.read(0, 100, 1 << 20);
            let _ = outbox.parked();
        });
        Ok(report)
    }

    #[track_caller]
    fn finds(&self, sql: &str, position: Option<u64>, what: &str) {
        let report = self.sql(sql);
        let found = report
            .problems
            .iter()
            .any(|problem| (position.is_none() || problem.position == position) && problem.what.contains(what));
        assert!(found, "{sql}: {report:#?}");
    }
}

#[test]
fn what_is_wrong_in_the_tables_is_named_by_position() {
    let damaged = Damaged::new();
    assert!(damaged.sql("SELECT 1").ok());
    damaged.finds("DELETE FROM log WHERE position = 7", Some(7), "is missing");
    damaged.finds("DELETE FROM log WHERE position BETWEEN 7 AND 9", Some(7), "all up to 9");
    damaged.finds("DELETE FROM log WHERE position = 42", Some(42), "is missing");
    damaged.finds("DELETE FROM log WHERE position > 12", Some(13), "all up to 42");
    damaged.finds("DELETE FROM log WHERE position = 1", Some(1), "is missing");
    damaged.finds("DELETE FROM log", Some(1), "all up to 42");
    damaged.finds(
        "UPDATE log SET block = x'a0' WHERE position = 5",
        Some(5),
        "not the one that its content identifier",
    );
    damaged.finds(
        "UPDATE log SET block = CAST(substr(block, 1, 200) || x'00' || substr(block, 202) AS BLOB) WHERE position = 11",
        Some(11),
        "not the one",
    );
    damaged.finds("UPDATE log SET cid = x'0102' WHERE position = 5", Some(5), "content identifier");
    damaged.finds("UPDATE log SET cid = (SELECT cid FROM log WHERE position = 6) WHERE position = 5", Some(5), "node");
    damaged.finds("UPDATE log SET event_id = x'00' WHERE position = 5", Some(5), "another event id");
    damaged.finds("UPDATE log SET occurred_at = 0 WHERE position = 5", Some(5), "another time");
    damaged.finds("UPDATE log SET type = 'KeyRevoked' WHERE position = 5", Some(5), "the type KeyRevoked");
    damaged.finds("UPDATE log SET aggregate = 'key' WHERE position = 5", Some(5), "the aggregate key");
    damaged.finds("UPDATE log SET position = 100 WHERE position = 42", Some(42), "is missing");
    damaged.finds("UPDATE log SET position = 9000000000000000000 WHERE position = 42", Some(42), "is missing");
    damaged.finds(
        "UPDATE log SET position = 99 WHERE position = 8; UPDATE log SET position = 8 WHERE position = 9;
         UPDATE log SET position = 9 WHERE position = 99",
        Some(8),
        "node",
    );
    damaged.finds("UPDATE node SET h = zeroblob(32) WHERE i = 3", None, "node 3");
    damaged.finds("DELETE FROM node WHERE i = 30", None, "node 30 of the tree is missing");
    damaged.finds("DELETE FROM node", None, "tree");
    damaged.finds("INSERT INTO node VALUES (4611686018427387904, x'00')", None, "nodes, and should have");
    damaged.finds("UPDATE meta SET value = 'MCowBQYDK2VwAyEAAb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=' WHERE key = 'public_key'", Some(1), "another ledger");
    damaged.finds("DELETE FROM entity WHERE kind = 'person'", None, "is not in the tables; rebuild");
    damaged.finds("UPDATE entity SET body = replace(body, 'Person 7', 'Person X')", None, "otherwise in the tables");
    damaged.finds("UPDATE name SET held = 0 WHERE kind = 'person' AND held = 1", None, "rebuild");
    damaged.finds("DELETE FROM reference", None, "rebuild");
    damaged.finds("INSERT INTO entity SELECT kind, x'0102', body FROM entity LIMIT 1", None, "does not follow");
    damaged.finds("INSERT INTO outbox_parked VALUES (5, x'00', 'r', 0, 0)", Some(5), "parked with another");
    damaged.finds("INSERT INTO outbox_cursor VALUES ('a', 's', 'c', 99, 1, 'x')", Some(99), "the log ends before");
    damaged.finds("INSERT INTO blob VALUES (1, x'00', x'01')", None, "raw block 1");
}

#[test]
fn rebuilding_mends_the_tables_of_entities() {
    let damaged = Damaged::new();
    assert!(!damaged.sql("DELETE FROM entity; UPDATE name SET held = 0").ok());
    // The token counts the file as the same, for it is.
    let store = damaged.place.open();
    store.rebuild().unwrap();
    check(&store);
    add_person(&store, 7).unwrap_err();
    add_person(&store, 100).unwrap();
    check(&store);
}

#[test]
fn truncated_files_are_found() {
    let damaged = Damaged::new();
    let pages = damaged.whole.len() / 8192;
    for page in 0..pages {
        for length in [page * 8192, page * 8192 + 1_000] {
            fs::write(damaged.place.database(), &damaged.whole[..length]).unwrap();
            match damaged.verify() {
                Ok(report) => assert!(!report.ok(), "{length} of {} bytes", damaged.whole.len()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn flipped_bits_are_found_or_harmless() {
    let damaged = Damaged::new();
    let blocks = event_bytes(&damaged.place.database());
    let (mut found, mut harmless) = (0, 0);
    let mut bytes = damaged.whole.clone();
    for offset in (0..bytes.len()).step_by(499) {
        let bit = 1 << (offset / 499 % 8);
        bytes[offset] ^= bit;
        fs::write(damaged.place.database(), &bytes).unwrap();
        match damaged.verify() {
            Ok(report) if report.ok() => {
                harmless += 1;
                // What verify lets pass is what was recorded.
                assert_eq!(event_bytes(&damaged.place.database()), blocks, "offset {offset}");
            }
            _ => found += 1,
        }
        bytes[offset] ^= bit;
    }
    println!("{found} found, {harmless} harmless (free space, counters)");
    assert!(found > 50);
}

fn event_bytes(path: &Path) -> Vec<Vec<u8>> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT block FROM log ORDER BY position").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
