//! Keys, signed acts, heads, witnesses and requests.

use cim_keys::act::*;
use cim_keys::app::apply::{self};
use cim_keys::app::attest::{self, Enrollment};
use cim_keys::app::backup::backup;
use cim_keys::app::log::{Witness, consistency, cosign, keep_cosigned, witness_key};
use cim_keys::app::requests;
use cim_keys::authority::keys::{self, Destination, Material, Successor};
use cim_keys::custody::ISSUING;
use cim_keys::declare;
use cim_keys::declare::{Options, Request};
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::*;
use cim_keys::ledger::Command;
use cim_keys::session::Session;
use cim_keys::session::signatures;
use cim_keys::store::*;
use cim_keys::text::Recipient;
use cim_keys::time::Timestamp;

use super::apply::NoFiles;
use crate::act::support::vault::*;
use crate::act::support::{generate, *};

#[test]
fn keys_are_made_imported_rotated_and_revoked_and_do_not_leave() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    for kind in KeyKind::ALL {
        let named = kind.as_str();
        let (made, _) = ledger.act(&mut vault, |draft| {
            let new = keys::NewKey { kind, purpose: None, ..new_key(named) };
            keys::generate(draft, new).map_err(broken)
        });
        assert_eq!(ledger.key(named).public_key, made.public_key);
        let (successor, events) = ledger.act(&mut vault, |draft| {
            let another = Successor { name: Some(name(&format!("{named} 2"))), ..Successor::default() };
            keys::rotate(draft, named, another).map_err(broken)
        });
        assert_eq!(types(&events)[0], "KeyGenerated");
        assert_ne!(successor.public_key, made.public_key);
    }
    let secret = pair::PrivateKey::generate(KeyKind::P256).unwrap().secret();
    let (imported, _) = ledger.act(&mut vault, |draft| {
        let material = Material::Private(SecretBytes::new(Box::new(exposed(&secret))));
        let new = keys::ImportedKey {
            name: name("taken in"),
            material,
            purpose: None,
            owner: None,
            compartment: None,
            validity: Validity::ALWAYS,
            origin: note("a safe"),
            was_plaintext: true,
        };
        keys::import(draft, &new).map_err(broken)
    });
    assert_eq!(imported.compartment, Some(label(ISSUING)));
    let before = ledger.store.end().unwrap();
    for which in ["taken in", "ed25519 2"] {
        let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).unwrap();
        for to in [Destination::Plain, Destination::Sealed(recipient)] {
            let outcome = ledger
                .pipeline()
                .with_keys(&mut vault)
                .act(&intent(), |draft| keys::export(draft, which, &to, &note("a visit")));
            let Err(ActError::Build(keys::KeyActError::Key(error @ KeyError::CannotLeave(_)))) = outcome else {
                panic!("{outcome:?}")
            };
            assert!(error.to_string().contains("cannot leave"), "{error}");
        }
    }
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.act(&mut vault, |draft| {
        let command =
            keys::revoke(draft.view(), "taken in", RevocationReason::Superseded, None, None).map_err(broken)?;
        Ok(draft.command(command)?)
    });
}

fn exposed(secret: &SecretBytes) -> Vec<u8> {
    secrecy::ExposeSecret::expose_secret(secret).clone()
}

/// A person whose key for signing acts is in the vault.
fn enroll(ledger: &Ledger, vault: &mut Vault, kind: KeyKind) -> (PersonId, ActSigner, String) {
    let person = person(kind.as_str().len() as u64);
    let (id, named) = (person.person_id, format!("acts {}", kind.as_str()));
    ledger.act(vault, |draft| {
        draft.command(Command::CreatePerson(person.clone()))?;
        let compartment = label(&format!("own-{}", kind.as_str()));
        attest::own_compartment(draft.view(), id, &compartment).map_err(broken)?;
        let recipient = Recipient::new(&format!("age1{}", "q".repeat(58))).map_err(broken)?;
        let new = Enrollment { person: id, name: name(&named), kind, compartment, validity: Validity::ALWAYS };
        attest::enroll(draft, recipient, &new).map_err(broken)
    });
    let key = ledger.store.view(|view| attest::act_key(view, &id.to_string(), now())).unwrap().unwrap();
    (id, key.signer(vault).unwrap(), named)
}

fn now() -> Timestamp {
    Timestamp::from_unix_micros(START + 1_000_000).unwrap()
}

#[test]
fn people_sign_acts_and_events_and_cosign_heads() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    for kind in [KeyKind::Ed25519, KeyKind::P256] {
        let (ada, signer, key) = enroll(&ledger, &mut vault, kind);
        let signed = || Intent { signer: Some(signer.clone()), ..Intent::new(Actor::Person(ada)) };
        // As `--as ada key generate` does it.
        let (_, events) = ledger.act_as(&signed(), &mut vault, |draft| generate(draft, &format!("by {key}")));
        assert_eq!(types(&events), ["KeyGenerated", "EventAttested"]);
        let found = signatures::signatures(&ledger.store, &events[0].cid).unwrap();
        assert!(found[0].vouches_for(&Actor::Person(ada)));
        // As `event attest` does it, and with a signature that was made elsewhere.
        let link = |position| attest::linked(&ledger.store, &Which::Position(position)).unwrap();
        let (first, second) = (link(1), link(2));
        ledger.act(&mut vault, |draft| attest::attest(draft, &signer, first).map_err(broken));
        let signature = signer.signer.sign(&second.cid().to_bytes()).unwrap();
        ledger.act(&mut vault, |draft| attest::attest_with(draft, second, &key, &signature).map_err(broken));
        for position in [1, 2] {
            let found = signatures::signatures(&ledger.store, link(position).cid()).unwrap();
            assert!(found.iter().any(|it| it.signer == Party::Person(ada) && it.verdict == signatures::Verdict::Good));
        }
        // Their requirement is a signed act, too.
        let demand = SignaturesRequired {
            event_types: [label("PersonCreated")].into_iter().collect(),
            reason: note(&format!("agreed with {key}")),
        };
        ledger.act_as(&signed(), &mut vault, |draft| Ok(draft.command(Command::RequireSignatures(demand.clone()))?));
        ledger.act_as(&signed(), &mut vault, |draft| Ok(draft.command(create_person(40 + key.len() as u64))?));
        let outcome = ledger.pipeline().act(&intent(), |draft| draft.command(create_person(60)));
        assert!(matches!(outcome, Err(ActError::Denied(_))));
        let lifted = SignaturesRequired { event_types: Set::default(), reason: note("for the next one") };
        ledger.act_as(&signed(), &mut vault, |draft| Ok(draft.command(Command::RequireSignatures(lifted.clone()))?));

        let facts = ledger.key(&key);
        let witness = Witness::person(&facts, signer.signer.clone());
        if kind == KeyKind::P256 {
            assert!(witness.is_err());
            continue;
        }
        let (update, log) = (consistency(&ledger.store, None).unwrap(), ledger.store.verifier_key().unwrap());
        let memory = ledger.dir.path().join("witnessed");
        let cosigned = cosign(&witness.unwrap(), &memory, &update, &log, now()).unwrap();
        cosigned.verify(&log).unwrap();
        let kept = keep_cosigned(&ledger.store, &cosigned).unwrap();
        assert!(kept.to_string().contains(&witness_key(&facts).unwrap().name().to_string()));
    }
    // The ledger as the witness of another one.
    let other = Ledger::in_ring(&mut vault);
    let witness = Witness::ledger(&ledger.store, vault.signer(&ledger.own_key).unwrap()).unwrap();
    let (update, log) = (consistency(&other.store, None).unwrap(), other.store.verifier_key().unwrap());
    let cosigned = cosign(&witness, &ledger.dir.path().join("others"), &update, &log, now()).unwrap();
    keep_cosigned(&other.store, &cosigned).unwrap();
    other.check();
}

#[test]
fn heads_are_signed_by_a_key_that_cannot_leave() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let outcome = ledger.pipeline().with_keys(&mut vault).act(&intent(), |draft| draft.command(create_person(1)));
    let end = ledger.store.end().unwrap();
    assert_eq!(outcome.unwrap().head, Head::Signed { events: end });
    // A key that would ask somebody is not used for a head.
    vault.at_hand.store(false, std::sync::atomic::Ordering::SeqCst);
    let before = vault.signatures();
    let outcome = ledger.pipeline().with_keys(&mut vault).act(&intent(), |draft| draft.command(create_person(2)));
    assert_eq!((outcome.unwrap().head, vault.signatures()), (Head::Unsigned { events: 1 }, before));
    let signer = vault.signer(&ledger.own_key).unwrap();
    let signed = cim_keys::session::heads::sign_head(&ledger.store, &*signer).unwrap();
    signed.verify(&ledger.store.verifier_key().unwrap()).unwrap();
    assert_eq!(signed.size(), end + 1);
    // A key that fails leaves the act recorded, and is no sign of another history.
    for flag in [&vault.at_hand, &vault.absent] {
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    let outcome = ledger.pipeline().with_keys(&mut vault).act(&intent(), |draft| draft.command(create_person(3)));
    let outcome = outcome.unwrap();
    assert_eq!(outcome.events[0].position, end + 2);
    let Head::Failed { reason, contradiction: false } = outcome.head else { panic!("{:?}", outcome.head) };
    assert!(reason.contains("the card was taken out"), "{reason}");
    ledger.check();
}

#[test]
fn a_backup_holds_no_key() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    ledger.act(&mut vault, |draft| generate(draft, "never leaves"));
    let session = Session::open(ledger.place(), intent().actor).unwrap();
    let to = tempfile::TempDir::with_prefix("cim-keys-backup-").unwrap();
    let outcome = backup(&session, to.path(), &mut |_, _| {});
    // It is made of what the folder holds: the events, and no secret.
    let made = outcome.unwrap();
    assert_eq!((made.events, made.secrets), (ledger.store.end().unwrap(), 0));
    assert_eq!(made.left_out.len(), 2, "the ledger's own key and the other one cannot leave: {:?}", made.left_out);
}

#[test]
fn requests_are_made_and_carried_out() {
    let mut vault = Vault::new();
    let (authority, issuer) = (Ledger::in_ring(&mut vault), Ledger::in_ring(&mut vault));
    let identity = issuer.store.identity();
    authority.act(&mut vault, |draft| {
        Ok(draft.command(Command::LinkLedger(LedgerLinked {
            ledger_id: identity.ledger_id,
            name: name("issuer"),
            public_key: identity.public_key.clone(),
            relation: LedgerRelation::Peer,
        }))?)
    });
    let text = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n[people.ada]\nname = \"Ada\"\n";
    let manifest = declare::read(text, &NoFiles).unwrap();
    let request = Request { manifest, name: name("acme"), options: Options::default() };
    let prepared = apply::prepare(&authority.store, request).unwrap();
    let signer = vault.signer(&issuer.own_key).unwrap();
    let until = Timestamp::from_unix_micros(START + 86_400_000_000).unwrap();
    let (id, text) = requests::make(&authority.store, &prepared, &*signer, until).unwrap();
    let opened = requests::open(&authority.store, &text, now()).unwrap();
    assert_eq!(opened.id, id);
    let (request, reviewed) = (opened.prepared.request().clone(), opened.prepared.reviewed());
    let carried = Intent { correlation_id: id, ..intent() };
    let mut minted = declare::Minted::default();
    let outcome = authority.pipeline().with_keys(&mut vault).act_after(
        &carried,
        |store| apply::before(store, &request),
        |draft, before| apply::apply(draft, &request, before, Some(&reviewed), &mut minted),
    );
    assert!(types(&outcome.unwrap().events).contains(&"PersonCreated"));
    authority.check();
    // A request is good once.
    assert!(matches!(requests::open(&authority.store, &text, now()), Err(requests::RefusedRequest::Used(_))));
}
