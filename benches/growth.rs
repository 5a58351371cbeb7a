//! How opening, listing and appending grow with the ledger.
//!
//! `cargo xtask bench growth [-- EVENTS…]`; 10,000, 100,000 and 1,000,000 when nothing is said.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/acts.rs"]
mod acts;

use std::path::Path;
use std::time::Instant;

use acts::{act, found};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ledger::{Command, NameKey};
use cim_keys::log::{check_consistency, check_inclusion, leaf_hash};
use cim_keys::store::{Listing, Store, StoreOptions, Which};
use cim_keys::text::{EmailAddress, Name, PublicKey};

fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    println!("milliseconds, the median of 9; the file in MiB; filled with people, 1,000 a commit");
    println!(
        "{:>9} {:>8} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "events",
        "open",
        "list 20",
        "prefix",
        "by e-mail",
        "append 1",
        "root",
        "included",
        "consist.",
        "fill ev/s",
        "verify/s",
        "file"
    );
    for size in sizes {
        row(size);
    }
}

fn row(size: u64) {
    let place = tempfile::tempdir().unwrap();
    let options = || StoreOptions::new(place.path().join("ledger.db"), place.path().join("tokens"));
    let start = Instant::now();
    let store = fill(options(), size);
    let filled = size as f64 / start.elapsed().as_secs_f64();
    let some = store.event(&Which::Position(size / 2)).unwrap().cid.to_string();
    store.close().unwrap();

    let open = median(|_| drop(Store::open(options()).unwrap()));
    let store = Store::open(options()).unwrap();
    let list = median(|_| assert_eq!(store.events(Listing::newest(20)).unwrap().len(), 20));
    let prefix = median(|n| drop(store.event(&some[..30 + n].parse().unwrap()).unwrap()));
    let email = median(|n| {
        let key = NameKey::email(&email(size / 10 * (n as u64 + 1) / 2));
        assert_eq!(store.view(|view| view.find(&key, 1).unwrap().len()).unwrap(), 1);
    });
    let append = median(|n| drop(act(&store, vec![person(size + n as u64)]).unwrap()));
    let root = median(|_| assert!(store.root(None).unwrap().0 > size));
    // Another event, and another older head, each time: what was read for one proof does not help the next.
    let (end, head) = store.root(None).unwrap();
    let included = median(|n| {
        let position = end / 10 * (n as u64 + 1);
        let proof = store.prove_inclusion(position, end).unwrap();
        let leaf = leaf_hash(&store.event(&Which::Position(position)).unwrap().cid);
        check_inclusion(&proof, position - 1, &leaf, end, &head).unwrap();
    });
    let consistent = median(|n| {
        let old = end / 11 * (n as u64 + 1) + 1;
        let proof = store.prove_consistency(old, end).unwrap();
        check_consistency(&proof, old, &store.root(Some(old)).unwrap().1, end, &head).unwrap();
    });
    let start = Instant::now();
    let report = store.verify(&mut |_, _| {});
    assert!(report.ok(), "{report:?}");
    let verified = report.events as f64 / start.elapsed().as_secs_f64();
    store.close().unwrap();
    let file = mebibytes(&place.path().join("ledger.db"));
    println!(
        "{size:>9} {open:>8.2} {list:>9.2} {prefix:>8.2} {email:>9.2} {append:>9.2} {root:>9.2} {included:>9.2} {consistent:>9.2} {filled:>9.0} {verified:>9.0} {file:>8.0}"
    );
}

fn median(mut act: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..9)
        .map(|n| {
            let start = Instant::now();
            act(n);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[4]
}

fn mebibytes(path: &Path) -> f64 {
    std::fs::metadata(path).unwrap().len() as f64 / f64::from(1 << 20)
}

fn organization_id() -> OrganizationId {
    "01890a5d-ac96-774b-8000-000000000001".parse().unwrap()
}

fn email(n: u64) -> EmailAddress {
    EmailAddress::new(&format!("p{:x}@acme.example", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap()
}

fn person(n: u64) -> Command {
    Command::CreatePerson(PersonCreated {
        person_id: PersonId::mint(),
        organization_id: organization_id(),
        unit_id: None,
        location_id: None,
        name: Name::new(&format!("Person {n}")).unwrap(),
        email: Some(email(n)),
        title: None,
    })
}

fn fill(options: StoreOptions, size: u64) -> Store {
    let ledger = LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: Name::new("bench").unwrap(),
        public_key: PublicKey::new("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap(),
    };
    let organization = OrganizationCreated {
        organization_id: organization_id(),
        name: Name::new("Acme").unwrap(),
        domain: None,
        description: None,
    };
    let store = found(options, ledger, vec![Command::CreateOrganization(organization)]).unwrap();
    let mut next = 0;
    while next < size - 2 {
        let end = (next + 1_000).min(size - 2);
        act(&store, (next..end).map(person).collect()).unwrap();
        next = end;
    }
    store
}
