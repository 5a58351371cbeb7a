//! Custody and ledger together: keys made, imported, rotated, revoked, exported; and what a killed process leaves.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(all(feature = "custody", feature = "store"))]

mod store_support;

use cim_keys::app::custody::{SealedError, announce, check, record_sealed, remove_orphans};
use cim_keys::app::keys::{self, Destination, ImportedKey, KeyError, Material, NewKey, Successor};
use cim_keys::custody::{Custody, SecretBytes, WorkFactor};
use cim_keys::events::{EventData, KeyPurpose, NkeyKind, RevocationReason, Validity};
use cim_keys::ids::KeyId;
use cim_keys::keys::pair::{KeyKind, PrivateKey, verify};
use cim_keys::ledger::{Command, Facts, KeyFacts};
use cim_keys::store::{AppendError, Store};
use cim_keys::text::{Label, Note, Recipient};
use secrecy::ExposeSecret as _;
use store_support::{Place, context, name};

const PASSPHRASE: &str = "a passphrase for tests";

struct Fixture {
    place: Place,
    store: Store,
    custody: Custody,
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

fn note(text: &str) -> Note {
    Note::new(text).unwrap()
}

fn fixture() -> Fixture {
    let place = Place::new();
    let store = place.create();
    let new = [(label("root"), PASSPHRASE.into()), (label("issuing"), PASSPHRASE.into())];
    let custody = Custody::create(&place.dir.path().join("custody"), &new, WorkFactor::LEAST).unwrap();
    store.execute(context(), announce(&custody).unwrap()).unwrap();
    Fixture { place, store, custody }
}

fn new(text: &str, kind: KeyKind) -> NewKey {
    NewKey {
        name: name(text),
        kind,
        purpose: None,
        owner: None,
        compartment: None,
        validity: Validity::ALWAYS,
        location: None,
    }
}

impl Fixture {
    fn generate(&self, new: NewKey) -> Result<KeyFacts, KeyError> {
        let recorded = keys::generate(&self.store, &self.custody, context(), new)?;
        let EventData::KeyGenerated(event) = &recorded[0].event.data else { panic!("{recorded:?}") };
        Ok(self.facts(event.key_id))
    }

    fn facts(&self, key: KeyId) -> KeyFacts {
        let entity = self.store.view(|view| view.get(key.into())).unwrap().unwrap().unwrap();
        let Facts::Key(facts) = entity.facts else { panic!("{entity:?}") };
        facts
    }

    fn private(&self, key: &KeyFacts) -> PrivateKey {
        let unlocked = self.custody.unlock(key.compartment.as_ref().unwrap(), PASSPHRASE.into()).unwrap();
        PrivateKey::reveal(&unlocked, key.key_id, &key.public_key).unwrap()
    }

    #[track_caller]
    fn all_is_well(&self) {
        let compared = check(&self.store, &self.custody).unwrap();
        assert!(compared.is_clean(), "{compared:#?}");
        store_support::check(&self.store);
    }
}

#[test]
fn keys_of_every_kind_are_made_where_they_belong_and_sign() {
    let f = fixture();
    for kind in KeyKind::ALL {
        let key = f.generate(new(&format!("the {kind}"), kind)).unwrap();
        let root = matches!(kind, KeyKind::Nkey(NkeyKind::Operator));
        assert_eq!(key.compartment, Some(label(if root { "root" } else { "issuing" })), "{kind}");
        assert_eq!(key.purpose, keys::default_purpose(kind));
        let private = f.private(&key);
        if let Ok(signature) = private.sign(b"an act") {
            verify(&private.public(), b"an act", &signature).unwrap();
        }
    }
    f.all_is_well();
}

#[test]
fn what_is_refused_leaves_no_secret() {
    let f = fixture();
    f.generate(new("one", KeyKind::Ed25519)).unwrap();
    let error = f.generate(new("one", KeyKind::Ed25519)).unwrap_err();
    assert!(matches!(&error, KeyError::Append(AppendError::Refused(_))), "{error}");
    let unfit = NewKey { purpose: Some(KeyPurpose::NatsUser), ..new("two", KeyKind::P256) };
    let error = f.generate(unfit).unwrap_err();
    assert!(error.to_string().contains("choose nkey-user"), "{error}");
    let nobody = NewKey { owner: Some("person:Nobody".into()), ..new("two", KeyKind::P256) };
    assert!(matches!(f.generate(nobody), Err(KeyError::Lookup(_))));
    let nowhere = NewKey { compartment: Some(label("vault")), ..new("two", KeyKind::P256) };
    let error = f.generate(nowhere).unwrap_err();
    assert!(error.to_string().contains("there are \"issuing\", \"root\""), "{error}");
    f.all_is_well();
}

#[test]
fn a_private_key_is_imported_and_so_is_a_public_one() {
    let f = fixture();
    let private = PrivateKey::generate(KeyKind::Nkey(NkeyKind::Account)).unwrap();
    let import = |text: &str, material| {
        let new = ImportedKey {
            name: name(text),
            material,
            purpose: None,
            owner: None,
            compartment: None,
            validity: Validity::ALWAYS,
            origin: note("nsc on the old laptop"),
            was_plaintext: true,
        };
        keys::import(&f.store, &f.custody, context(), &new)
    };
    let recorded = import("account", Material::Private(private.secret())).unwrap();
    let EventData::KeyImported(event) = &recorded[0].event.data else { panic!("{recorded:?}") };
    assert!(event.was_plaintext && event.compartment == Some(label("issuing")));
    assert_eq!(f.private(&f.facts(event.key_id)).secret().expose_secret(), private.secret().expose_secret());
    // The same key a second time is refused, and leaves nothing.
    let error = import("another", Material::Private(private.secret())).unwrap_err();
    assert!(matches!(error, KeyError::Append(AppendError::Refused(_))), "{error}");

    let other = PrivateKey::generate(KeyKind::P256).unwrap().public();
    let recorded = import("partner", Material::Public(other.public_key.to_string())).unwrap();
    let EventData::KeyImported(event) = &recorded[0].event.data else { panic!("{recorded:?}") };
    assert_eq!((&event.public_key, &event.compartment, event.was_plaintext), (&other.public_key, &None, false));
    for nothing in ["", "UABC", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
        assert!(matches!(import("nothing", Material::Public(nothing.into())), Err(KeyError::Public(_))), "{nothing}");
    }
    f.all_is_well();
}

#[test]
fn a_rotation_retires_the_old_key_and_seals_the_new_one_in_one_act() {
    let f = fixture();
    let old = f.generate(new("signing", KeyKind::Nkey(NkeyKind::Operator))).unwrap();
    let recorded = keys::rotate(&f.store, &f.custody, context(), "signing", Successor::default()).unwrap();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].event.correlation_id, recorded[1].event.correlation_id);
    assert!(recorded.iter().all(|one| !one.event.causes.is_empty()), "{recorded:#?}");
    let successor = f.facts(f.facts(old.key_id).successor_id.unwrap());
    assert_ne!(successor.public_key, old.public_key);
    assert_eq!((successor.purpose, &successor.compartment), (old.purpose, &old.compartment));
    assert_eq!(f.private(&successor).kind(), KeyKind::Nkey(NkeyKind::Operator));
    // The old one is still there to be opened, and can't be rotated again.
    f.private(&old);
    let again = keys::rotate(&f.store, &f.custody, context(), &old.key_id.to_string(), Successor::default());
    assert!(matches!(again, Err(KeyError::Append(AppendError::Refused(_)))), "{again:?}");
    f.all_is_well();
}

#[test]
fn a_key_that_was_revoked_in_between_is_not_rotated() {
    let f = fixture();
    let old = f.generate(new("signing", KeyKind::Ed25519)).unwrap();
    let revoke = f.store.view(|view| keys::revoke(view, "signing", RevocationReason::KeyCompromise, None, None));
    f.store.execute(context(), vec![revoke.unwrap().unwrap()]).unwrap();
    let error = keys::rotate(&f.store, &f.custody, context(), &old.key_id.to_string(), Successor::default());
    assert!(matches!(error, Err(KeyError::Append(AppendError::Refused(_)))), "{error:?}");
    f.all_is_well();
}

#[test]
fn an_export_is_recorded_and_sealed_unless_it_is_plain() {
    let f = fixture();
    let key = f.generate(new("signing", KeyKind::Ed25519)).unwrap();
    let outside = f.place.dir.path().join("outside");
    let other = Custody::create(&outside, &[(label("theirs"), PASSPHRASE.into())], WorkFactor::LEAST).unwrap();
    let recipient = Recipient::new(&other.recipient(&label("theirs")).unwrap()).unwrap();
    let unlocked = f.custody.unlock(&label("issuing"), PASSPHRASE.into()).unwrap();
    let export = |to| keys::export(&f.store, &unlocked, context(), key.key_id, to, note("moves to the new issuer"));

    let sealed = export(Destination::Sealed(recipient.clone())).unwrap();
    let EventData::KeyExported(event) = &sealed.recorded[0].event.data else { panic!() };
    assert_eq!(event.recipient, Some(recipient));
    let file = outside.join(format!("theirs/keys/{}.age", key.key_id));
    std::fs::write(&file, sealed.content.expose_secret()).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let theirs = other.unlock(&label("theirs"), PASSPHRASE.into()).unwrap();
    PrivateKey::reveal(&theirs, key.key_id, &key.public_key).unwrap();

    let plain = export(Destination::Plain).unwrap();
    let EventData::KeyExported(event) = &plain.recorded[0].event.data else { panic!() };
    assert_eq!(event.recipient, None);
    assert_eq!(PrivateKey::parse(&plain.content).unwrap().public().public_key, key.public_key);
    assert_eq!(f.facts(key.key_id).exports, 2);

    let error = export(Destination::Sealed(Recipient::new("age1qqqqqqqq").unwrap())).unwrap_err();
    assert!(error.to_string().contains("age-keygen"), "{error}");
    assert_eq!(f.facts(key.key_id).exports, 2);
    f.all_is_well();
}

#[test]
fn an_exchanged_or_unknown_compartment_is_reported() {
    let mut f = fixture();
    let dir = f.custody.path().to_owned();
    std::fs::copy(dir.join("issuing/recipient"), dir.join("root/recipient")).unwrap();
    let compared = check(&f.store, &Custody::open(&dir).unwrap()).unwrap();
    assert_eq!(compared.exchanged, [label("root")]);
    f.custody.add_compartment(&label("agents"), &PASSPHRASE.into()).unwrap();
    std::fs::rename(dir.join("root"), f.place.dir.path().join("root")).unwrap();
    let compared = check(&f.store, &Custody::open(&dir).unwrap()).unwrap();
    assert_eq!(compared.absent, [label("root")]);
    assert_eq!(compared.files.strays, [dir.join("agents")]);
}

#[test]
fn a_process_killed_between_sealing_and_recording_leaves_an_orphan_and_nothing_worse() {
    if let Some(dir) = store_support::killed_in() {
        // The child: makes a key, and dies where it hurts most.
        let mut place = Place::new();
        place.dir = tempfile::TempDir::new_in(&dir).unwrap();
        let options = place.options_at(&dir.join("ledger.db"));
        let store = Store::open_read_only(options).unwrap();
        let custody = Custody::open(&dir.join("custody")).unwrap();
        let made = store.view(|view| keys::make(view, new("never recorded", KeyKind::Ed25519))).unwrap().unwrap();
        let (compartment, key) = (made.facts.compartment.clone(), made.facts.key_id);
        let _ = record_sealed(&store, &custody, &[made.into_sealable()], context(), |_| -> Result<(), AppendError> {
            while !custody.holds(&compartment, key).unwrap() {
                std::thread::yield_now();
            }
            std::process::abort();
        });
        unreachable!();
    }
    let f = fixture();
    f.generate(new("one", KeyKind::Ed25519)).unwrap();
    store_support::kill(
        "a_process_killed_between_sealing_and_recording_leaves_an_orphan_and_nothing_worse",
        f.place.dir.path(),
    );
    let compared = check(&f.store, &f.custody).unwrap();
    assert_eq!((compared.files.orphans.len(), compared.files.missing.len()), (1, 0), "{compared:#?}");
    let orphan = compared.files.orphans[0].1;
    assert!(f.store.view(|view| view.get(orphan.into())).unwrap().unwrap().is_none());
    assert_eq!(remove_orphans(&f.custody, &compared.files).unwrap(), 1);
    // What the act meant to do is settled by the next opening for writing; nothing is left to remove for it.
    assert_eq!(cim_keys::app::custody::settle(&f.store, &f.custody).unwrap(), 0);
    f.generate(new("never recorded", KeyKind::Ed25519)).unwrap();
    f.all_is_well();
}

#[test]
fn a_failed_append_removes_the_secret_and_a_recorded_key_keeps_it() {
    let f = fixture();
    let sealable = |key| [(label("root"), key, SecretBytes::new(Box::new(b"a seed".to_vec())))];
    let key = KeyId::mint();
    let interrupted = |_| Err::<(), _>(AppendError::Interrupted);
    let failed = record_sealed(&f.store, &f.custody, &sealable(key), context(), interrupted);
    assert!(failed.is_err() && !f.custody.holds(&label("root"), key).unwrap());

    // Recording says that it failed although it did not: the ledger is asked, and the secret stays.
    let made = f.store.view(|view| keys::make(view, new("one", KeyKind::Ed25519))).unwrap().unwrap();
    let facts = made.facts.clone();
    let failed = record_sealed(&f.store, &f.custody, &[made.into_sealable()], context(), |_| {
        f.store.execute(context(), vec![Command::GenerateKey(facts.clone())]).unwrap();
        Err::<(), _>(AppendError::Interrupted)
    });
    assert!(failed.unwrap_err().to_string().contains("custody check"));
    assert!(f.custody.holds(&facts.compartment, facts.key_id).unwrap());
    f.all_is_well();
}

#[test]
fn nothing_is_recorded_when_a_secret_is_not_sealed() {
    let f = fixture();
    let end = f.store.end().unwrap();
    let mut keys: Vec<_> = (0..200)
        .map(|n| f.store.view(|view| keys::make(view, new(&format!("key {n}"), KeyKind::Ed25519))).unwrap().unwrap())
        .collect();
    let commands: Vec<_> = keys.iter().map(|key| Command::GenerateKey(key.facts.clone())).collect();
    let broken = keys.len() - 1;
    keys[broken].secret = SecretBytes::new(Box::new(vec![0; cim_keys::custody::LONGEST_SECRET + 1]));
    let secrets: Vec<_> = keys.into_iter().map(keys::MadeKey::into_sealable).collect();
    let mut unfulfilled = false;
    let failed = record_sealed(&f.store, &f.custody, &secrets, context(), |context| {
        let answer = f.store.execute(context, commands.clone());
        unfulfilled = matches!(answer, Err(AppendError::Unfulfilled));
        answer
    });
    assert!(matches!(failed, Err(SealedError::Seal(_))), "{failed:?}");
    assert!(unfulfilled);
    assert_eq!(f.store.end().unwrap(), end);
    for (compartment, key, _) in &secrets {
        assert!(!f.custody.holds(compartment, *key).unwrap());
    }
    f.all_is_well();
}
