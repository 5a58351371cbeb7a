//! One content identifier for each type of event, pinned for ever.
//!
//! A line of `tests/library/golden/cids.txt` is never changed and never removed: a subscriber may hold an event of that
//! shape. A change of a type's data is a new schema of it, with a new sample and a new line.
//!
//! For a **new** type: add its sample to `crates/testkit/src/samples.rs` and run
//! `cargo test --workspace --test library golden_cids::`; the test fails and prints the lines that are missing, ready
//! to be appended.

use std::collections::BTreeMap;

use cim_keys::events::EventData;
use cim_keys::ipld_support::{ContentAddressedEvent, generate_cid};
use cim_keys_testkit::samples;

const GOLDEN: &str = include_str!("golden/cids.txt");

/// Type and schema, and the content identifier that is pinned for them.
fn golden() -> BTreeMap<(String, u32), String> {
    let lines: Vec<_> = GOLDEN.lines().filter(|line| !line.starts_with('#')).collect();
    let pinned: BTreeMap<_, _> = lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let key = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            (key, words.next().unwrap())
        })
        .collect();
    assert_eq!(pinned.len(), lines.len(), "a type and schema has two lines");
    pinned
}

#[test]
fn no_content_identifier_ever_changes() {
    let mut pinned = golden();
    let (mut changed, mut missing) = (String::new(), String::new());
    for event in samples::events() {
        let cid = ContentAddressedEvent::new(event.clone()).unwrap().cid.to_string();
        assert_eq!(cid, generate_cid(&event).unwrap().to_string());
        let line = format!("{} {} {cid}\n", event.event_type(), event.schema());
        match pinned.remove(&(event.event_type().to_owned(), event.schema())) {
            Some(golden) if golden == cid => {}
            Some(_) => changed.push_str(&line),
            None => missing.push_str(&line),
        }
    }
    assert!(changed.is_empty(), "these were pinned with another identifier: give the type a new schema\n{changed}");
    assert!(missing.is_empty(), "append to tests/library/golden/cids.txt, if these types are new:\n{missing}");
    assert!(pinned.is_empty(), "these are pinned and have no sample any more: {pinned:?}");
}

#[test]
fn every_known_type_has_a_sample() {
    let samples: Vec<_> = samples::data()
        .iter()
        .map(|data| (data.aggregate().unwrap(), data.event_type().to_owned(), data.schema()))
        .collect();
    let known: Vec<_> =
        EventData::KNOWN.iter().map(|(aggregate, name, schema)| (*aggregate, (*name).to_owned(), *schema)).collect();
    assert_eq!(samples, known);
}
