//! Archives: written, verified and taken into a mirror, beside a copy of the same file.
//!
//! `cargo xtask bench archive [-- EVENTS]`; 100,000 when nothing is said.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use cim_keys::app::archive::{self, Held, Since};
use cim_keys::events::{EventData, OrganizationCreated};
use cim_keys::files::NewFile;
use cim_keys::ids::OrganizationId;
use cim_keys::ledger::Command;
use cim_keys::session::Place;
use cim_keys::session::heads;
use cim_keys::text::Name;
use support::log::{Ledger, act};

fn main() {
    let events: usize = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let ledger = Ledger::new();
    fill(&ledger, events);
    heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let key = ledger.store.verifier_key().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let car = folder.path().join("ledger.car");

    let export = seconds(|| {
        let mut file = NewFile::create(&car, false).unwrap();
        archive::export(&ledger.store, Since::Position(0), &mut file, &mut |_, _| {}).unwrap();
        file.commit().unwrap();
    });
    let bytes = fs::metadata(&car).unwrap().len();
    let copy = seconds(|| copied(&car, &folder.path().join("copy.car")));
    let held = Held { key: Some(&key), against: None };
    let verify = seconds(|| {
        archive::verify(archive::open(&car).unwrap(), held, &mut |_, _| {}, |_| Ok(())).unwrap();
    });
    let mirror = folder.path().join("mirror");
    let place = Place::new(&mirror, mirror.join("tokens"));
    let import = seconds(|| {
        let imported = archive::import(&place, &car, held, &mut |_, _| {}).unwrap();
        assert_eq!(imported.new, events as u64 + 2);
    });
    println!("{events} events, {bytes} bytes; each ends with a sync of what it wrote");
    println!("{:>8} {:>9} {:>12} {:>12}", "", "MB/s", "events/s", "to the copy");
    for (what, took) in [("copy", copy), ("export", export), ("verify", verify), ("import", import)] {
        println!("{what:>8} {:>9.1} {:>12.0} {:>12.3}", bytes as f64 / took / 1e6, events as f64 / took, copy / took);
    }
}

fn fill(ledger: &Ledger, events: usize) {
    let sample = cim_keys_testkit::samples::data().into_iter().find_map(|data| match data {
        EventData::OrganizationCreated(created) => Some(created),
        _ => None,
    });
    let sample = sample.unwrap();
    for first in (0..events).step_by(1_000) {
        let one = |n: usize| {
            let name = Name::new(&format!("Organisation {n}")).unwrap();
            Command::CreateOrganization(OrganizationCreated {
                organization_id: OrganizationId::mint(),
                name,
                ..sample.clone()
            })
        };
        act(&ledger.store, (first..events.min(first + 1_000)).map(one).collect()).unwrap();
    }
}

/// What `cp` does, and a sync.
fn copied(from: &Path, to: &Path) {
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    std::io::copy(&mut from, &mut to).unwrap();
    to.flush().unwrap();
    to.sync_all().unwrap();
}

fn seconds(act: impl FnOnce()) -> f64 {
    let start = Instant::now();
    act();
    start.elapsed().as_secs_f64()
}
