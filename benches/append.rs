//! Appending, beside a bare SQLite loop with the same durability.
//!
//! `cargo xtask bench append [-- EVENTS]`. Each pair of figures is measured in turns, and the median of the rounds is told.
//! The bare loop writes what the least of a log needs: the block, its position, an index of its content identifier, and an
//! outbox row, with the same page cache. Its blocks are made beforehand, and so are our commands. An append of ours is an act
//! through the pipeline: it is drafted and judged, and within the transaction decided and judged once more; it is encoded and
//! hashed, and keeps tree and entities too. The grouped ones are decided where they are recorded. The last rows compare it with itself: each head signed, and not.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/acts.rs"]
mod acts;

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use acts::{act, act_with, anywhere, found};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ipld_support::{canonical_bytes, cid_of_block};
use cim_keys::keys::pair::SoftwareKey;
use cim_keys::ledger::Command;
use cim_keys::log::{HeadSigner, VerifierKey};
use cim_keys::store::{Store, StoreOptions};
use cim_keys::text::{Name, PublicKey};
use cim_keys_testkit::samples;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use rusqlite::Connection;

const ROUNDS: usize = 5;
const THREADS: usize = 64;

fn main() {
    let events: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(20_000);
    let block = canonical_bytes(&samples::typical()).unwrap();
    println!("blocks of {} bytes; events/s, the median of {ROUNDS} rounds in turns", block.len());
    println!("{:<34} {:>10} {:>10} {:>7}", "", "ledger", "bare", "ratio");
    pair("1 event a commit", events / 10, &|place, count| ours(&create(place), count, 1), &|place, count| {
        bare(place, count, 1, &block)
    });
    for size in [100, 1_000] {
        let ours = |place: &Path, count| ours(&create(place), count, size);
        pair(&format!("{size} events a commit"), events, &ours, &|place, count| bare(place, count, size, &block));
    }
    pair(
        &format!("{THREADS} appenders, grouped"),
        events,
        &|place, count| ours_concurrent(place, count),
        &|place, count| bare_concurrent(place, count, &block),
    );
    println!("{:<34} {:>10} {:>10} {:>7}", "", "signed", "unsigned", "ratio");
    for (size, count) in [(1, events / 10), (100, events)] {
        let signed = |place: &Path, count| {
            let store = create(place);
            store.sign_heads(Some(signer(&store))).unwrap();
            ours(&store, count, size)
        };
        pair(&format!("{size} events a commit, signed"), count, &signed, &|place, count| {
            ours(&create(place), count, size)
        });
    }
}

/// The key of every ledger here: nobody's.
fn secret() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signer(store: &Store) -> HeadSigner {
    let key = &store.identity().public_key;
    let key = VerifierKey::of_ledger(&store.identity().name, key, key).unwrap();
    HeadSigner::new(key, SoftwareKey::new(secret().into())).unwrap()
}

type Run<'a> = &'a dyn Fn(&Path, usize) -> f64;

fn pair(name: &str, events: usize, ours: Run<'_>, bare: Run<'_>) {
    // A text among the arguments chooses: `cargo xtask bench append -- 20000 grouped`.
    let chosen = |argument: &String| argument.parse::<usize>().is_ok() || argument.starts_with('-');
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !chosen(argument)).collect();
    if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
        return;
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (run, seconds) in [(ours, &mut first), (bare, &mut second)] {
            let place = tempfile::tempdir().unwrap();
            seconds.push(run(place.path(), events));
        }
    }
    let median = |seconds: &mut Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        events as f64 / seconds[seconds.len() / 2]
    };
    let (ours, bare) = (median(&mut first), median(&mut second));
    println!("{name:<34} {ours:>10.0} {bare:>10.0} {:>7.2}", ours / bare);
}

fn organization_id() -> OrganizationId {
    "01890a5d-ac96-774b-8000-000000000001".parse().unwrap()
}

fn create(place: &Path) -> Store {
    let ledger = LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: Name::new("bench").unwrap(),
        public_key: PublicKey::new(&STANDARD.encode(secret().verifying_key().to_public_key_der().unwrap())).unwrap(),
    };
    let organization = OrganizationCreated {
        organization_id: organization_id(),
        name: Name::new("Acme").unwrap(),
        domain: None,
        description: None,
    };
    let options = StoreOptions::new(place.join("ledger.db"), place.join("tokens"));
    found(options, ledger, vec![Command::CreateOrganization(organization)]).unwrap()
}

/// Keys with random names and public halves, as they come.
fn commands(count: usize) -> Vec<Command> {
    let EventData::KeyGenerated(typical) = samples::typical().data else { unreachable!("the typical event is a key") };
    let key = |n: usize| {
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Command::GenerateKey(KeyGenerated {
            key_id: KeyId::mint(),
            name: Name::new(&format!("service {mixed:016x}")).unwrap(),
            public_key: PublicKey::new(&format!("MCowBQYDK2VwAyEA{mixed:016x}{mixed:016x}{n:011}=")).unwrap(),
            owner: Party::Organization(organization_id()),
            location_id: None,
            ..typical.clone()
        })
    };
    (0..count).map(key).collect()
}

fn ours(store: &Store, count: usize, size: usize) -> f64 {
    let mut commands = commands(count).into_iter();
    let batches: Vec<Vec<Command>> =
        (0..count.div_ceil(size)).map(|_| commands.by_ref().take(size).collect()).collect();
    let start = Instant::now();
    for batch in batches {
        act(store, batch).unwrap();
    }
    start.elapsed().as_secs_f64()
}

fn ours_concurrent(place: &Path, count: usize) -> f64 {
    let store = create(place);
    let mut commands = commands(count);
    let each = count / THREADS;
    let parts: Vec<Vec<Command>> = (0..THREADS).map(|_| commands.drain(..each).collect()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in parts {
            let store = &store;
            scope.spawn(move || {
                for command in part {
                    act_with(store, &anywhere(), vec![command]).unwrap();
                }
            });
        }
    });
    start.elapsed().as_secs_f64() * count as f64 / (each * THREADS) as f64
}

fn bare_connection(place: &Path) -> Connection {
    let connection = Connection::open(place.join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = wal; PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -65536;
             CREATE TABLE log (position INTEGER PRIMARY KEY, block BLOB NOT NULL);
             CREATE TABLE cids (cid BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE outbox (position INTEGER PRIMARY KEY, published INTEGER NOT NULL);",
        )
        .unwrap();
    connection
}

/// Blocks of which each differs, with their content identifiers.
fn blocks(count: usize, block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let one = |n: usize| {
        let mut block = block.to_vec();
        block[4..12].copy_from_slice(&(n as u64).to_be_bytes());
        let cid = cid_of_block(&block).to_bytes();
        (block, cid)
    };
    (0..count).map(one).collect()
}

fn insert(connection: &Connection, position: usize, block: &[u8], cid: &[u8]) {
    let position = position as i64;
    connection.prepare_cached("INSERT INTO log VALUES (?1, ?2)").unwrap().execute((position, block)).unwrap();
    connection.prepare_cached("INSERT INTO cids VALUES (?1, ?2)").unwrap().execute((cid, position)).unwrap();
    connection.prepare_cached("INSERT INTO outbox VALUES (?1, 0)").unwrap().execute([position]).unwrap();
}

fn bare(place: &Path, count: usize, size: usize, block: &[u8]) -> f64 {
    let connection = bare_connection(place);
    let blocks = blocks(count, block);
    let start = Instant::now();
    for (number, batch) in blocks.chunks(size).enumerate() {
        let transaction = connection.unchecked_transaction().unwrap();
        for (n, (block, cid)) in batch.iter().enumerate() {
            insert(&transaction, number * size + n + 1, block, cid);
        }
        transaction.commit().unwrap();
    }
    start.elapsed().as_secs_f64()
}

/// One thread writes what waits in its channel, in one transaction; the appenders wait for its answer.
fn bare_concurrent(place: &Path, count: usize, block: &[u8]) -> f64 {
    type Job = (Vec<u8>, Vec<u8>, Sender<()>);
    let connection = bare_connection(place);
    let mut blocks = blocks(count, block);
    let each = count / THREADS;
    let (send, receive) = channel::<Job>();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let part: Vec<_> = blocks.drain(..each).collect();
            let send = send.clone();
            scope.spawn(move || {
                for (block, cid) in part {
                    let (done, wait) = channel();
                    send.send((block, cid, done)).unwrap();
                    wait.recv().unwrap();
                }
            });
        }
        drop(send);
        let mut position = 0;
        while let Ok(first) = receive.recv() {
            let transaction = connection.unchecked_transaction().unwrap();
            let mut waiting = Vec::new();
            for (block, cid, done) in std::iter::once(first).chain(receive.try_iter().take(1_023)) {
                position += 1;
                insert(&transaction, position, &block, &cid);
                waiting.push(done);
            }
            transaction.commit().unwrap();
            waiting.into_iter().for_each(|done| done.send(()).unwrap());
        }
    });
    start.elapsed().as_secs_f64() * count as f64 / (each * THREADS) as f64
}
