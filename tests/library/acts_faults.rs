//! Signatures over acts that are stripped, forged, borrowed or late: each is detected, and named by its position.

use std::cell::Cell;
use std::sync::Arc;

use cim_keys::act::{ActError, ActSigner, Intent, Pipeline, Scope};
use cim_keys::app::attest::{self};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::pair::{PrivateKey, SoftwareKey};
use cim_keys::keys::{KeyKind, Signer as _};
use cim_keys::ledger::{Command, Standing};
use cim_keys::policy;
use cim_keys::session::signatures;
use cim_keys::session::signatures::Verdict;
use cim_keys::session::vouch::{self, Vouched};
use cim_keys::store::*;
use cim_keys::text::{Label, Note, Recipient};

use crate::support::store::*;

/// A person with a key, who signs as they would, or as somebody who would rather not be found out.
#[derive(Debug, Clone)]
struct Signer {
    person: PersonId,
    key_id: KeyId,
    key: Arc<SoftwareKey>,
}

impl Signer {
    fn signature(&self, link: Link) -> Vec<u8> {
        self.key.sign(&link.cid().to_bytes()).unwrap()
    }

    fn act_signer(&self) -> ActSigner {
        let (party, signer) = (Party::Person(self.person), Arc::clone(&self.key) as _);
        ActSigner { party, key_id: self.key_id, signer, scope: Scope::EveryEvent }
    }

    fn attested(&self, event: Link) -> EventAttested {
        self.act_signer().attest(event).unwrap()
    }
}

/// A person with a key of their own.
fn enroll(store: &Store, n: u64, kind: KeyKind) -> Signer {
    let person_created = person(n);
    let person = person_created.person_id;
    let key = SoftwareKey::new(PrivateKey::generate(kind).unwrap());
    let public = key.public().clone();
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
    act(store, commands).unwrap();
    Signer { person, key_id, key }
}

fn signed(signer: &Signer) -> Intent {
    Intent { signer: Some(signer.act_signer()), ..claims(signer) }
}

/// An act that only claims whose it is.
fn claims(signer: &Signer) -> Intent {
    Intent::new(Actor::Person(signer.person))
}

/// The last act, whoever did it, and the link to it.
fn acted(store: &Store, intent: &Intent, n: u64) -> (u64, Link) {
    let events = act_with(store, intent, vec![Command::CreatePerson(person(n))]).unwrap();
    (events[0].position, Link::new(events[0].cid).unwrap())
}

/// A copy of a ledger into which events are put that nobody decided on, as an archive that is imported has them. What the
/// ledger records is brought to it in between.
struct Copy<'s> {
    store: &'s Store,
    mirror: Mirror,
    /// How many events of the ledger it has.
    brought: Cell<u64>,
}

impl<'s> Copy<'s> {
    fn of(place: &Place, store: &'s Store) -> Self {
        let mirror = mirror_of(store, place.options_at(&place.dir.path().join("copy.db")));
        Self { store, mirror, brought: Cell::new(store.end().unwrap()) }
    }

    fn bring(&self) {
        let events = followed_from(self.store, self.brought.get() + 1);
        self.brought.set(self.brought.get() + events.len() as u64);
        self.mirror.record(self.mirror.store().end().unwrap() + 1, events, Vec::new()).unwrap();
    }

    /// Puts a signature into it, whatever it is worth; gives its position.
    fn plant(&self, actor: &Signer, attested: EventAttested) -> u64 {
        self.bring();
        let copy = self.mirror.store();
        let last = copy.events(Listing::newest(1)).unwrap().remove(0).event().unwrap();
        let causes = vec![attested.event];
        let at = last.occurred_at.unix_micros();
        let event = KeyEvent { actor: Actor::Person(actor.person), causes, ..ready(attested, at) };
        let position = copy.end().unwrap() + 1;
        self.mirror.record(position, vec![followed(event)], Vec::new()).unwrap();
        position
    }

    /// As [`checked`], of the copy, with all that the ledger has.
    #[track_caller]
    fn checked(&self) -> Vouched {
        self.bring();
        checked(self.mirror.store())
    }
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
        let people = (0..3).map(|i| Command::CreatePerson(person(100 + 10 * n as u64 + i)));
        let events = act_with(&store, &signed(&signer), people.collect()).unwrap();
        let types: Vec<_> = events.iter().map(|event| event.event.event_type()).collect();
        assert_eq!(types, ["PersonCreated", "EventAttested"].repeat(3));
        for act in events.iter().step_by(2) {
            let signatures = signatures::signatures(&store, &act.cid).unwrap();
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
    let refused = act_with(&store, &signed(&borrowed), vec![Command::CreatePerson(person(9))]).unwrap_err();
    assert!(refused.to_string().contains("belongs to another party"), "{refused}");
    // A signature that came from elsewhere is checked before it is recorded.
    let (_, link) = acted(&store, &intent(), 9);
    let attest_with = |signature: Vec<u8>| {
        Pipeline::new(&store, policy::built_in())
            .act(&intent(), |draft| attest::attest_with(draft, link, &ada.key_id.to_string(), &signature))
    };
    for wrong in [
        bob.signature(link),
        ada.signature(Link::new(store.event(&Which::Position(1)).unwrap().cid).unwrap()),
        vec![0; 64],
    ] {
        let error = attest_with(wrong).unwrap_err();
        assert!(matches!(error, ActError::Build(attest::AttestError::WrongSignature(_))), "{error}");
    }
    assert_eq!(attest_with(ada.signature(link)).unwrap().events.len(), 1);
    assert_eq!(attest_with(ada.signature(link)).unwrap().events, [], "it is recorded already");
    assert_eq!(store.end().unwrap(), end + 2);
    assert_eq!(checked(&store).signatures, 1);
}

/// More than are looked at at a time, by several threads.
#[test]
fn thousands_of_signatures_are_judged_in_the_order_of_the_log() {
    let place = Place::new();
    let store = place.create();
    let copy = Copy::of(&place, &store);
    let (ada, bob) = (enroll(&store, 1, KeyKind::Ed25519), enroll(&store, 2, KeyKind::P256));
    let sign = |signer: &Signer, from: u64, count: u64| {
        let people = (from..from + count).map(|n| Command::CreatePerson(person(n))).collect();
        act_with(&store, &signed(signer), people).unwrap();
    };
    let forge = |n: u64| {
        let (_, link) = acted(&store, &claims(&ada), n);
        copy.plant(&ada, EventAttested { signature: bob.attested(link).signature, ..ada.attested(link) })
    };
    sign(&ada, 100, 1_200);
    let first = forge(50);
    sign(&bob, 2_000, 200);
    let (_, late) = acted(&store, &claims(&ada), 51);
    sign(&ada, 3_000, 2_100);
    copy.plant(&ada, ada.attested(late));
    let second = forge(52);
    let vouched = copy.checked();
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
        let copy = Copy::of(&place, &store);
        let (ada, bob) = (enroll(&store, 1, kind), enroll(&store, 2, kind));
        let (_, link) = acted(&store, &claims(&ada), 9);
        let mut forged = ada.attested(link);
        forged.signature = Bytes::new(bob.signature(link)).unwrap();
        let position = copy.plant(&ada, forged);
        let vouched = copy.checked();
        assert_eq!(vouched.signed(), 0);
        assert_eq!(vouched.problems.len(), 1);
        assert_eq!(vouched.problems[0].position, Some(position));
        assert!(vouched.problems[0].what.contains("is not one of key"), "{:?}", vouched.problems);
        // Every single bit of a good one matters, too.
        let good = ada.signature(link);
        for bit in [0, 77, 255, good.len() * 8 - 1] {
            let (_, link) = acted(&store, &claims(&ada), 100 + bit as u64);
            let mut bytes = ada.signature(link);
            let bit = bit.min(bytes.len() * 8 - 1);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut flipped = ada.attested(link);
            flipped.signature = Bytes::new(bytes).unwrap();
            copy.plant(&ada, flipped);
        }
        assert_eq!(copy.checked().problems.len(), 5);
    }
}

#[test]
fn what_the_key_could_not_vouch_for_does_not_count() {
    let place = Place::new();
    let store = place.create();
    let copy = Copy::of(&place, &store);
    let (ada, bob) = (enroll(&store, 1, KeyKind::Ed25519), enroll(&store, 2, KeyKind::Ed25519));
    let (_, before) = acted(&store, &signed(&ada), 10);
    let (_, late) = acted(&store, &claims(&ada), 11);
    let revoke = |signer: &Signer, invalid_since| Command::RevokeKey {
        key_id: signer.key_id,
        reason: RevocationReason::Superseded,
        note: None,
        invalid_since,
    };
    act(&store, vec![revoke(&ada, None)]).unwrap();
    let position = copy.plant(&ada, ada.attested(late));
    // What names Ada and is signed with Bob's key: good bytes, another's key.
    let (_, borrowed) = acted(&store, &claims(&ada), 12);
    copy.plant(&ada, EventAttested { signer: Party::Person(ada.person), ..bob.attested(borrowed) });
    let verdicts = |link: Link| -> Vec<Verdict> {
        copy.bring();
        signatures::signatures(copy.mirror.store(), link.cid()).unwrap().into_iter().map(|it| it.verdict).collect()
    };
    assert_eq!(verdicts(before), [Verdict::Good]);
    assert_eq!(verdicts(late), [Verdict::NoStanding(Standing::Revoked)]);
    assert_eq!(verdicts(borrowed), [Verdict::NoStanding(Standing::OtherOwner)]);
    let vouched = copy.checked();
    assert_eq!((vouched.signed(), vouched.void.len(), vouched.problems.len()), (1, 2, 0));
    assert_eq!(vouched.void[0].position, position);

    // A key that is said to have been in wrong hands since before.
    let (at, disputed) = acted(&store, &signed(&bob), 13);
    let since = store.event(&Which::Position(at)).unwrap().event().unwrap().occurred_at;
    act(&store, vec![revoke(&bob, Some(since))]).unwrap();
    assert_eq!(verdicts(disputed), [Verdict::Disputed { since }]);
    assert_eq!(copy.checked().signed(), 1);
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
    act_with(&store, &signed(&ada), vec![Command::RequireSignatures(demand)]).unwrap();
    let (position, _) = acted(&store, &signed(&ada), 10);
    let (_, _) = acted(&store, &signed(&ada), 11);
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
    let mirror = mirror_of(&rewritten, anew.options_at(&anew.dir.path().join("mirror.db")));
    let first = rewritten.end().unwrap() + 1;
    let mut events = Vec::new();
    for recorded in store.iter(first).filter(|it| it.as_ref().unwrap().position != position + 1) {
        let event = recorded.unwrap().event().unwrap();
        events.push(followed(KeyEvent { causes: Vec::new(), ..event }));
    }
    mirror.record(first, events, Vec::new()).unwrap();
    let vouched = vouch::vouched(mirror.store(), &mut |_| {}).unwrap();
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
    act_with(&store, &signed(&ada), vec![Command::RequireSignatures(demand)]).unwrap();
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
    let refused = act(&store, vec![Command::GenerateKey(key(KeyPurpose::Signing))]).unwrap_err();
    assert!(refused.to_string().contains("demands that a KeyGenerated is signed"), "{refused}");
    let first = key(KeyPurpose::Ledger);
    let rotate = Command::RotateKey { key_id: first.key_id, successor: key(KeyPurpose::Ledger), retire_at: None };
    act(&store, vec![Command::GenerateKey(first), rotate]).unwrap();
    assert_eq!(checked(&store).problems, Vec::new());
}
