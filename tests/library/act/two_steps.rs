//! Acts in two steps: the first is durable before the signature, which is made once.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use cim_keys::act::*;
use cim_keys::policy;
use cim_keys::store::*;
use cim_keys_testkit::again;

use crate::act::support::doubles::*;
use crate::act::support::watched::*;
use crate::act::support::*;

#[test]
fn the_first_step_is_durable_before_the_signature_which_is_made_once() {
    let ledger = Ledger::in_custody();
    let (other, (ring, seen)) = (ledger.other(), Watched::new(ledger.ring()));
    let publisher = Counting::new(Publication::Waiting { events: Some(3), obstacle: Obstacle::NotConfigured });
    let (before, own_key) = (ledger.store.end().unwrap(), ledger.own_key.clone());
    let (mut signed, mut announced, mut concluded) = (0, 0, 0);
    let intent = intent();
    let mut pipeline = ledger.pipeline().with_keys(ring).with_publisher(publisher.clone());
    let outcome = pipeline.act_in_two_steps(
        &intent,
        |draft| {
            announced += 1;
            if announced == 1 {
                record(&other, vec![create_person(1)]);
            }
            draft.command(create_person(100)).map_err(broken)
        },
        |_, signers| {
            signed += 1;
            let reader = Store::open_read_only(ledger.options()).unwrap();
            let last = reader.events(Listing::newest(1)).unwrap().remove(0);
            assert_eq!(last.position, before + 2);
            assert_eq!(last.event().unwrap().correlation_id, intent.correlation_id);
            assert_eq!(publisher.times(), 0);
            record(&other, vec![create_person(2)]);
            signers.signer(&own_key).map_err(broken)?.sign(b"a certificate").map_err(broken)
        },
        |draft, _, signature| {
            concluded += 1;
            assert_eq!(signature.len(), 64);
            if concluded < 3 {
                record(&other, vec![create_person(10 + concluded)]);
            }
            draft.command(create_person(101)).map_err(broken)
        },
    );
    let outcome = outcome.unwrap();
    drop(pipeline);
    assert_eq!((announced, signed, concluded), (2, 1, 3));
    assert_eq!(seen.signatures(), 1);
    let positions: Vec<_> = outcome.events.iter().map(|event| event.position).collect();
    assert_eq!(positions, [before + 2, before + 6]);
    assert!(outcome.events.iter().all(|event| event.event.correlation_id == intent.correlation_id));
    assert_eq!((publisher.times(), outcome.publication), (1, publisher.says));
    ledger.check_two_steps();
}

#[test]
fn a_failure_in_between_says_what_has_begun() {
    let ledger = Ledger::in_custody();
    let publisher = Counting::new(Publication::Waiting { events: Some(1), obstacle: Obstacle::NotConfigured });
    let before = ledger.store.end().unwrap();
    let mut pipeline = ledger.pipeline().with_publisher(publisher.clone());
    let announce = |draft: &mut Draft<'_>| draft.command(create_person(100)).map_err(broken);
    let outcome: Result<Outcome<()>, _> =
        pipeline.act_in_two_steps(&intent(), announce, |_, _| Err::<(), _>(broken("no card")), |_, _, ()| Ok(()));
    let Err(ActError::Unfinished { source, begun }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&*source, ActError::Build(Broken(what)) if what == "no card"), "{source}");
    assert_eq!(begun.events.iter().map(|event| event.position).collect::<Vec<_>>(), [before + 1]);
    // What is recorded is published, whatever came after it.
    assert_eq!((publisher.times(), &begun.publication), (1, &publisher.says));

    // The second step is refused.
    let again = person(100);
    let outcome: Result<Outcome<usize>, _> = pipeline.act_in_two_steps(
        &intent(),
        |draft| draft.command(create_person(101)).map_err(broken),
        |_, _| Ok(()),
        |draft, _, ()| draft.command(cim_keys::ledger::Command::CreatePerson(again.clone())).map_err(broken),
    );
    let Err(ActError::Unfinished { source, begun }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&*source, ActError::Build(_)), "{source}");
    assert_eq!((begun.events.len(), ledger.store.end().unwrap()), (1, before + 2));
    assert_eq!(publisher.times(), 2);

    // The first step is refused: nothing has begun.
    let outcome: Result<Outcome<()>, _> = pipeline.act_in_two_steps(
        &intent(),
        |_| Err::<(), _>(broken("not today")),
        |(), _| -> Result<(), Broken> { panic!("nothing is to be signed") },
        |_, (), ()| Ok(()),
    );
    assert!(matches!(outcome, Err(ActError::Build(_))), "{outcome:?}");
    assert_eq!(publisher.times(), 2);
    drop(pipeline);
    ledger.check_two_steps();
}

#[test]
fn the_publisher_is_woken_for_a_first_step_that_nothing_follows() {
    let ledger = Ledger::in_custody();
    let publisher = Counting::new(Publication::Published { server: "n1".to_owned(), events: 1, parked: 0 });
    let mut pipeline = ledger.pipeline().with_publisher(publisher.clone());
    let outcome = pipeline.act_in_two_steps(
        &intent(),
        |draft| draft.command(create_person(100)).map_err(broken),
        |_, _| Ok(()),
        |_, _, ()| Ok(()),
    );
    let outcome = outcome.unwrap();
    assert_eq!((outcome.events.len(), publisher.times()), (1, 1));
    assert_eq!(outcome.publication, publisher.says);
    // Where neither step records anything, nobody is woken.
    let outcome = pipeline.act_in_two_steps(&intent(), |_| Ok::<_, Broken>(()), |(), _| Ok(()), |_, (), ()| Ok(()));
    assert_eq!((outcome.unwrap().publication, publisher.times()), (Publication::Nothing, 1));
}

#[test]
fn a_panic_in_the_first_step_leaves_the_publisher_in_place() {
    let ledger = Ledger::in_custody();
    let publisher = Counting::new(Publication::Waiting { events: Some(1), obstacle: Obstacle::NotConfigured });
    let mut pipeline = ledger.pipeline().with_publisher(publisher.clone());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pipeline.act_in_two_steps(
            &intent(),
            |_| -> Result<(), Broken> { panic!("a defect of a use case") },
            |(), _| Ok(()),
            |_, (), ()| Ok(()),
        )
    }));
    assert!(panicked.is_err());
    let outcome = pipeline.act(&intent(), |draft| draft.command(create_person(1))).unwrap();
    assert_eq!((outcome.publication, publisher.times()), (publisher.says.clone(), 1));
    drop(pipeline);
    ledger.check();
}

/// Not a test: the process that is killed between the steps.
#[test]
fn child_that_is_killed_between_the_steps() {
    let Some(folder) = again::place() else { return };
    let clock = Arc::new(AtomicI64::new(START + 60_000_000));
    let store = Store::open(options(&folder.join("ledger.db"), &folder.join("tokens"), &clock)).unwrap();
    let _ = Pipeline::new(&store, policy::built_in()).act_in_two_steps(
        &intent(),
        |draft| draft.command(create_person(100)).map_err(broken),
        |_, _| -> Result<(), Broken> { std::process::abort() },
        |draft, _, ()| draft.command(create_person(101)).map_err(broken),
    );
}

#[test]
fn killed_between_the_steps_the_first_is_recorded_and_the_second_is_not() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    again::dies(module_path!(), "child_that_is_killed_between_the_steps", ledger.dir.path());
    let added = ledger.store.events(Listing::from(before + 1, 10)).unwrap();
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].event().unwrap().data.event_type(), "PersonCreated");
    ledger.check();
    ledger.record(vec![create_person(1)]);
    ledger.check();
}
