//! Verifying a ledger and an archive of it, beside the bare hash of the same bytes, and the memory that it takes.
//!
//! `cargo xtask bench verify [-- EVENTS…]`; 100,000 and 1,000,000 when nothing is said. Each size is measured in processes of its own.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/acts.rs"]
mod acts;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use acts::{act, act_with, found, intent};
use cim_keys::act::{ActSigner, Intent, Scope};
use cim_keys::app::archive::{self, Held, Since};
use cim_keys::app::verify;
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::pair::{PrivateKey, SoftwareKey};
use cim_keys::keys::{KeyKind, Signer as _};
use cim_keys::ledger::Command as Act;
use cim_keys::store::{Demands, Extent, Listing, Store, StoreOptions};
use cim_keys::text::{EmailAddress, Label, Name, PublicKey, Recipient};
use sha2::{Digest as _, Sha256};

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [what, place] = &arguments[..]
        && what.parse::<u64>().is_err()
    {
        return measure(what, Path::new(place));
    }
    let mut sizes: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 1_000_000];
    }
    println!(
        "events/s, the best of {ROUNDS} rounds, and its ratio to the bare hash; processor time an event, in µs, of all threads"
    );
    println!("together, and its ratio to the hash's; the most memory that the process ever had, in MiB");
    println!(
        "{:>9} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8}",
        "events", "", "events/s", "to hash", "µs", "to hash", "memory"
    );
    for size in sizes {
        row(size);
        signed_row(size.min(100_000));
    }
}

fn row(size: u64) {
    let place = tempfile::tempdir().unwrap();
    fill(place.path(), size, None);
    measured(place.path(), size, &["hash", "verify", "archive", "deep"]);
}

/// A ledger in which whoever acts has signed every act: half of its events are signatures.
fn signed_row(size: u64) {
    let place = tempfile::tempdir().unwrap();
    let signer = Signer::new();
    fill(place.path(), size / 2, Some(&signer));
    let events = Store::open_read_only(options(place.path())).unwrap().end().unwrap();
    println!("{:>9} of them signatures", events / 2 - 1);
    measured(place.path(), events, &["hash", "verify"]);
}

fn measured(place: &Path, size: u64, what: &[&str]) {
    let mut hash = (0.0, 0.0);
    for what in what {
        let child = Command::new(std::env::current_exe().unwrap()).arg(what).arg(place).output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let told = String::from_utf8(child.stdout).unwrap();
        let figures: Vec<f64> = told.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        let [seconds, processor, memory] = figures[..] else { panic!("{told}") };
        let (rate, micros) = (size as f64 / seconds, processor * 1e6 / size as f64);
        if *what == "hash" {
            hash = (rate, micros);
        }
        println!(
            "{size:>9} {what:>8} {rate:>10.0} {:>8.2} {micros:>8.2} {:>8.2} {memory:>8.0}",
            rate / hash.0,
            micros / hash.1
        );
    }
}

/// In a process of its own: prints seconds, processor time in seconds, and the most memory.
fn measure(what: &str, place: &Path) {
    let rounds = if what == "deep" { 1 } else { ROUNDS };
    let store = Store::open_read_only(options(place)).unwrap();
    let end = store.end().unwrap();
    let before = processor_time();
    let (seconds, processor) = match what {
        "hash" => hash(&store),
        "archive" => best(
            rounds,
            || {
                let input = archive::open(&place.join("a.car")).unwrap();
                let verified = archive::verify(input, Held::default(), &mut |_, _| {}, |_| Ok(())).unwrap();
                assert_eq!(verified.last, end);
            },
            before,
        ),
        _ => best(
            rounds,
            || {
                let extent = if what == "deep" { Extent::Deep } else { Extent::Events };
                let demands = Demands { extent, ..Demands::default() };
                let report = verify::ledger(&store, &demands, &mut |_, _| {}).unwrap().report;
                assert!(report.ok() && report.events == end, "{report:?}");
            },
            before,
        ),
    };
    println!("{seconds} {processor} {}", most_memory());
}

/// The hash alone, of the same blocks, which are in memory a thousand at a time.
fn hash(store: &Store) -> (f64, f64) {
    let (mut next, mut seconds, mut processor) = (1, 0.0, 0.0);
    loop {
        let blocks: Vec<Vec<u8>> =
            store.events(Listing::from(next, 1_000)).unwrap().into_iter().map(|event| event.block).collect();
        if blocks.is_empty() {
            // One thread that waits for nothing: on a busy machine it is the smaller of the two.
            return (seconds, processor);
        }
        next += blocks.len() as u64;
        let start = Instant::now();
        let mut fastest = f64::INFINITY;
        for some in blocks.chunks(50) {
            let start = Instant::now();
            for block in some {
                std::hint::black_box(Sha256::digest(block));
            }
            fastest = fastest.min(start.elapsed().as_secs_f64() / some.len() as f64);
        }
        processor += fastest * blocks.len() as f64;
        seconds += start.elapsed().as_secs_f64();
    }
}

fn best(rounds: usize, mut act: impl FnMut(), before: f64) -> (f64, f64) {
    let one = |_| {
        let start = Instant::now();
        act();
        start.elapsed().as_secs_f64()
    };
    let seconds = (0..rounds).map(one).fold(f64::INFINITY, f64::min);
    (seconds, (processor_time() - before) / rounds as f64)
}

/// What this process's threads have used so far, in seconds, as Linux counts it in hundredths; 0 elsewhere.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// In MiB, as Linux counts it; 0 elsewhere.
fn most_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn options(place: &Path) -> StoreOptions {
    StoreOptions::new(place.join("ledger.db"), place.join("tokens"))
}

/// A person with a key, and what she signs with it.
#[derive(Debug)]
struct Signer {
    person_id: PersonId,
    key_id: KeyId,
    key: Arc<SoftwareKey>,
}

impl Signer {
    fn new() -> Self {
        let key = SoftwareKey::new(PrivateKey::generate(KeyKind::Ed25519).unwrap());
        Self { person_id: PersonId::mint(), key_id: KeyId::mint(), key }
    }

    /// What has to be recorded before she can sign.
    fn enrolled(&self, organization_id: OrganizationId) -> Vec<Act> {
        let (compartment, owner) = (Label::new("ada").unwrap(), Party::Person(self.person_id));
        let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let public = self.key.public().clone();
        vec![
            Act::CreatePerson(PersonCreated {
                person_id: self.person_id,
                organization_id,
                unit_id: None,
                location_id: None,
                name: Name::new("Ada").unwrap(),
                email: None,
                title: None,
            }),
            Act::AddRecipient(CustodyRecipientAdded {
                compartment: compartment.clone(),
                recipient: Recipient::new(recipient).unwrap(),
                holder: Some(owner.clone()),
            }),
            Act::GenerateKey(KeyGenerated {
                key_id: self.key_id,
                name: Name::new("Ada's").unwrap(),
                algorithm: public.algorithm,
                encoding: public.encoding,
                public_key: public.public_key,
                purpose: KeyPurpose::ActSigning,
                owner,
                compartment,
                validity: Validity::ALWAYS,
                location_id: None,
            }),
        ]
    }

    /// An act that she signs.
    fn intent(&self) -> Intent {
        let (party, signer) = (Party::Person(self.person_id), Arc::clone(&self.key) as _);
        let signer = ActSigner { party, key_id: self.key_id, signer, scope: Scope::EveryEvent };
        Intent { signer: Some(signer), ..Intent::new(Actor::Person(self.person_id)) }
    }
}

fn fill(place: &Path, size: u64, signer: Option<&Signer>) {
    let ledger = LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: Name::new("bench").unwrap(),
        public_key: PublicKey::new("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap(),
    };
    let organization_id = OrganizationId::mint();
    let organization =
        OrganizationCreated { organization_id, name: Name::new("Acme").unwrap(), domain: None, description: None };
    let person = |n: u64| {
        Act::CreatePerson(PersonCreated {
            person_id: PersonId::mint(),
            organization_id,
            unit_id: None,
            location_id: None,
            name: Name::new(&format!("Person {n}")).unwrap(),
            email: Some(EmailAddress::new(&format!("p{n:x}@acme.example")).unwrap()),
            title: Some(Name::new("Platform engineer in the second line of support").unwrap()),
        })
    };
    let store = found(options(place), ledger, vec![Act::CreateOrganization(organization)]).unwrap();
    let intent = signer.map_or_else(intent, |signer| {
        act(&store, signer.enrolled(organization_id)).unwrap();
        signer.intent()
    });
    let mut next = 0;
    while next < size - 2 {
        let end = (next + 2_000).min(size - 2);
        act_with(&store, &intent, (next..end).map(person).collect()).unwrap();
        next = end;
    }
    let mut out = BufWriter::with_capacity(1 << 18, File::create(place.join("a.car")).unwrap());
    archive::export(&store, Since::Position(0), &mut out, &mut |_, _| {}).unwrap();
    out.flush().unwrap();
    store.close().unwrap();
}
