//! The policy is asked early, for a readable answer, and again within the transaction.

use std::sync::Arc;

use cim_keys::act::*;
use cim_keys::app::attest::{self, Enrollment};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::{KeyKind, KeyRing};
use cim_keys::ledger::Command;
use cim_keys::policy::SignatureRequirement;
use cim_keys::session::signatures;
use cim_keys::store::*;
use cim_keys::text::Recipient;

use crate::act::support::doubles::*;
use crate::act::support::vault::*;
use crate::act::support::watched::*;
use crate::act::support::*;

/// An act that asks a question, makes a key and signs something.
fn everything(draft: &mut Draft<'_>, own: &cim_keys::keys::KeyRef) -> Result<KeyId, Broken> {
    draft.ask(Question::new("Is it to be?", "nothing was made"));
    let key = generate(draft, "made")?;
    let own = own.clone();
    let person = create_person(7);
    let data: EventData = match &person {
        Command::CreatePerson(created) => created.clone().into(),
        other => panic!("{other:?}"),
    };
    draft.sign_commands([person.clone()], move |signing| {
        signing.signer(&own)?.sign(b"something")?;
        Ok(vec![SignedCommand { command: person, data: vec![data] }])
    })?;
    Ok(key.key_id)
}

#[test]
fn what_a_policy_denies_is_neither_asked_nor_signed_nor_sealed() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    for event_type in ["KeyGenerated", "PersonCreated"] {
        for policy in [About::denies(event_type), About::needs_approval(event_type)] {
            let ((ring, seen), person) = (Watched::new(ledger.ring()), Person::yes());
            let mut pipeline = ledger.under(policy.clone()).with_keys(ring).with_front(person.clone());
            let outcome: Result<Outcome<_>, Refused> =
                pipeline.act(&intent(), |draft| everything(draft, &ledger.own_key));
            match outcome {
                Err(ActError::Denied(denial)) => assert!(denial.event_type == event_type && !policy.asks_approval()),
                Err(ActError::NeedsApproval(denial)) => {
                    assert!(denial.event_type == event_type && policy.asks_approval());
                    assert_eq!(denial.to_string(), "the test does not want it");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!((seen.signatures(), seen.sealed(), person.asked().len()), (0, 0, 0));
            assert_eq!(policy.judged(), 1);
        }
    }
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.check();
}

#[test]
fn a_policy_that_changes_its_mind_within_the_transaction_has_the_last_word() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    for event_type in ["KeyGenerated", "PersonCreated"] {
        for policy in [About::denies(event_type), About::needs_approval(event_type)] {
            let ((ring, seen), person) = (Watched::new(ledger.ring()), Person::yes());
            let policy = policy.after(1);
            let mut pipeline = ledger.under(policy.clone()).with_keys(ring).with_front(person.clone());
            let outcome: Result<Outcome<_>, Refused> =
                pipeline.act(&intent(), |draft| everything(draft, &ledger.own_key));
            drop(pipeline);
            match outcome {
                Err(ActError::Denied(_)) => assert!(!policy.asks_approval()),
                Err(ActError::NeedsApproval(_)) => assert!(policy.asks_approval()),
                other => panic!("{other:?}"),
            }
            assert_eq!((policy.judged(), person.asked().len(), seen.signatures()), (2, 1, 1));
            // What was sealed beside the transaction is removed again.
            assert_eq!((seen.sealed(), seen.undone()), (1, 1));
            assert_eq!(ledger.store.end().unwrap(), before);
            ledger.check();
        }
    }
}

#[test]
fn the_rest_of_an_act_is_not_recorded_without_the_part_that_is_denied() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    // The third person is denied, in the transaction.
    let policy = About::denies("PersonCreated").after(5);
    let mut pipeline = ledger.under(policy);
    let outcome = pipeline.act(&intent(), |draft| draft.commands((0..3).map(create_person)));
    assert!(matches!(outcome, Err(ActError::Denied(_))), "{outcome:?}");
    assert_eq!(ledger.store.end().unwrap(), before);
    // The store goes on.
    ledger.record(vec![create_person(9)]);
    ledger.check();
}

/// A person with a key of their own that lies in a vault.
fn enroll(ledger: &Ledger, vault: &mut dyn KeyRing) -> (PersonId, ActSigner) {
    let person = person(1);
    let id = person.person_id;
    ledger.act(vault, |draft| {
        draft.command(Command::CreatePerson(person.clone()))?;
        let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).map_err(broken)?;
        let (kind, compartment) = (KeyKind::Ed25519, label("own"));
        let new = Enrollment { person: id, name: name("acts"), kind, compartment, validity: Validity::ALWAYS };
        attest::enroll(draft, recipient, &new).map_err(broken)
    });
    let now = cim_keys::time::Timestamp::from_unix_micros(START + 1_000_000).unwrap();
    let key = ledger.store.view(|view| attest::act_key(view, &id.to_string(), now)).unwrap().unwrap();
    (id, key.signer(vault).unwrap())
}

fn signed_by(person: PersonId, signer: &ActSigner) -> Intent {
    Intent { signer: Some(signer.clone()), ..Intent::new(Actor::Person(person)) }
}

#[test]
fn required_signatures_are_asked_for_early_and_acts_that_bear_them_pass() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (ada, signer) = enroll(&ledger, &mut vault);
    let demand = Command::RequireSignatures(SignaturesRequired {
        event_types: [label("PersonCreated")].into_iter().collect(),
        reason: note("agreed"),
    });
    // The requirement itself has to be signed.
    let outcome = ledger.pipeline().act(&intent(), |draft| draft.command(demand.clone()));
    assert!(matches!(outcome, Err(ActError::Denied(_))), "{outcome:?}");
    let signed = || signed_by(ada, &signer);
    ledger.act_as(&signed(), &mut vault, |draft| Ok(draft.command(demand.clone())?));

    let person = Person::yes();
    let mut pipeline = ledger.pipeline().with_front(person.clone());
    let outcome = pipeline.act(&intent(), |draft| {
        draft.ask(Question::new("Add?", "nobody was added"));
        draft.command(create_person(2))
    });
    let Err(ActError::Denied(denial)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((denial.event_type.as_str(), person.asked().len()), ("PersonCreated", 0));
    drop(pipeline);
    let (_, events) = ledger.act_as(&signed(), &mut vault, |draft| Ok(draft.commands((3..5).map(create_person))?));
    assert_eq!(types(&events), ["PersonCreated", "EventAttested", "PersonCreated", "EventAttested"]);
    for pair in events.chunks(2) {
        let found = signatures::signatures(&ledger.store, &pair[0].cid).unwrap();
        assert!(found.len() == 1 && found[0].vouches_for(&Actor::Person(ada)));
    }
    // What is not named needs no signature.
    ledger.act(&mut vault, |draft| generate(draft, "unsigned"));
    let policy = Arc::new(SignatureRequirement);
    assert!(Pipeline::new(&ledger.store, policy).act(&intent(), |draft| draft.command(create_person(6))).is_err());
}

#[test]
fn a_policy_is_told_of_each_event_whether_it_is_signed() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (ada, signer) = enroll(&ledger, &mut vault);
    let told = Told::default();
    let mut pipeline = ledger.under(told.clone());
    assert!(pipeline.act(&signed_by(ada, &signer), |draft| draft.commands((3..5).map(create_person))).is_ok());
    // Two events, early and within the transaction. The signatures are evidence, and not judged themselves.
    assert_eq!(told.take(), vec![("PersonCreated".to_owned(), true); 4]);
    assert!(pipeline.act(&intent(), |draft| draft.command(create_person(5))).is_ok());
    assert_eq!(told.take(), vec![("PersonCreated".to_owned(), false); 2]);
    // A signature that is an act of its own is judged.
    let event = Link::new(ledger.store.event(&Which::Position(1)).unwrap().cid).unwrap();
    assert!(pipeline.act(&intent(), |draft| attest::attest(draft, &signer, event)).is_ok());
    assert_eq!(told.take(), vec![("EventAttested".to_owned(), false); 2]);
    // Signatures are not signed, whoever acts.
    let event = Link::new(ledger.store.event(&Which::Position(2)).unwrap().cid).unwrap();
    assert!(pipeline.act(&signed_by(ada, &signer), |draft| attest::attest(draft, &signer, event)).is_ok());
    assert_eq!(told.take(), vec![("EventAttested".to_owned(), false); 2]);
    drop(pipeline);
    ledger.check();
}

#[test]
fn what_stands_in_for_a_signature_is_never_recorded() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (_, signer) = enroll(&ledger, &mut vault);
    let event = Link::new(ledger.store.event(&Which::Position(2)).unwrap().cid).unwrap();
    let before = vault.signatures();
    let (_, events) = ledger.act(&mut vault, |draft| attest::attest(draft, &signer, event).map_err(broken));
    let EventData::EventAttested(attested) = &events[0].event.data else { panic!("{events:?}") };
    let public = signer.signer.public();
    cim_keys::keys::verify(public, &event.cid().to_bytes(), attested.signature.as_slice()).unwrap();
    // The head and the event.
    assert_eq!(vault.signatures() - before, 2);
    // A key that signed an event does not sign it again.
    let (_, events) = ledger.act(&mut vault, |draft| attest::attest(draft, &signer, event).map_err(broken));
    assert_eq!((events.len(), vault.signatures() - before), (0, 2));
}

#[test]
fn a_signing_step_that_gives_something_else_than_was_drafted_records_nothing() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    type Sign = fn(&mut Signing<'_, '_>) -> Result<Vec<SignedCommand>, SigningError>;
    let (none, two): (Sign, Sign) = (
        |_| Ok(Vec::new()),
        |_| {
            let created = person(2);
            let data = vec![created.clone().into(), created.clone().into()];
            Ok(vec![SignedCommand { command: Command::CreatePerson(created), data }])
        },
    );
    for sign in [none, two] {
        let mut pipeline = ledger.pipeline();
        let outcome = pipeline.act(&intent(), |draft| draft.sign_commands([create_person(1)], sign));
        assert!(matches!(outcome, Err(ActError::Sign(SigningError::Content(_)))), "{outcome:?}");
    }
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.check();
}
