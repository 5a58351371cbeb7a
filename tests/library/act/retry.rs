//! Others record between draft and commit: the act is drafted again, and what has not changed is kept.

use std::cell::Cell;
use std::rc::Rc;

use cim_keys::act::*;
use cim_keys::app::attest::{self, Enrollment};
use cim_keys::authority::keys::{self, Successor};
use cim_keys::authority::nats::{edit, lookup, operators, users};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::{KeyKind, KeyRing};
use cim_keys::ledger::Command;
use cim_keys::text::Recipient;

use crate::act::support::doubles::*;
use crate::act::support::watched::*;
use crate::act::support::*;

#[test]
fn another_writes_while_the_act_is_built() {
    let ledger = Ledger::in_custody();
    let (other, (ring, seen)) = (ledger.other(), Watched::new(ledger.ring()));
    let before = ledger.store.end().unwrap();
    let (mut drafts, mut positions) = (0, Vec::new());
    let mut pipeline = ledger.pipeline().with_keys(ring);
    let outcome = pipeline.act(&intent(), |draft| {
        drafts += 1;
        positions.push(draft.position());
        if drafts < 3 {
            record(&other, vec![create_person(drafts)]);
        }
        generate(draft, "first")?;
        generate(draft, "second")
    });
    let outcome = outcome.unwrap();
    drop(pipeline);
    assert_eq!((drafts, positions), (3, vec![before, before + 1, before + 2]));
    // Both keys were made once, and the act stands behind what the others recorded.
    assert_eq!(seen.generated(), 2);
    assert_eq!(outcome.events.iter().map(|event| event.position).collect::<Vec<_>>(), [before + 3, before + 4]);
    for named in ["first", "second"] {
        // What is sealed is the key that is recorded.
        let key = keys::reference(&ledger.key(named));
        let signer = ledger.ring().signer(&key).unwrap();
        let signature = signer.sign(b"something").unwrap();
        cim_keys::keys::verify(signer.public(), b"something", &signature).unwrap();
    }
    ledger.check();
}

#[test]
fn a_key_that_is_asked_for_differently_is_made_anew() {
    let ledger = Ledger::in_custody();
    let (other, (ring, seen)) = (ledger.other(), Watched::new(ledger.ring()));
    let mut drafts = 0;
    let outcome = ledger.pipeline().with_keys(ring).act(&intent(), |draft| {
        drafts += 1;
        let kind = if drafts == 1 { KeyKind::Ed25519 } else { KeyKind::P256 };
        if drafts == 1 {
            record(&other, vec![create_person(1)]);
        }
        keys::generate(draft, keys::NewKey { kind, ..new_key("only") }).map_err(broken)
    });
    assert_eq!(outcome.unwrap().value.algorithm, KeyAlgorithm::EcdsaP256);
    assert_eq!(seen.generated(), 2);
    ledger.check();
}

#[test]
fn the_same_question_is_asked_once() {
    let ledger = Ledger::in_custody();
    let other = ledger.other();
    let person = Person::who(move |_| {
        if other.end().unwrap() < 6 {
            record(&other, vec![create_person(other.end().unwrap())]);
        }
        Answer::Yes
    });
    let start = ledger.store.end().unwrap();
    assert!(start < 6);
    let mut pipeline = ledger.pipeline().with_front(person.clone());
    let outcome = pipeline.act(&intent(), |draft| {
        draft.ask(Question::new("Is Ada to be added?", "nobody was added"));
        draft.command(create_person(100))
    });
    assert_eq!(outcome.unwrap().events[0].position, start + 2);
    assert_eq!(person.asked(), ["Is Ada to be added?"]);
    ledger.check();
}

#[test]
fn a_question_that_changed_is_asked_again() {
    let ledger = Ledger::in_custody();
    let other = ledger.other();
    let asked = Rc::new(Cell::new(0));
    let counted = Rc::clone(&asked);
    let person = Person::who(move |_| {
        counted.set(counted.get() + 1);
        if counted.get() == 1 {
            record(&other, vec![create_person(1)]);
        }
        Answer::Yes
    });
    let start = ledger.store.end().unwrap();
    let mut pipeline = ledger.pipeline().with_front(person.clone());
    let outcome = pipeline.act(&intent(), |draft| {
        draft.ask(Question::new("Is this right?", "nothing was done"));
        draft.ask(Question::new(format!("There are {} events. Go on?", draft.position()), "nothing was done"));
        draft.command(create_person(100))
    });
    assert_eq!(outcome.unwrap().events.len(), 1);
    let of = |n: u64| format!("There are {n} events. Go on?");
    // The first question was answered when the second one changed.
    assert_eq!(person.asked(), ["Is this right?".to_owned(), of(start), of(start + 1)]);
    ledger.check();
}

/// A person with a key of their own, whose private half is where the key ring puts it.
pub fn enroll(ledger: &Ledger, ring: &mut dyn KeyRing) -> (PersonId, ActSigner) {
    let person = person(1);
    let id = person.person_id;
    ledger.act(ring, |draft| {
        draft.command(Command::CreatePerson(person.clone()))?;
        // In the tests of a retry the key lies in a compartment that is there.
        let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).map_err(broken)?;
        let new = Enrollment {
            person: id,
            name: name("acts"),
            kind: KeyKind::P256,
            compartment: label("own"),
            validity: Validity::ALWAYS,
        };
        attest::enroll(draft, recipient, &new).map_err(broken)
    });
    let now = cim_keys::time::Timestamp::from_unix_micros(START + 1_000_000).unwrap();
    let key = ledger.store.view(|view| attest::act_key(view, &id.to_string(), now)).unwrap().unwrap();
    (id, key.signer(ring).unwrap())
}

#[test]
fn a_signature_over_an_event_is_made_once_although_others_write() {
    let mut vault = crate::act::support::vault::Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (mut ring, seen) = Watched::new(vault);
    let (_, signer) = enroll(&ledger, &mut ring);
    let other = ledger.other();
    let start = ledger.store.end().unwrap();
    seen.before_signing(move |_| {
        if other.end().unwrap() < start + 2 {
            record(&other, vec![create_person(50 + other.end().unwrap())]);
        }
    });
    let event = Link::new(ledger.store.event(&cim_keys::store::Which::Position(1)).unwrap().cid).unwrap();
    let mut pipeline = ledger.pipeline().with_keys(&mut ring);
    let outcome = pipeline.act(&intent(), |draft| attest::attest(draft, &signer, event)).unwrap();
    assert_eq!(types(&outcome.events), ["EventAttested"]);
    assert_eq!(outcome.events[0].position, start + 2);
    assert_eq!(seen.signatures(), 1);
    drop(pipeline);
    ledger.check();
}

#[test]
fn signed_acts_and_tokens_are_signed_once_for_each_message() {
    let ledger = Ledger::in_custody();
    let (mut ring, seen) = Watched::new(ledger.ring());
    let (_, events) = ledger.act(&mut ring, |draft| {
        let new = operators::NewOperator {
            id: NatsOperatorId::mint(),
            name: name("ACME"),
            system_account: cim_keys::authority::nats::accounts::NewAccount {
                id: NatsAccountId::mint(),
                name: name("SYS"),
                description: None,
                system: true,
            },
            signing_key: Some(label("issuing")),
            strict: false,
            service_urls: Set::default(),
            account_server_url: None,
        };
        edit(draft, |nats| operators::add(nats, new.clone(), &|_| {})).map_err(broken)
    });
    assert_eq!(types(&events).iter().filter(|it| **it == "JwtSigned").count(), 2);
    let (before, other, start) = (seen.signatures(), ledger.other(), ledger.store.end().unwrap());
    // Two users are signed; the other one writes before the first signature of each of the first two attempts.
    seen.before_signing(move |_| {
        if other.end().unwrap() < start + 2 {
            record(&other, vec![create_person(90 + other.end().unwrap())]);
        }
    });
    let (ann, bob) = (NatsUserId::mint(), NatsUserId::mint());
    let mut drafts = 0;
    let mut pipeline = ledger.pipeline().with_keys(&mut ring);
    let outcome = pipeline.act(&intent(), |draft| {
        drafts += 1;
        edit(draft, |nats| {
            let account = lookup::account(nats.view(), "SYS")?;
            for (id, named) in [(ann, "ann"), (bob, "bob")] {
                let new = users::NewUser { name: name(named), owner: None, signing_key: None, expires_at: None };
                users::add(nats, &account, id, new, &|_| {})?;
            }
            Ok(())
        })
    });
    let events = outcome.unwrap().events;
    drop(pipeline);
    assert_eq!(drafts, 2);
    assert_eq!(types(&events).iter().filter(|it| **it == "JwtSigned").count(), 2);
    assert_eq!(seen.signatures() - before, 2);
    assert!(seen.signed_once());
    ledger.check();
}

#[test]
fn a_key_that_was_revoked_in_between_is_not_rotated() {
    let ledger = Ledger::in_custody();
    ledger.act(&mut ledger.ring(), |draft| generate(draft, "old"));
    let (other, old) = (ledger.other(), ledger.key("old").key_id);
    let person = Person::who(move |_| {
        let reason = RevocationReason::KeyCompromise;
        record(&other, vec![Command::RevokeKey { key_id: old, reason, note: None, invalid_since: None }]);
        Answer::Yes
    });
    let (before, (ring, seen)) = (ledger.store.end().unwrap(), Watched::new(ledger.ring()));
    let mut pipeline = ledger.pipeline().with_keys(ring).with_front(person.clone());
    let outcome: Result<Outcome<_>, Refused> = pipeline.act(&intent(), |draft| {
        draft.ask(Question::new("Rotate it?", "nothing was rotated"));
        keys::rotate(draft, "old", Successor::default()).map_err(broken)
    });
    drop(pipeline);
    assert!(matches!(outcome, Err(ActError::Build(_))), "{outcome:?}");
    assert_eq!(person.asked().len(), 1);
    // Only the revocation is recorded, and the successor is nowhere.
    assert_eq!(ledger.store.end().unwrap(), before + 1);
    assert_eq!((seen.generated(), seen.sealed(), seen.undone()), (1, seen.undone(), seen.undone()));
    ledger.check();
}

#[test]
fn an_act_gives_up_when_others_write_each_time() {
    let ledger = Ledger::in_custody();
    let (other, (ring, seen)) = (ledger.other(), Watched::new(ledger.ring()));
    let (before, mut drafts) = (ledger.store.end().unwrap(), 0);
    let mut pipeline = ledger.pipeline().with_keys(ring);
    let outcome: Result<Outcome<_>, Refused> = pipeline.act(&intent(), |draft| {
        drafts += 1;
        record(&other, vec![create_person(drafts)]);
        generate(draft, "never")
    });
    drop(pipeline);
    assert!(matches!(outcome, Err(ActError::Contended { attempts: ATTEMPTS })), "{outcome:?}");
    assert_eq!((drafts, ledger.store.end().unwrap()), (8, before + 8));
    assert_eq!((seen.generated(), seen.sealed(), seen.undone()), (1, 8, 8));
    ledger.check();
}

#[test]
fn an_act_that_names_everything_by_identifier_is_recorded_although_others_write() {
    let ledger = Ledger::in_custody();
    let (other, mut drafts) = (ledger.other(), 0);
    let floating = Intent { anywhere: true, ..intent() };
    let outcome = ledger.pipeline().act(&floating, |draft| {
        drafts += 1;
        record(&other, vec![create_person(drafts)]);
        draft.command(create_person(100))
    });
    assert_eq!((outcome.unwrap().events.len(), drafts), (1, 1));
    ledger.check();
}

#[test]
fn several_threads_act_on_one_ledger() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let ledger = &ledger;
            scope.spawn(move || {
                let own = ledger.other();
                for n in 0..4 {
                    // Through one handle, and through another.
                    let store = if n % 2 == 0 { &ledger.store } else { &own };
                    let named = format!("key {thread} {n}");
                    loop {
                        let policy = cim_keys::policy::built_in();
                        let mut pipeline = Pipeline::new(store, policy).with_keys(ledger.closed_ring());
                        match pipeline.act(&intent(), |draft| generate(draft, &named)) {
                            Ok(outcome) => break assert_eq!(outcome.events.len(), 1),
                            Err(ActError::Contended { .. }) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(ledger.store.end().unwrap(), before + 12);
    ledger.check();
}
