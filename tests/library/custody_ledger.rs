//! Custody and ledger together: keys made, imported, rotated, revoked, exported; and what a killed process leaves.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use cim_keys::act::{ActError, Draft, Pipeline};
use cim_keys::authority::keys::{self, Destination, ImportedKey, KeyActError, Material, NewKey, Successor};
use cim_keys::custody::{Custody, NoPassphrases, Ring, SealError, WorkFactor};
use cim_keys::events::{EventData, KeyPurpose, NkeyKind, RevocationReason, Validity};
use cim_keys::ids::KeyId;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::keys::{KeyKind, verify};
use cim_keys::ledger::{Command, Facts, KeyFacts};
use cim_keys::policy;
use cim_keys::session::LedgerActError;
use cim_keys::session::custody::{check, remove_orphans};
use cim_keys::store::{AppendError, JournalError};
use cim_keys::text::Recipient;
use cim_keys_testkit::{again, texts::note};
use secrecy::ExposeSecret as _;

use crate::custody_support::{self, Fault, Faulty, Fixture, Interrupted, PASSPHRASE, label, new};
use crate::support::store::{act, intent, name};

impl Fixture {
    fn generate(&self, new: NewKey) -> Result<KeyFacts, LedgerActError<KeyActError>> {
        let outcome = self.act(|draft| keys::generate(draft, new.clone()))?;
        let [recorded] = &outcome.events[..] else { panic!("{outcome:?}") };
        let EventData::KeyGenerated(event) = &recorded.event.data else { panic!("{recorded:?}") };
        assert_eq!(*event, outcome.value);
        Ok(self.facts(event.key_id))
    }

    fn facts(&self, key: KeyId) -> KeyFacts {
        let entity = self.store.view(|view| view.get(key.into())).unwrap().unwrap().unwrap();
        let Facts::Key(facts) = entity.facts else { panic!("{entity:?}") };
        facts
    }

    fn private(&self, key: &KeyFacts) -> PrivateKey {
        self.unlock(key.compartment.as_ref().unwrap()).private_key(key.key_id, &key.public_key).unwrap()
    }
}

/// Whether the ledger refuses a command.
fn is_refused<T: std::fmt::Debug>(outcome: &Result<T, LedgerActError<KeyActError>>) -> bool {
    matches!(outcome, Err(ActError::Build(KeyActError::Refused(_))))
}

#[test]
fn keys_of_every_kind_are_made_where_they_belong_and_sign() {
    let f = Fixture::new();
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
    let f = Fixture::new();
    f.generate(new("one", KeyKind::Ed25519)).unwrap();
    let again = f.generate(new("one", KeyKind::Ed25519));
    assert!(is_refused(&again), "{again:?}");
    let unfit = NewKey { purpose: Some(KeyPurpose::NatsUser), ..new("two", KeyKind::P256) };
    let error = f.generate(unfit).unwrap_err();
    assert!(error.to_string().contains("but nkey-user"), "{error}");
    let nobody = NewKey { owner: Some("person:Nobody".into()), ..new("two", KeyKind::P256) };
    assert!(matches!(f.generate(nobody), Err(ActError::Build(KeyActError::Lookup(_)))));
    let nowhere = NewKey { compartment: Some(label("vault")), ..new("two", KeyKind::P256) };
    let error = f.generate(nowhere).unwrap_err();
    assert!(error.to_string().contains("there are \"issuing\", \"root\""), "{error}");
    f.all_is_well();
}

#[test]
fn a_private_key_is_imported_and_so_is_a_public_one() {
    let f = Fixture::new();
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
        f.act(|draft| keys::import(draft, &new)).map(|outcome| outcome.events)
    };
    let recorded = import("account", Material::Private(private.secret())).unwrap();
    let EventData::KeyImported(event) = &recorded[0].event.data else { panic!("{recorded:?}") };
    assert!(event.was_plaintext && event.compartment == Some(label("issuing")));
    assert_eq!(f.private(&f.facts(event.key_id)).secret().expose_secret(), private.secret().expose_secret());
    // The same key a second time is refused, and leaves nothing.
    let again = import("another", Material::Private(private.secret()));
    assert!(is_refused(&again), "{again:?}");

    let other = PrivateKey::generate(KeyKind::P256).unwrap().public();
    let recorded = import("partner", Material::Public(other.public_key.to_string())).unwrap();
    let EventData::KeyImported(event) = &recorded[0].event.data else { panic!("{recorded:?}") };
    assert_eq!((&event.public_key, &event.compartment, event.was_plaintext), (&other.public_key, &None, false));
    for nothing in ["", "UABC", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
        let refused = import("nothing", Material::Public(nothing.into()));
        assert!(matches!(refused, Err(ActError::Build(KeyActError::Public(_)))), "{nothing}");
    }
    f.all_is_well();
}

#[test]
fn a_rotation_retires_the_old_key_and_seals_the_new_one_in_one_act() {
    let f = Fixture::new();
    let old = f.generate(new("signing", KeyKind::Nkey(NkeyKind::Operator))).unwrap();
    let rotate = |which: &str| f.act(|draft| keys::rotate(draft, which, Successor::default()));
    let recorded = rotate("signing").unwrap().events;
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].event.correlation_id, recorded[1].event.correlation_id);
    assert!(recorded.iter().all(|one| !one.event.causes.is_empty()), "{recorded:#?}");
    let successor = f.facts(f.facts(old.key_id).successor_id.unwrap());
    assert_ne!(successor.public_key, old.public_key);
    assert_eq!((successor.purpose, &successor.compartment), (old.purpose, &old.compartment));
    assert_eq!(f.private(&successor).kind(), KeyKind::Nkey(NkeyKind::Operator));
    // The old one is still there to be opened, and can't be rotated again.
    f.private(&old);
    let again = rotate(&old.key_id.to_string());
    assert!(is_refused(&again), "{again:?}");
    f.all_is_well();
}

#[test]
fn a_key_that_was_revoked_in_between_is_not_rotated() {
    let f = Fixture::new();
    let old = f.generate(new("signing", KeyKind::Ed25519)).unwrap();
    let revoke = f.store.view(|view| keys::revoke(view, "signing", RevocationReason::KeyCompromise, None, None));
    let revoke = revoke.unwrap().unwrap();
    act(&f.store, vec![revoke]).unwrap();
    let refused = f.act(|draft| keys::rotate(draft, &old.key_id.to_string(), Successor::default()));
    assert!(is_refused(&refused), "{refused:?}");
    f.all_is_well();

    // It is revoked while the rotation is drafted: that is drafted anew, and its secret is not left behind.
    let old = f.generate(new("another", KeyKind::Ed25519)).unwrap();
    let (reason, mut revocations) = (RevocationReason::KeyCompromise, 0);
    let refused = f.act(|draft| {
        let rotated = keys::rotate(draft, "another", Successor::default());
        if revocations == 0 {
            revocations += 1;
            let revoke = Command::RevokeKey { key_id: old.key_id, reason, note: None, invalid_since: None };
            act(&f.place.open(), vec![revoke]).unwrap();
        }
        rotated
    });
    assert!(is_refused(&refused), "{refused:?}");
    f.all_is_well();
}

#[test]
fn an_export_is_recorded_and_sealed_unless_it_is_plain() {
    let f = Fixture::new();
    let key = f.generate(new("signing", KeyKind::Ed25519)).unwrap();
    let outside = f.place.dir.path().join("outside");
    let other = Custody::create(&outside, &[(label("theirs"), PASSPHRASE.into())], WorkFactor::LEAST).unwrap();
    let recipient = Recipient::new(&other.recipient(&label("theirs")).unwrap()).unwrap();
    let export = |to| {
        let ring = f.ring().with_open(f.unlock(&label("issuing")));
        f.act_with(ring, |draft| keys::export(draft, &key.key_id.to_string(), &to, &note("moves to the new issuer")))
    };

    let sealed = export(Destination::Sealed(recipient.clone())).unwrap();
    let EventData::KeyExported(event) = &sealed.events[0].event.data else { panic!() };
    assert_eq!(event.recipient, Some(recipient));
    let file = outside.join(format!("theirs/keys/{}.age", key.key_id));
    std::fs::write(&file, sealed.value.expose_secret()).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let theirs = other.unlock(&label("theirs"), PASSPHRASE.into()).unwrap();
    theirs.private_key(key.key_id, &key.public_key).unwrap();

    let plain = export(Destination::Plain).unwrap();
    let EventData::KeyExported(event) = &plain.events[0].event.data else { panic!() };
    assert_eq!(event.recipient, None);
    assert_eq!(PrivateKey::parse(&plain.value).unwrap().public().public_key, key.public_key);
    assert_eq!(f.facts(key.key_id).exports, 2);

    let error = export(Destination::Sealed(Recipient::new("age1qqqqqqqq").unwrap())).unwrap_err();
    assert!(error.to_string().contains("could not seal to"), "{error}");
    assert_eq!(f.facts(key.key_id).exports, 2);
    f.all_is_well();
}

#[test]
fn an_exchanged_or_unknown_compartment_is_reported() {
    let mut f = Fixture::new();
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
    if let Some(folder) = again::place() {
        // The child: makes a key, and dies where it hurts most.
        custody_support::die_between_sealing_and_recording(&folder, KeyKind::Ed25519, 1);
    }
    let f = Fixture::new();
    f.generate(new("one", KeyKind::Ed25519)).unwrap();
    again::dies(
        module_path!(),
        "a_process_killed_between_sealing_and_recording_leaves_an_orphan_and_nothing_worse",
        f.place.dir.path(),
    );
    let compared = check(&f.store, &f.custody).unwrap();
    assert_eq!((compared.files.orphans.len(), compared.files.missing.len()), (1, 0), "{compared:#?}");
    let orphan = compared.files.orphans[0].1;
    assert!(f.store.view(|view| view.get(orphan.into())).unwrap().unwrap().is_none());
    assert_eq!(remove_orphans(&f.custody, &compared.files).unwrap(), 1);
    // What the act meant to do is settled by the next opening for writing; nothing is left to remove for it.
    assert_eq!(cim_keys::session::custody::settle(&f.store, &f.custody).unwrap(), 0);
    f.generate(new("key 0", KeyKind::Ed25519)).unwrap();
    f.all_is_well();
}

#[test]
fn a_failed_append_removes_the_secret_and_a_recorded_key_keeps_it() {
    let f = Fixture::new();
    let made = |name: &str, journal: Interrupted<'_>| {
        let mut made = None;
        let failed = Pipeline::new(&journal, policy::built_in()).with_keys(f.ring()).act(&intent(), |draft| {
            made = Some(keys::generate(draft, new(name, KeyKind::Ed25519))?);
            Ok::<_, KeyActError>(())
        });
        (made.unwrap(), failed.unwrap_err())
    };
    let interrupted = |error: &_| matches!(error, ActError::Journal(JournalError::Append(AppendError::Interrupted)));
    let (key, error) = made("one", Interrupted::new(&f.store, false));
    assert!(interrupted(&error), "{error}");
    assert!(!f.custody.holds(&key.compartment, key.key_id).unwrap());
    f.all_is_well();

    // Recording says that it failed although it did not: the ledger is asked, and the secret stays.
    let (key, error) = made("one", Interrupted::new(&f.store, true));
    assert!(interrupted(&error), "{error}");
    assert!(f.custody.holds(&key.compartment, key.key_id).unwrap());
    f.all_is_well();

    // The ledger can't be asked: the secret stays, and a later process that can ask settles it.
    for records in [false, true] {
        let (key, error) = made("two", Interrupted::new(&f.store, records).unreadable());
        assert!(matches!(&error, ActError::Left { source, left: 1 } if interrupted(source)), "{error}");
        assert!(f.custody.holds(&key.compartment, key.key_id).unwrap());
        assert!(Custody::has_intents(f.custody.path()));
        let recorded = |key: KeyId| f.store.view(|view| view.get(key.into())).unwrap().unwrap().is_some();
        let settled = f.custody.settle(|key| Ok::<_, SealError>(recorded(key))).unwrap();
        assert_eq!(settled, usize::from(!records));
        assert_eq!(f.custody.holds(&key.compartment, key.key_id).unwrap(), records);
        f.all_is_well();
    }
}

#[test]
fn nothing_is_recorded_when_a_secret_is_not_sealed() {
    let f = Fixture::new();
    let end = f.store.end().unwrap();
    let many = |draft: &mut Draft<'_>| {
        custody_support::generate_many(draft, KeyKind::Ed25519, 200)?;
        keys::generate(draft, new("the last", KeyKind::Nkey(NkeyKind::Operator)))
    };
    // The compartment of the last one can't be used as it is, when those before it are sealed.
    let keys = f.custody.path().join("root/keys");
    let set = |mode| std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    set(0o755);
    let failed = f.act(many);
    assert!(matches!(failed, Err(ActError::Key(_))), "{failed:?}");
    set(0o700);
    assert_eq!((f.store.end().unwrap(), f.custody.secrets().unwrap()), (end, 0));
    f.all_is_well();

    let failed = f.act_with(Faulty::new(f.ring(), Fault::Fails), many);
    assert!(failed.unwrap_err().to_string().contains("the disk is gone"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = f.act_with(Faulty::new(f.ring(), Fault::Panics), many);
    }));
    assert!(panicked.is_err());
    assert_eq!((f.store.end().unwrap(), f.custody.secrets().unwrap()), (end, 0));
    f.all_is_well();
    assert_eq!(f.act(many).unwrap().events.len(), 201);
    assert_eq!((f.store.end().unwrap(), f.custody.secrets().unwrap()), (end + 201, 201));
    f.all_is_well();
}

#[test]
fn what_is_not_sealed_yet_is_not_recorded_yet() {
    let f = Fixture::new();
    let end = f.store.end().unwrap();
    let ((began, has_begun), (go, may_go)) = (channel::<()>(), channel::<()>());
    let may_go = Mutex::new(may_go);
    let wait = move || {
        began.send(()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
    };
    let (fault, folder) = (Fault::Hangs(Arc::new(wait)), f.custody.path());
    std::thread::scope(|scope| {
        let store = &f.store;
        let held = scope.spawn(move || {
            Pipeline::new(store, policy::built_in())
                .with_keys(Faulty::new(Ring::at(folder, NoPassphrases), fault))
                .act(&intent(), |draft| keys::generate(draft, new("one", KeyKind::Ed25519)))
                .map(|outcome| outcome.events.len())
        });
        has_begun.recv().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(store.end().unwrap(), end);
        assert!(!held.is_finished());
        go.send(()).unwrap();
        assert_eq!(held.join().unwrap().unwrap(), 1);
    });
    f.all_is_well();
}
