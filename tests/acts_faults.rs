//! Signatures over acts that are stripped, forged, borrowed or late: each is detected, and named by its position.
#![allow(clippy::unwrap_used)]

mod store_support;

use std::sync::Arc;

use cim_keys::app::attest::{self, Verdict};
use cim_keys::app::vouch::{self, Vouched};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::pair::{KeyKind, PrivateKey};
use cim_keys::ledger::{Command, Standing};
use cim_keys::store::*;
use cim_keys::text::{Label, Note, Recipient};
use store_support::*;

/// Signs as a person would, or as somebody who would rather not be found out.
#[derive(Debug, Clone)]
struct Signer {
    person: PersonId,
    key_id: KeyId,
    secret: Arc<PrivateKey>,
}

impl Signer {
    fn signature(&self, link: Link) -> Vec<u8> {
        self.secret.sign(&link.cid().to_bytes()).unwrap()
    }

    fn attested(&self, event: Link) -> EventAttested {
        EventAttested {
            event,
            signer: Party::Person(self.person),
            key_id: self.key_id,
            algorithm: self.secret.public().algorithm,
            signature: Bytes::new(self.signature(event)).unwrap(),
        }
    }
}

impl ActSigner for Signer {
    fn attest(&self, event: Link) -> Result<EventAttested, String> {
        Ok(self.attested(event))
    }
}

/// A person with a key of their own.
fn enroll(store: &Store, n: u64, kind: KeyKind) -> Signer {
    let person_created = person(n);
    let person = person_created.person_id;
    let secret = PrivateKey::generate(kind).unwrap();
    let public = secret.public();
    let key_id = KeyId::mint();
    let compartment = Label::new(&format!("own-{n}")).unwrap();
    let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).unwrap();
    let generated = KeyGenerated {
        key_id,
        name: name(&format!("acts of {n}")),
        algorithm: public.algorithm,
        encoding: public.encoding,
        public_key: public.public_key,
        purpose: KeyPurpose::ActSigning,
        owner: Party::Person(person),
        compartment: compartment.clone(),
        validity: Validity::ALWAYS,
        location_id: None,
    };
    let holder = Some(Party::Person(person));
    let commands = vec![
        Command::CreatePerson(person_created),
        Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder }),
        Command::GenerateKey(generated),
    ];
    store.execute(context(), commands).unwrap();
    Signer { person, key_id, secret: Arc::new(secret) }
}

fn signed(signer: &Signer) -> AppendContext {
    AppendContext { signer: Some(Arc::new(signer.clone())), ..AppendContext::new(Actor::Person(signer.person)) }
}

/// The last act, whoever did it, and the link to it.
fn act(store: &Store, context: AppendContext, n: u64) -> (u64, Link) {
    let events = store.execute(context, vec![Command::CreatePerson(person(n))]).unwrap();
    (events[0].position, Link::new(events[0].cid).unwrap())
}

/// Records events as they are, as an archive that is imported does: nobody decides on them.
fn plant(store: &Store, actor: &Signer, attested: EventAttested) -> u64 {
    let last = store.events(Listing::newest(1)).unwrap().remove(0).event().unwrap();
    let causes = vec![attested.event];
    let event =
        KeyEvent { actor: Actor::Person(actor.person), causes, ..ready(attested, last.occurred_at.unix_micros()) };
    store.record(vec![addressed(event)], Vec::new()).unwrap()[0].position
}

/// The check that every test ends in: what follows from the log, and who vouches for what.
#[track_caller]
fn checked(store: &Store) -> Vouched {
    check(store);
    vouch::vouched(store, &mut |_| {}).unwrap()
}

fn kinds() -> [KeyKind; 2] {
    [KeyKind::Ed25519, KeyKind::P256]
}

#[test]
fn both_algorithms_sign_and_one_transaction_holds_act_and_signature() {
    let place = Place::new();
    let store = place.create();
    for (n, kind) in kinds().into_iter().enumerate() {
        let signer = enroll(&store, n as u64, kind);
        let events = store
            .execute(signed(&signer), (0..3).map(|i| Command::CreatePerson(person(100 + 10 * n as u64 + i))).collect())
            .unwrap();
        let types: Vec<_> = events.iter().map(|event| event.event.event_type()).collect();
        assert_eq!(types, ["PersonCreated", "EventAttested"].repeat(3));
        for act in events.iter().step_by(2) {
            let signatures = attest::signatures(&store, &act.cid).unwrap();
            assert_eq!(signatures.len(), 1);
            assert!(signatures[0].vouches_for(&Actor::Person(signer.person)));
        }
    }
    let vouched = checked(&store);
    assert_eq!((vouched.signed(), vouched.signatures, vouched.problems.len()), (6, 6, 0));
}

#[test]
fn a_signature_by_anothers_key_or_over_another_event_is_never_recorded() {
    let place = Place::new();
    let store = place.create();
    let (ada, bob) = (enroll(&store, 1, KeyKind::Ed25519), enroll(&store, 2, KeyKind::P256));
    let end = store.end().unwrap();
    // In Ada's name with Bob's key: the key is not hers, whatever the bytes are.
    let borrowed = Signer { person: ada.person, ..bob.clone() };
    let refused = store.execute(signed(&borrowed), vec![Command::CreatePerson(person(9))]).unwrap_err();
    assert!(refused.to_string().contains("belongs to somebody else"), "{refused}");
    // A signature that came from elsewhere is checked before it is recorded.
    let (position, link) = act(&store, context(), 9);
    for wrong in [
        bob.signature(link),
        ada.signature(Link::new(store.event(&Which::Position(1)).unwrap().cid).unwrap()),
        vec![0; 64],
    ] {
        let which = Which::Position(position);
        let error = attest::attest_with(&store, context(), &which, &ada.key_id.to_string(), wrong).unwrap_err();
        assert!(matches!(error, attest::AttestError::WrongSignature(_)), "{error}");
    }
    attest::attest_with(&store, context(), &Which::Position(position), &ada.key_id.to_string(), ada.signature(link))
        .unwrap();
    assert_eq!(store.end().unwrap(), end + 2);
    assert_eq!(checked(&store).signatures, 1);
}

/// More than are looked at at a time, by several threads.
#[test]
fn thousands_of_signatures_are_judged_in_the_order_of_the_log() {
    let place = Place::new();
    let store = place.create();
    let (ada, bob) = (enroll(&store, 1, KeyKind::Ed25519), enroll(&store, 2, KeyKind::P256));
    let sign = |signer: &Signer, from: u64, count: u64| {
        let people = (from..from + count).map(|n| Command::CreatePerson(person(n))).collect();
        store.execute(signed(signer), people).unwrap();
    };
    let forge = |n: u64| {
        let (_, link) = act(&store, AppendContext::new(Actor::Person(ada.person)), n);
        plant(&store, &ada, EventAttested { signature: bob.attested(link).signature, ..ada.attested(link) })
    };
    sign(&ada, 100, 1_200);
    let first = forge(50);
    sign(&bob, 2_000, 200);
    let (_, late) = act(&store, AppendContext::new(Actor::Person(ada.person)), 51);
    sign(&ada, 3_000, 2_100);
    plant(&store, &ada, ada.attested(late));
    let second = forge(52);
    let vouched = checked(&store);
    assert_eq!((vouched.signed(), vouched.signatures), (3_501, 3_503));
    let problems: Vec<_> = vouched.problems.iter().map(|problem| problem.position).collect();
    assert_eq!(problems, [Some(first), Some(second)]);
    let by_ada = vouched.actors.iter().find(|tally| tally.actor == Actor::Person(ada.person).to_string()).unwrap();
    assert_eq!((by_ada.signed, by_ada.claimed), (3_301, 2));
}

#[test]
fn a_forged_signature_in_a_history_is_named() {
    for kind in kinds() {
        let place = Place::new();
        let store = place.create();
        let (ada, bob) = (enroll(&store, 1, kind), enroll(&store, 2, kind));
        let (_, link) = act(&store, AppendContext::new(Actor::Person(ada.person)), 9);
        let mut forged = ada.attested(link);
        forged.signature = Bytes::new(bob.signature(link)).unwrap();
        let position = plant(&store, &ada, forged);
        let vouched = checked(&store);
        assert_eq!(vouched.signed(), 0);
        assert_eq!(vouched.problems.len(), 1);
        assert_eq!(vouched.problems[0].position, Some(position));
        assert!(vouched.problems[0].what.contains("is not one of key"), "{:?}", vouched.problems);
        // Every single bit of a good one matters, too.
        let good = ada.signature(link);
        for bit in [0, 77, 255, good.len() * 8 - 1] {
            let (_, link) = act(&store, AppendContext::new(Actor::Person(ada.person)), 100 + bit as u64);
            let mut bytes = ada.signature(link);
            let bit = bit.min(bytes.len() * 8 - 1);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut flipped = ada.attested(link);
            flipped.signature = Bytes::new(bytes).unwrap();
            plant(&store, &ada, flipped);
        }
        assert_eq!(checked(&store).problems.len(), 5);
    }
}

#[test]
fn what_the_key_could_not_vouch_for_does_not_count() {
    let place = Place::new();
    let store = place.create();
    let (ada, bob) = (enroll(&store, 1, KeyKind::Ed25519), enroll(&store, 2, KeyKind::Ed25519));
    let claims = || AppendContext::new(Actor::Person(ada.person));
    let (_, before) = act(&store, signed(&ada), 10);
    let (_, late) = act(&store, claims(), 11);
    let revoke = |signer: &Signer, invalid_since| Command::RevokeKey {
        key_id: signer.key_id,
        reason: RevocationReason::Superseded,
        note: None,
        invalid_since,
    };
    store.execute(context(), vec![revoke(&ada, None)]).unwrap();
    let position = plant(&store, &ada, ada.attested(late));
    // What names Ada and is signed with Bob's key: good bytes, another's key.
    let (_, borrowed) = act(&store, claims(), 12);
    plant(&store, &ada, EventAttested { signer: Party::Person(ada.person), ..bob.attested(borrowed) });
    let verdicts = |link: Link| -> Vec<Verdict> {
        attest::signatures(&store, link.cid()).unwrap().into_iter().map(|it| it.verdict).collect()
    };
    assert_eq!(verdicts(before), [Verdict::Good]);
    assert_eq!(verdicts(late), [Verdict::NoStanding(Standing::Revoked)]);
    assert_eq!(verdicts(borrowed), [Verdict::NoStanding(Standing::OtherOwner)]);
    let vouched = checked(&store);
    assert_eq!((vouched.signed(), vouched.void.len(), vouched.problems.len()), (1, 2, 0));
    assert_eq!(vouched.void[0].position, position);

    // A key that is said to have been in wrong hands since before.
    let (at, disputed) = act(&store, signed(&bob), 13);
    let since = store.event(&Which::Position(at)).unwrap().event().unwrap().occurred_at;
    store.execute(context(), vec![revoke(&bob, Some(since))]).unwrap();
    assert_eq!(verdicts(disputed), [Verdict::Disputed { since }]);
    assert_eq!(checked(&store).signed(), 1);
}

#[test]
fn a_stripped_signature_is_missed() {
    let place = Place::new();
    let store = place.create();
    let ada = enroll(&store, 1, KeyKind::Ed25519);
    let demand = SignaturesRequired {
        event_types: [Label::new("PersonCreated").unwrap()].into_iter().collect(),
        reason: Note::new("agreed").unwrap(),
    };
    store.execute(signed(&ada), vec![Command::RequireSignatures(demand)]).unwrap();
    let (position, _) = act(&store, signed(&ada), 10);
    let (_, _) = act(&store, signed(&ada), 11);
    assert_eq!(checked(&store).problems, Vec::new());

    // Taken out of the file: the gap is named.
    let copy = place.dir.path().join("stripped.db");
    store.copy_to(&copy).unwrap();
    let connection = rusqlite::Connection::open(&copy).unwrap();
    connection.execute("DELETE FROM log WHERE position = ?1", [position + 1]).unwrap();
    drop(connection);
    let stripped = Store::open_read_only(place.options_at(&copy)).unwrap();
    let report = stripped.verify(&mut |_, _| {});
    assert_eq!(report.problems[0].position, Some(position + 1), "{:?}", report.problems);

    // The whole history written anew without it, as somebody with every key could: what the ledger demands is missing.
    let anew = Place::new();
    let rewritten = anew.create();
    let mut events = Vec::new();
    for recorded in store.iter(rewritten.end().unwrap() + 1).filter(|it| it.as_ref().unwrap().position != position + 1)
    {
        let event = recorded.unwrap().event().unwrap();
        events.push(addressed(KeyEvent { causes: Vec::new(), ..event }));
    }
    rewritten.record(events, Vec::new()).unwrap();
    let vouched = vouch::vouched(&rewritten, &mut |_| {}).unwrap();
    let named = vouched.problems.iter().any(|it| it.what.contains("a PersonCreated had to be signed"));
    assert!(named, "{:?}", vouched.problems);
}

#[test]
fn the_ledgers_own_key_is_replaced_whatever_is_demanded() {
    let place = Place::new();
    let store = place.create();
    let ada = enroll(&store, 1, KeyKind::Ed25519);
    let demand = SignaturesRequired {
        event_types: ["KeyGenerated", "KeyRotated"].map(|word| Label::new(word).unwrap()).into_iter().collect(),
        reason: Note::new("agreed").unwrap(),
    };
    store.execute(signed(&ada), vec![Command::RequireSignatures(demand)]).unwrap();
    let key = |purpose| {
        let public = PrivateKey::generate(KeyKind::Ed25519).unwrap().public();
        KeyGenerated {
            key_id: KeyId::mint(),
            name: name("a key"),
            algorithm: public.algorithm,
            encoding: public.encoding,
            public_key: public.public_key,
            purpose,
            owner: Party::Service(Label::new("ledger").unwrap()),
            compartment: Label::new("issuing").unwrap(),
            validity: Validity::ALWAYS,
            location_id: None,
        }
    };
    let refused = store.execute(context(), vec![Command::GenerateKey(key(KeyPurpose::Signing))]).unwrap_err();
    assert!(refused.to_string().contains("demands that a KeyGenerated is signed"), "{refused}");
    let first = key(KeyPurpose::Ledger);
    let rotate = Command::RotateKey { key_id: first.key_id, successor: key(KeyPurpose::Ledger), retire_at: None };
    store.execute(context(), vec![Command::GenerateKey(first), rotate]).unwrap();
    assert_eq!(checked(&store).problems, Vec::new());
}
