//! The store from making a ledger to reading it back.
#![cfg(feature = "store")]
#![allow(clippy::unwrap_used)]

mod store_support;

use std::sync::atomic::Ordering;

use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ipld_support::ContentAddressedEvent;
use cim_keys::ledger::{Command, Kind, NameKey};
use cim_keys::store::*;
use cim_keys::text::Note;
use store_support::*;

#[test]
fn what_is_appended_is_read_back() {
    let place = Place::new();
    let store = place.create();
    assert_eq!(store.end().unwrap(), 2);
    for n in 0..50 {
        let appended = add_person(&store, n).unwrap();
        assert_eq!(appended[0].position, n + 3);
        assert!(appended[0].is_new);
        // The organisation's creation is why a person can be in it.
        assert_eq!(appended[0].event.causes.len(), 1);
    }
    check(&store);
    let newest = store.events(Listing::newest(3)).unwrap();
    assert_eq!(newest.iter().map(|event| event.position).collect::<Vec<_>>(), [52, 51, 50]);
    let from = store.events(Listing::from(51, 10)).unwrap();
    assert_eq!(from.iter().map(|event| event.position).collect::<Vec<_>>(), [51, 52]);
    let all: Vec<_> = store.iter(1).collect::<Result<_, _>>().unwrap();
    assert_eq!(all.len(), 52);
    for recorded in &all {
        assert!(recorded.verify());
        let text = recorded.cid.to_string();
        let which: Vec<Which> = vec![text.parse().unwrap(), recorded.position.to_string().parse().unwrap()];
        for which in which {
            assert_eq!(store.event(&which).unwrap(), *recorded);
        }
        // Some beginning of it is unique.
        let unique = (9..59).find_map(|length| store.event(&text[..length].parse().unwrap()).ok()).unwrap();
        assert_eq!(unique, *recorded);
    }
    assert!(matches!(store.event(&Which::Position(53)), Err(ReadError::NotFound(_))));
    assert!(matches!("bafyreiab".parse::<Which>(), Ok(Which::Prefix(_))));
    for bad in ["", "x", "bafyrei", "bafyreia", "bafyreia!", "BAFYREIABC", "-1", &"bafyrei".repeat(20)] {
        assert!(matches!(bad.parse::<Which>(), Err(ReadError::NotAnEvent(_))), "{bad}");
    }

    let (size, root) = store.root(None).unwrap();
    store.close().unwrap();
    let names: Vec<_> = std::fs::read_dir(place.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "only the ledger and the tokens are left: {names:?}");
    let store = place.open();
    assert_eq!(store.root(Some(size)).unwrap(), (size, root));
    let found = store
        .view(|view| view.find(&NameKey::email(&"PERSON7@acme.example".parse().unwrap()), 2).unwrap().pop().unwrap());
    assert_eq!(found.unwrap().facts.name().unwrap().as_str(), "Person 7");
    let list = store.view(|view| view.list(Kind::Person, None, 1_000).unwrap()).unwrap();
    assert_eq!(list.len(), 50);
}

#[test]
fn a_prefix_of_several_is_named_as_such() {
    let place = Place::new();
    let store = place.create();
    for n in 0..200 {
        add_person(&store, n).unwrap();
    }
    // 202 events and 1,024 beginnings of nine characters: some beginning is shared.
    let mut texts: Vec<_> = store.iter(1).map(|event| event.unwrap().cid.to_string()).collect();
    texts.sort();
    let shared = texts.windows(2).find(|pair| pair[0][..9] == pair[1][..9]).unwrap();
    let error = store.event(&shared[0][..9].parse().unwrap()).unwrap_err();
    assert!(matches!(error, ReadError::Ambiguous { .. }), "{error}");
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let place = Place::new();
    let store = place.create();
    let commands = vec![Command::CreatePerson(person(1)), Command::CreatePerson(person(1))];
    assert!(matches!(store.execute(context(), commands), Err(AppendError::Refused(_))));
    assert_eq!(store.end().unwrap(), 2);
    // What is so already leads to no event.
    assert!(store.append(context(), |_| Ok(Vec::new())).unwrap().is_empty());

    let at = AppendContext { expected_position: Some(2), ..context() };
    store.execute(at.clone(), vec![Command::CreatePerson(person(2))]).unwrap();
    let moved = store.execute(at, vec![Command::CreatePerson(person(3))]).unwrap_err();
    assert!(matches!(moved, AppendError::Moved { expected: 2, actual: 3 }), "{moved}");
    check(&store);
}

#[test]
fn raw_blocks_are_kept_with_what_links_to_them() {
    let place = Place::new();
    let store = place.create();
    let manifest = b"[organization]\nname = \"Acme\"\n".to_vec();
    let cid = cim_keys::ipld_support::cid_of_blob(&manifest);
    let event = ManifestApplied { manifest: Link::new(cid).unwrap(), name: name("acme.toml") };
    let with_blob = AppendContext { blobs: vec![manifest.clone()], ..context() };
    store.execute(with_blob.clone(), vec![Command::RecordManifest(event.clone())]).unwrap();
    store.execute(with_blob, vec![Command::RecordManifest(event)]).unwrap();
    assert_eq!(store.blob(&cid).unwrap(), Some(manifest));
    check(&store);
}

#[test]
fn time_never_goes_back_and_a_day_is_asked_about() {
    let place = Place::new();
    let store = place.create();
    let last = store.events(Listing::newest(1)).unwrap()[0].event().unwrap().occurred_at;
    // A clock that is a little behind: the last event's time counts.
    place.clock.fetch_sub(3_600_000_000, Ordering::SeqCst);
    assert_eq!(add_person(&store, 1).unwrap()[0].event.occurred_at, last);
    for jump in [-86_400_000_000 * 3_i64 - 3_600_000_000, 86_400_000_000 * 400 + 3_600_000_000] {
        place.clock.store(START + jump, Ordering::SeqCst);
        let error = add_person(&store, 2).unwrap_err();
        assert!(matches!(error, AppendError::TimeJump { .. }), "{error}");
        assert!(error.to_string().contains(if jump < 0 { "3 days after it" } else { "400 days before it" }), "{error}");
    }
    let confirmed = AppendContext { allow_time_jump: true, ..context() };
    place.clock.store(START - 86_400_000_000 * 3, Ordering::SeqCst);
    let appended = store.execute(confirmed.clone(), vec![Command::CreatePerson(person(3))]).unwrap();
    assert_eq!(appended[0].event.occurred_at, last, "also when confirmed, time does not go back");
    place.clock.store(START + 86_400_000_000 * 400, Ordering::SeqCst);
    let appended = store.execute(confirmed, vec![Command::CreatePerson(person(4))]).unwrap();
    assert!(appended[0].event.occurred_at > last);
    check(&store);
}

#[test]
fn ready_made_events_are_recorded_once() {
    let place = Place::new();
    let store = place.create();
    let event = ready(person(1), START + 5_000_000);
    let first = store.record(vec![addressed(event.clone())], Vec::new()).unwrap();
    assert!(first[0].is_new);
    let again = store.record(vec![addressed(event.clone())], Vec::new()).unwrap();
    assert_eq!((again[0].position, again[0].cid, again[0].is_new), (3, first[0].cid, false));

    let mut other = event.clone();
    other.data = person(2).into();
    let error = store.record(vec![addressed(other)], Vec::new()).unwrap_err();
    assert!(matches!(error, AppendError::Conflict { position: 3, .. }), "{error}");

    let early = ready(person(2), START);
    let error = store.record(vec![addressed(early)], Vec::new()).unwrap_err();
    assert!(matches!(error, AppendError::OutOfOrder { .. }), "{error}");

    let mut orphan = ready(person(2), START + 6_000_000);
    orphan.causes = vec![Link::new(cim_keys::ipld_support::generate_cid("nothing").unwrap()).unwrap()];
    let error = store.record(vec![addressed(orphan)], Vec::new()).unwrap_err();
    assert!(matches!(error, AppendError::UnknownCause { .. }), "{error}");
    assert_eq!(store.end().unwrap(), 3);
    check(&store);
}

#[test]
fn events_of_a_newer_release_are_kept_and_decided_on_never() {
    let place = Place::new();
    let store = place.create();
    let kim = person(1);
    let created = store.execute(context(), vec![Command::CreatePerson(kim.clone())]).unwrap();
    let data = serde_json::from_str(r#"{"badge": "lost"}"#).unwrap();
    let unknown = UnknownEvent { event_type: "PersonBadgeLost".into(), schema: 3, data };
    let mut event = ready(EventData::Unknown(unknown), START + 60_000_000);
    event.causes = vec![Link::new(created[0].cid).unwrap()];
    let event = ContentAddressedEvent::new(event).unwrap();
    let event = *ReadyEvent::new(event).unwrap_err();
    let event = ReadyEvent { event, aggregate: "person".parse().unwrap() };
    place.clock.store(START + 70_000_000, Ordering::SeqCst);
    let appended = store.record(vec![event], Vec::new()).unwrap();
    let leave = PersonDeactivated { person_id: kim.person_id, reason: Note::new("left").unwrap() };
    let refused = store.execute(context(), vec![Command::DeactivatePerson(leave)]).unwrap_err().to_string();
    assert!(refused.contains(&appended[0].cid.to_string()), "{refused}");
    assert_eq!(store.event(&Which::Position(4)).unwrap().aggregate, "person");
    check(&store);
    store.rebuild().unwrap();
    check(&store);
}

#[test]
fn concurrent_appends_are_all_there_and_the_refused_are_not() {
    let place = Place::new();
    let store = place.create();
    let mut results: Vec<(u64, bool)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_u64)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    // Each address is asked for by two threads.
                    (0..25)
                        .map(|n| (thread / 2 * 25 + n, add_person(store, thread / 2 * 25 + n).is_ok()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    results.sort_unstable();
    for pair in results.chunks(2) {
        assert_eq!((pair[0].1, pair[1].1), (false, true), "one of two gets the address {}", pair[0].0);
    }
    assert_eq!(store.end().unwrap(), 2 + 200);
    check(&store);
    store.rebuild().unwrap();
    check(&store);
}

#[test]
fn what_is_refused_half_way_leaves_no_trace_among_others() {
    let place = Place::new();
    let store = place.create();
    add_person(&store, 0).unwrap();
    let start = store.end().unwrap();
    std::thread::scope(|scope| {
        for thread in 1..=16_u64 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20 {
                    let number = thread * 1_000 + n;
                    // The second of them asks for an address that is taken, when the first is written already.
                    let pair = [person(number), person(0)].map(Command::CreatePerson).to_vec();
                    let refused = store.execute(context(), pair);
                    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
                    add_person(store, number).unwrap();
                }
            });
        }
    });
    assert_eq!(store.end().unwrap(), start + 16 * 20);
    check(&store);
}

#[test]
fn a_panic_in_a_decision_is_no_harm_to_others() {
    let place = Place::new();
    let store = place.create();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = store.append(context(), |_| panic!("a bug in a decision"));
    }));
    assert!(panicked.is_err());
    add_person(&store, 1).unwrap();
    check(&store);
}

#[test]
fn a_ledger_is_made_once_and_only_whole() {
    let place = Place::new();
    let refused = vec![Command::CreatePerson(person(1))];
    assert!(Store::create(place.options(), context(), ledger_created(), refused).is_err());
    assert!(!place.database().exists());
    drop(place.create());
    let again = Store::create(place.options(), context(), ledger_created(), Vec::new());
    assert!(matches!(again, Err(CreateError::Exists(_))));
    assert!(matches!(Store::open(place.options_at(&place.dir.path().join("other.db"))), Err(OpenError::Missing(_))));
    let id = place.open().identity().ledger_id;
    assert_ne!(id, LedgerId::from_uuid(uuid::Uuid::nil()));
    assert_eq!(place.open().identity().source.as_str(), "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
}
