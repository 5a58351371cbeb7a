//! The store from making a ledger to reading it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cim_keys::act::{ATTEMPTS, ActError, Draft, Evidence, Intent, Pipeline, Policy, Verdict};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ledger::{Command, Kind, NameKey, Refusal, View, ViewError};
use cim_keys::policy;
use cim_keys::store::*;
use cim_keys::text::{Note, PublicKey};

use crate::support::store::*;

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
    assert!(refusal(&act(&store, commands).unwrap_err()).is_some());
    assert_eq!(store.end().unwrap(), 2);
    // What is so already leads to no event.
    assert!(act(&store, Vec::new()).unwrap().is_empty());
    assert_eq!(store.end().unwrap(), 2);
    act(&store, vec![Command::CreatePerson(person(2))]).unwrap();
    check(&store);
}

#[test]
fn an_act_is_decided_anew_when_the_ledger_moves() {
    let place = Place::new();
    let (store, other) = (place.create(), place.open());
    let kim = person(1);
    let (mut attempts, mut seen) = (0, Vec::new());
    // Another one records while this one is drafted: the draft is made again, on what the other recorded.
    let outcome = Pipeline::new(&store, policy::built_in()).act(&intent(), |draft| {
        attempts += 1;
        seen.push((draft.position(), draft.now()));
        if attempts == 1 {
            act(&other, vec![Command::CreatePerson(kim.clone())]).unwrap();
        }
        draft.command(Command::CreatePerson(person(2)))
    });
    let outcome = outcome.unwrap();
    assert_eq!((attempts, outcome.events[0].position), (2, 4));
    assert_eq!(seen.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(seen[0].1, seen[1].1, "the time of an act stays");

    // What the other one recorded forbids it: it is refused on the second attempt, and leaves nothing.
    let mut attempts = 0;
    let refused = Pipeline::new(&store, policy::built_in()).act(&intent(), |draft| {
        attempts += 1;
        let drafted = draft.command(Command::CreatePerson(person(5)));
        if attempts == 1 {
            add_person(&other, 5).unwrap();
        }
        drafted
    });
    assert!(refusal(&refused.unwrap_err()).is_some());
    assert_eq!((attempts, store.end().unwrap()), (2, 5));

    // Others that always come in between.
    let mut next = 100;
    let contended = Pipeline::new(&store, policy::built_in()).act(&intent(), |draft| {
        next += 1;
        add_person(&other, next).unwrap();
        draft.command(Command::CreatePerson(person(6)))
    });
    assert!(matches!(contended, Err(ActError::Contended { attempts: ATTEMPTS })), "{contended:?}");
    assert_eq!(store.end().unwrap(), 5 + ATTEMPTS as u64);
    check(&store);
}

#[test]
fn raw_blocks_are_kept_with_what_links_to_them() {
    let place = Place::new();
    let store = place.create();
    let manifest = b"[organization]\nname = \"Acme\"\n".to_vec();
    let cid = cim_keys::ipld_support::cid_of_blob(&manifest);
    let event = ManifestApplied { manifest: Link::new(cid).unwrap(), name: name("acme.toml") };
    for _ in 0..2 {
        let outcome = Pipeline::new(&store, policy::built_in()).act(&intent(), |draft| {
            draft.keep_blob(manifest.clone());
            draft.command(Command::RecordManifest(event.clone()))
        });
        assert_eq!(outcome.unwrap().events.len(), 1);
    }
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
        assert!(matches!(error, ActError::ClockJump { asked: false, .. }), "{error}");
        assert!(error.to_string().contains(if jump < 0 { "3 days after it" } else { "400 days before it" }), "{error}");
    }
    let confirmed = Intent { accept_clock: true, ..intent() };
    place.clock.store(START - 86_400_000_000 * 3, Ordering::SeqCst);
    let appended = act_with(&store, &confirmed, vec![Command::CreatePerson(person(3))]).unwrap();
    assert_eq!(appended[0].event.occurred_at, last, "also when confirmed, time does not go back");
    place.clock.store(START + 86_400_000_000 * 400, Ordering::SeqCst);
    let appended = act_with(&store, &confirmed, vec![Command::CreatePerson(person(4))]).unwrap();
    assert!(appended[0].event.occurred_at > last);
    check(&store);
}

#[test]
fn ready_made_events_are_recorded_once() {
    let place = Place::new();
    let store = place.create();
    let mirror = mirror_of(&store, place.options_at(&place.dir.path().join("mirror.db")));
    let event = ready(person(1), START + 5_000_000);
    let record = |first, event| mirror.record(first, vec![followed(event)], Vec::new());
    assert_eq!(record(3, event.clone()).unwrap(), 1);
    assert_eq!(record(3, event.clone()).unwrap(), 0, "it is there already");

    let mut other = event.clone();
    other.data = person(2).into();
    let error = record(4, other.clone()).unwrap_err();
    assert!(matches!(error, MirrorError::Append(AppendError::Conflict { position: 3, .. })), "{error}");
    let error = record(3, other).unwrap_err();
    assert!(matches!(error, MirrorError::Fork { position: 3, .. }), "{error}");

    let error = record(4, ready(person(2), START)).unwrap_err();
    assert!(matches!(error, MirrorError::Append(AppendError::OutOfOrder { .. })), "{error}");

    let mut orphan = ready(person(2), START + 6_000_000);
    orphan.causes = vec![Link::new(cim_keys::ipld_support::generate_cid("nothing").unwrap()).unwrap()];
    let error = record(4, orphan).unwrap_err();
    assert!(matches!(error, MirrorError::Append(AppendError::UnknownCause { .. })), "{error}");
    assert_eq!(mirror.store().end().unwrap(), 3);
    check(mirror.store());
}

#[test]
fn events_of_a_newer_release_are_kept_and_decided_on_never() {
    let place = Place::new();
    let store = place.create();
    let kim = person(1);
    let created = act(&store, vec![Command::CreatePerson(kim.clone())]).unwrap();
    let (ledger_id, public_key) = (store.identity().ledger_id, store.identity().public_key.clone());
    store.close().unwrap();
    let data = serde_json::from_str(r#"{"badge": "lost"}"#).unwrap();
    let unknown = UnknownEvent { event_type: "PersonBadgeLost".into(), schema: 3, data };
    let mut event = ready(EventData::Unknown(unknown), START + 60_000_000);
    event.causes = vec![Link::new(created[0].cid).unwrap()];
    place.clock.store(START + 70_000_000, Ordering::SeqCst);

    // It comes into a ledger that was restored, with what is newer than the backup; a newer release recorded that.
    let at = ready(person(2), START).occurred_at;
    mark_restored(&place.database(), &Restoration { backed_up_at: at, restored_at: at, events: 3 }).unwrap();
    let restored = Restored::open(place.options()).unwrap();
    let unknown = followed(event);
    let cid = unknown.cid;
    restored.follower().record(4, vec![unknown], Vec::new()).unwrap();
    let journal = restored.begin();
    let rotated = LedgerKeyRotated {
        ledger_id,
        public_key: PublicKey::new("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap(),
        previous_public_key: public_key,
        reason: Note::new("the machine was lost").unwrap(),
    };
    let head = journal.last().unwrap();
    act_with(&journal, &intent(), vec![Command::RotateLedgerKey { rotated, head }]).unwrap();
    let store = journal.into_store().unwrap();

    let leave = PersonDeactivated { person_id: kim.person_id, reason: Note::new("left").unwrap() };
    let refused = act(&store, vec![Command::DeactivatePerson(leave)]).unwrap_err().to_string();
    assert!(refused.contains(&cid.to_string()), "{refused}");
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
                    let refused = act_with(store, &anywhere(), pair).unwrap_err();
                    assert!(refusal(&refused).is_some(), "{refused:?}");
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
        let bug = |_: &mut Draft<'_>| -> Result<(), Refusal> { panic!("a bug in a decision") };
        let _ = Pipeline::new(&store, policy::built_in()).act(&intent(), bug);
    }));
    assert!(panicked.is_err());
    add_person(&store, 1).unwrap();
    // And within the transaction, where the policy judges once more.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let policy = Arc::new(PanicsAt { judgement: 2, judged: AtomicU64::new(0) });
        let _ = Pipeline::new(&store, policy)
            .act(&intent(), |draft| draft.command(Command::CreatePerson(person(2))).map(|_| ()));
    }));
    assert!(panicked.is_err());
    add_person(&store, 2).unwrap();
    assert_eq!(store.end().unwrap(), 4);
    check(&store);
}

/// A policy with a bug, which comes out at a judgement.
struct PanicsAt {
    judgement: u64,
    judged: AtomicU64,
}

impl Policy for PanicsAt {
    fn judge(&self, _: &dyn View, _: &KeyEvent, _: &Evidence) -> Result<Verdict, ViewError> {
        assert_ne!(self.judged.fetch_add(1, Ordering::SeqCst) + 1, self.judgement, "a bug in a policy");
        Ok(Verdict::Allow)
    }
}

#[test]
fn a_ledger_is_made_once_and_only_whole() {
    let place = Place::new();
    let refused = vec![Command::CreatePerson(person(1))];
    assert!(found(place.options(), ledger_created(), refused).is_err());
    assert!(!place.database().exists());
    drop(place.create());
    let again = found(place.options(), ledger_created(), Vec::new()).err().unwrap();
    assert!(matches!(again, ActError::Journal(JournalError::Create(CreateError::Exists(_)))), "{again}");
    // The first act begins with the ledger itself.
    let founding = Founding::new(place.options_at(&place.dir.path().join("other.db")));
    assert!(act_with(&founding, &intent(), vec![Command::CreateOrganization(acme())]).is_err());
    assert!(founding.into_store().is_err());
    assert!(matches!(Store::open(place.options_at(&place.dir.path().join("other.db"))), Err(OpenError::Missing(_))));
    let id = place.open().identity().ledger_id;
    assert_ne!(id, LedgerId::from_uuid(uuid::Uuid::nil()));
    assert_eq!(place.open().identity().source.as_str(), "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
}
