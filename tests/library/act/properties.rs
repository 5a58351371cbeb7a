//! Random acts come to what their decisions come to, event by event.

use cim_keys::act::*;
use cim_keys::app::attest::{self, Enrollment};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::KeyKind;
use cim_keys::ledger::{Command, Kind, State, View, decide_all};
use cim_keys::session::signatures;
use cim_keys::store::*;
use cim_keys::text::Recipient;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::act::support::vault::*;
use crate::act::support::*;

/// What an act is made of: what happens to one of a few people and units.
#[derive(Debug, Clone, Copy)]
enum Step {
    Create(u64),
    Deactivate(u64),
    Reactivate(u64),
    Unit(u64),
    Rename(u64, u64),
    Dissolve(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = 0..4_u64;
    let step = prop_oneof![
        3 => some.clone().prop_map(Step::Create),
        1 => some.clone().prop_map(Step::Deactivate),
        1 => some.clone().prop_map(Step::Reactivate),
        2 => some.clone().prop_map(Step::Unit),
        1 => (some.clone(), some.clone()).prop_map(|(unit, to)| Step::Rename(unit, to)),
        1 => some.prop_map(Step::Dissolve),
    ];
    proptest::collection::vec(step, 1..5)
}

/// The identifier of the n-th person or unit.
fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(n: u64) -> T {
    format!("01890a5d-ac96-774b-8000-0000000001{n:02}").parse().unwrap()
}

fn command(step: Step) -> Command {
    let organization_id = acme().organization_id;
    match step {
        Step::Create(n) => Command::CreatePerson(PersonCreated { person_id: id(n), ..person(n) }),
        Step::Deactivate(n) => Command::DeactivatePerson(PersonDeactivated { person_id: id(n), reason: note("left") }),
        Step::Reactivate(n) => {
            Command::ReactivatePerson(PersonReactivated { person_id: id(n), reason: note("came back") })
        }
        Step::Unit(n) => Command::CreateUnit(OrganizationalUnitCreated {
            unit_id: id(10 + n),
            organization_id,
            parent_id: None,
            name: name(&format!("Unit {n}")),
            description: None,
        }),
        Step::Rename(n, to) => Command::UpdateUnit(OrganizationalUnitUpdated {
            unit_id: id(10 + n),
            organization_id,
            parent_id: None,
            name: name(&format!("Unit {to}")),
            description: None,
        }),
        Step::Dissolve(n) => {
            Command::DissolveUnit(OrganizationalUnitDissolved { unit_id: id(10 + n), reason: note("merged") })
        }
    }
}

/// All that is recorded, folded.
fn state(store: &Store) -> State {
    let mut state = State::new();
    for recorded in store.iter(1) {
        let recorded = recorded.unwrap();
        state.fold(&recorded.event().unwrap(), recorded.cid).unwrap();
    }
    state
}

/// The tables of entities are what the events come to.
#[track_caller]
fn same_entities(store: &Store) {
    let state = state(store);
    for kind in [Kind::Organization, Kind::Unit, Kind::Person, Kind::Key, Kind::Attestation] {
        let folded = state.list(kind, None, 1_000).unwrap();
        let there = store.view(|view| view.list(kind, None, 1_000)).unwrap().unwrap();
        assert_eq!(format!("{folded:?}"), format!("{there:?}"));
    }
}

/// One act, through the pipeline and through the decisions alone.
fn one(ledger: &Ledger, intent: &Intent, steps: &[Step]) {
    let commands: Vec<_> = steps.iter().copied().map(command).collect();
    let (before, end) = (state(&ledger.store), ledger.store.end().unwrap());
    let outcome = ledger.pipeline().act(intent, |draft| draft.commands(commands.clone()));
    match (decide_all(&before, &commands), outcome) {
        (Ok(drafts), Ok(outcome)) => {
            let is_signature = |event: &&AppendedEvent| event.event.event_type() == "EventAttested";
            let (signatures, events): (Vec<_>, Vec<_>) = outcome.events.iter().partition(is_signature);
            let data: Vec<_> = events.iter().map(|event| event.event.data.clone()).collect();
            assert_eq!(data, drafts.into_iter().map(|draft| draft.data).collect::<Vec<_>>());
            match &intent.signer {
                None => assert!(signatures.is_empty()),
                // Each event is followed by the signature over it.
                Some(_) => {
                    assert_eq!(signatures.len(), events.len());
                    for pair in outcome.events.chunks(2) {
                        let EventData::EventAttested(attested) = &pair[1].event.data else { panic!("{pair:?}") };
                        assert_eq!(*attested.event.cid(), pair[0].cid);
                        let found = signatures::signatures(&ledger.store, &pair[0].cid).unwrap();
                        assert_eq!(found[0].verdict, signatures::Verdict::Good);
                    }
                }
            }
            let positions = outcome.events.iter().map(|event| event.position);
            assert!(positions.eq(end + 1..=ledger.store.end().unwrap()));
            for event in &outcome.events {
                assert_eq!(event.event.correlation_id, intent.correlation_id);
                assert_eq!(event.event.occurred_at, outcome.events[0].event.occurred_at);
                assert!(event.is_new);
            }
        }
        (Err((_, refusal)), Err(ActError::Build(error))) => {
            assert_eq!(refusal.to_string(), error.to_string());
            assert_eq!(ledger.store.end().unwrap(), end);
        }
        (decided, outcome) => panic!("{decided:?}, {outcome:?}"),
    }
    same_entities(&ledger.store);
    ledger.check();
}

fn run(cases: u32, check: impl Fn(&[Vec<Step>])) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&proptest::collection::vec(steps(), 1..8), |acts| {
            check(&acts);
            Ok(())
        })
        .unwrap();
}

#[test]
fn unsigned_acts_come_to_what_their_decisions_come_to() {
    run(12, |acts| {
        let ledger = Ledger::in_ring(&mut Vault::new());
        for steps in acts {
            one(&ledger, &intent(), steps);
        }
    });
}

#[test]
fn signed_acts_come_to_the_same_with_a_signature_behind_each_event() {
    run(8, |acts| {
        let mut vault = Vault::new();
        let ledger = Ledger::in_ring(&mut vault);
        let ada: PersonId = person(50).person_id;
        ledger.act(&mut vault, |draft| {
            draft.command(Command::CreatePerson(PersonCreated { person_id: ada, ..person(50) }))?;
            let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).map_err(broken)?;
            let (kind, compartment) = (KeyKind::Ed25519, label("own"));
            let new = Enrollment { person: ada, name: name("acts"), kind, compartment, validity: Validity::ALWAYS };
            attest::enroll(draft, recipient, &new).map_err(broken)
        });
        let now = cim_keys::time::Timestamp::from_unix_micros(START + 1_000_000).unwrap();
        let key = ledger.store.view(|view| attest::act_key(view, &ada.to_string(), now)).unwrap().unwrap();
        let signer = key.signer(&mut vault).unwrap();
        for steps in acts {
            let signed = Intent { signer: Some(signer.clone()), ..Intent::new(Actor::Person(ada)) };
            one(&ledger, &signed, steps);
        }
    });
}
