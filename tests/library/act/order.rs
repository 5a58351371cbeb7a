//! No person and no key is waited for within a write transaction; heads, publishing, and the clock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cim_keys::act::*;
use cim_keys::events::*;
use cim_keys::keys::KeyRing as _;
use cim_keys::store::*;

use crate::act::support::doubles::*;
use crate::act::support::watched::*;
use crate::act::support::*;

const DAY: i64 = 86_400_000_000;

/// Another connection can write now, without waiting.
#[track_caller]
fn others_can_write(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
}

#[test]
fn others_can_write_while_a_person_or_a_key_is_waited_for() {
    let ledger = Ledger::in_custody();
    let (ring, seen) = Watched::new(ledger.ring());
    let database: PathBuf = ledger.place().database();
    let at_signing = database.clone();
    seen.before_signing(move |_| others_can_write(&at_signing));
    let at_asking = database.clone();
    let person = Person::who(move |_| {
        others_can_write(&at_asking);
        Answer::Yes
    });
    let own = ledger.own_key.clone();
    let mut pipeline = ledger.pipeline().with_keys(ring).with_front(person.clone());
    let outcome = pipeline.act(&intent(), |draft| {
        others_can_write(&database);
        draft.ask(Question::new("Go on?", "nothing was done"));
        let created = person_of(1);
        let (placeholder, own) = (created.0.clone(), own.clone());
        draft.sign_commands([placeholder], move |signing| {
            signing.signer(&own)?.sign(b"something")?;
            Ok(vec![SignedCommand { command: created.0, data: vec![created.1] }])
        })
    });
    assert_eq!(outcome.unwrap().events.len(), 1);
    assert_eq!((seen.signatures(), person.asked().len()), (1, 1));
    // In the second of two steps as in the first.
    let outcome = pipeline.act_in_two_steps(
        &intent(),
        |draft| draft.command(create_person(2)).map_err(broken),
        |_, signers| {
            others_can_write(&database);
            signers.signer(&own).map_err(broken)?.sign(b"a certificate").map_err(broken)
        },
        |draft, _, _| draft.command(create_person(3)).map_err(broken),
    );
    assert_eq!((outcome.unwrap().events.len(), seen.signatures()), (2, 2));
    drop(pipeline);
    ledger.check_two_steps();
}

fn person_of(n: u64) -> (cim_keys::ledger::Command, EventData) {
    let created = person(n);
    (cim_keys::ledger::Command::CreatePerson(created.clone()), created.into())
}

#[test]
fn others_can_write_while_the_signer_of_an_act_signs() {
    let ledger = Ledger::in_custody();
    let mut ring = ledger.ring();
    let (_, events) = ledger.act(&mut ring, |draft| {
        draft.command(create_person(1))?;
        generate(draft, "acts")
    });
    let key = ledger.key("acts");
    let EventData::PersonCreated(ada) = &events[0].event.data else { panic!("{events:?}") };
    let (mut watched, seen) = Watched::new(ring);
    let signer = watched.signer(&cim_keys::authority::keys::reference(&key)).unwrap();
    let database = ledger.place().database();
    seen.before_signing(move |_| others_can_write(&database));
    let party = Party::Person(ada.person_id);
    let signer = ActSigner { party, key_id: key.key_id, signer, scope: Scope::EveryEvent };
    let signed = Intent { signer: Some(signer), ..Intent::new(Actor::Person(ada.person_id)) };
    let outcome = ledger.pipeline().act(&signed, |draft| draft.command(create_person(2)));
    // A key of the service's signs nothing in a person's name.
    assert!(matches!(outcome, Err(ActError::Refused(_))), "{outcome:?}");
    assert_eq!(seen.signatures(), 1);
    ledger.check();
}

#[test]
fn the_ledger_can_be_read_while_an_act_is_drafted_asked_about_and_signed() {
    let ledger = Ledger::in_custody();
    let store = Arc::new(ledger.other());
    let reads = |store: &Store| {
        assert!(store.view(|view| view.list(cim_keys::ledger::Kind::Person, None, 9).is_ok()).unwrap());
        store.events(Listing::newest(1)).unwrap().len()
    };
    let asked = Arc::clone(&store);
    let person = Person::who(move |_| {
        assert_eq!(reads(&asked), 1);
        Answer::Yes
    });
    let (ring, seen) = Watched::new(ledger.ring());
    let signing = Arc::clone(&store);
    seen.before_signing(move |_| assert_eq!(reads(&signing), 1));
    let own = ledger.own_key.clone();
    let mut pipeline = Pipeline::new(&*store, cim_keys::policy::built_in()).with_keys(ring).with_front(person);
    let outcome = pipeline.act(&intent(), |draft| {
        draft.ask(Question::new("Go on?", "nothing was done"));
        assert_eq!(reads(&store), 1);
        // As it is read in another thread.
        std::thread::scope(|scope| scope.spawn(|| reads(&store)).join().unwrap());
        let created = person_of(1);
        let (placeholder, own) = (created.0.clone(), own.clone());
        draft.sign_commands([placeholder], move |signing| {
            signing.signer(&own)?.sign(b"something")?;
            Ok(vec![SignedCommand { command: created.0, data: vec![created.1] }])
        })
    });
    assert_eq!((outcome.unwrap().events.len(), seen.signatures()), (1, 1));
    ledger.check();
}

#[test]
fn the_head_is_signed_when_the_compartment_is_open_and_counted_otherwise() {
    let ledger = Ledger::in_custody();
    let signed = ledger.store.end().unwrap();
    for n in 1..=3 {
        let mut pipeline = ledger.pipeline().with_keys(ledger.closed_ring());
        let outcome = pipeline.act(&intent(), |draft| draft.command(create_person(n))).unwrap();
        assert_eq!(outcome.head, Head::Unsigned { events: n });
    }
    // A ring that could ask for the passphrase does not, for a head alone.
    let mut ring = ledger.ring();
    let outcome = ledger.pipeline().with_keys(&mut ring).act(&intent(), |draft| draft.command(create_person(4)));
    assert_eq!(outcome.unwrap().head, Head::Unsigned { events: 4 });
    ring.signer(&ledger.own_key).unwrap();
    let outcome = ledger.pipeline().with_keys(&mut ring).act(&intent(), |draft| draft.command(create_person(5)));
    assert_eq!(outcome.unwrap().head, Head::Signed { events: signed + 5 });
    let head = ledger.store.latest_checkpoint().unwrap().unwrap();
    assert_eq!(head.size(), signed + 5);
    head.verify(&ledger.store.verifier_key().unwrap()).unwrap();
    // Where there is nothing to record, the head stays.
    let outcome = ledger.pipeline().with_keys(&mut ring).act(&intent(), |_| Ok::<_, Broken>(())).unwrap();
    assert_eq!((outcome.head, outcome.events.len()), (Head::Signed { events: signed + 5 }, 0));
    ledger.check();
}

#[test]
fn the_publisher_is_woken_once_and_only_for_what_was_recorded() {
    let ledger = Ledger::in_custody();
    let other = ledger.other();
    let says = Publication::Waiting { events: Some(12), obstacle: Obstacle::Problem("no route to host".to_owned()) };
    let publisher = Counting::new(says.clone());
    let mut pipeline = ledger.pipeline().with_publisher(publisher.clone());
    // Its failure changes nothing about the act, which was drafted twice.
    let mut drafts = 0;
    let outcome = pipeline.act(&intent(), |draft| {
        drafts += 1;
        if drafts == 1 {
            record(&other, vec![create_person(1)]);
        }
        draft.commands([create_person(2), create_person(3)])
    });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events.len(), outcome.publication, publisher.times(), drafts), (2, says, 1, 2));
    // Nothing to record, and what is refused, wake nobody.
    let outcome = pipeline.act(&intent(), |_| Ok::<_, Broken>(7)).unwrap();
    assert_eq!((outcome.value, outcome.publication, publisher.times()), (7, Publication::Nothing, 1));
    assert!(pipeline.act(&intent(), |_| Err::<(), _>(broken("no"))).is_err());
    assert!(pipeline.act(&intent(), |draft| draft.commands([create_person(4), create_person(2)])).is_err());
    assert_eq!(publisher.times(), 1);
    drop(pipeline);
    let outcome = ledger.pipeline().act(&intent(), |draft| draft.command(create_person(5))).unwrap();
    assert_eq!(outcome.publication, Publication::Waiting { events: None, obstacle: Obstacle::NotConfigured });
    ledger.check();
}

#[test]
fn a_clock_that_jumped_is_asked_about_once() {
    // Forward, and back.
    for jump in [3 * DAY, -3 * DAY] {
        let ledger = Ledger::in_custody();
        let (other, before) = (ledger.other(), ledger.store.end().unwrap());
        ledger.clock.fetch_add(jump, Ordering::SeqCst);
        let add = |draft: &mut Draft<'_>| draft.command(create_person(1));

        let outcome = ledger.pipeline().act(&intent(), add);
        assert!(matches!(outcome, Err(ActError::ClockJump { asked: false, .. })), "{outcome:?}");
        for (answer, was_asked) in [(Answer::CannotAsk, false), (Answer::No, true)] {
            let person = Person::yes().about_the_clock(answer);
            let outcome = ledger.pipeline().with_front(person.clone()).act(&intent(), add);
            assert!(matches!(outcome, Err(ActError::ClockJump { asked, .. }) if asked == was_asked), "{outcome:?}");
            assert_eq!(person.clocks(), 1);
        }
        assert_eq!(ledger.store.end().unwrap(), before);
        // An act that comes to nothing is not asked about.
        let person = Person::yes().about_the_clock(Answer::No);
        let nothing = ledger.pipeline().with_front(person.clone()).act(&intent(), |_| Ok::<_, Broken>(()));
        assert_eq!(nothing.unwrap().events.len(), 0);
        assert_eq!(person.clocks(), 0);

        // Accepted once, although the act is drafted twice.
        let person = Person::yes().about_the_clock(Answer::Yes);
        let mut drafts = 0;
        let mut pipeline = ledger.pipeline().with_front(person.clone());
        let outcome = pipeline.act(&intent(), |draft| {
            drafts += 1;
            if drafts == 1 {
                let accepted = Intent { accept_clock: true, ..intent() };
                let mut another = Pipeline::new(&other, cim_keys::policy::built_in());
                assert!(another.act(&accepted, |draft| draft.command(create_person(2))).is_ok());
            }
            draft.command(create_person(3))
        });
        drop(pipeline);
        assert_eq!((outcome.unwrap().events.len(), drafts), (1, 2));
        assert_eq!(person.clocks(), 1);
        // Said beforehand, nobody is asked.
        let accepted = Intent { accept_clock: true, ..intent() };
        let outcome = ledger.pipeline().with_front(Person::yes()).act(&accepted, add).unwrap();
        assert_eq!(outcome.events.len(), 1);
        let times: Vec<_> = ledger.store.iter(1).map(|it| it.unwrap().event().unwrap().occurred_at).collect();
        assert!(times.is_sorted(), "{times:?}");
        ledger.check();
    }
}

#[test]
fn a_clock_that_is_set_back_while_a_person_is_asked_is_asked_about() {
    for answer in [Answer::Yes, Answer::No, Answer::CannotAsk] {
        let ledger = Ledger::in_custody();
        let (before, clock) = (ledger.store.end().unwrap(), std::sync::Arc::clone(&ledger.clock));
        let person = Person::who(move |_| {
            clock.fetch_sub(3 * DAY, Ordering::SeqCst);
            Answer::Yes
        });
        let person = person.about_the_clock(answer);
        let mut pipeline = ledger.pipeline().with_keys(ledger.closed_ring()).with_front(person.clone());
        let outcome = pipeline.act(&intent(), |draft| {
            draft.ask(Question::new("Go on?", "nothing was made"));
            generate(draft, "made")
        });
        drop(pipeline);
        assert_eq!((person.asked().len(), person.clocks()), (1, 1));
        match answer {
            Answer::Yes => assert_eq!(outcome.unwrap().events[0].position, before + 1),
            _ => assert!(matches!(outcome, Err(ActError::ClockJump { .. })), "{outcome:?}"),
        }
        ledger.check();
    }
}

#[test]
fn a_ledger_that_may_only_be_read_is_refused_before_anything_is_drafted() {
    let ledger = Ledger::in_custody();
    let reader = Store::open_read_only(ledger.options()).unwrap();
    let person = Person::yes();
    let mut pipeline = Pipeline::new(&reader, cim_keys::policy::built_in()).with_front(person.clone());
    let outcome = pipeline.act(&intent(), |_| -> Result<(), Broken> { panic!("nothing is to be drafted") });
    assert!(matches!(outcome, Err(ActError::Journal(JournalError::Append(AppendError::NotTheWriter(_))))));
    assert_eq!(person.asked().len(), 0);
}

#[test]
fn a_ledger_is_not_founded_where_one_is() {
    let ledger = Ledger::in_custody();
    let (before, founding) = (ledger.store.end().unwrap(), Founding::new(ledger.options()));
    let (ring, seen) = Watched::new(ledger.ring());
    let mut pipeline = Pipeline::new(&founding, cim_keys::policy::built_in()).with_keys(ring);
    let outcome = pipeline.act(&intent(), |draft| generate(draft, "never"));
    assert!(matches!(outcome, Err(ActError::Journal(JournalError::Create(CreateError::Exists(_))))), "{outcome:?}");
    drop(pipeline);
    assert_eq!((seen.generated(), ledger.store.end().unwrap()), (0, before));
    assert!(founding.into_store().is_err());
    ledger.check();
}
