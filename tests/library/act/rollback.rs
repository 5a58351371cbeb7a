//! What fails on the way records nothing and leaves no secret, and everything can be used afterwards.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use cid::Cid;
use cim_keys::act::*;
use cim_keys::ids::KeyId;
use cim_keys::keys::*;
use cim_keys_testkit::disk::SmallDisk;

use crate::act::support::doubles::*;
use crate::act::support::watched::*;
use crate::act::support::{generate, *};

/// Texts that can't be kept, or that panic.
#[derive(Default)]
struct BrokenTexts {
    panics: bool,
    asked: AtomicBool,
}

impl Texts for BrokenTexts {
    fn get(&self, _: &Cid) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }

    fn put(&self, texts: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
        assert!(!texts.is_empty());
        self.asked.store(true, Ordering::SeqCst);
        assert!(!self.panics, "a panic beside the transaction");
        Err("the disk of the texts is gone".into())
    }
}

fn with_text(draft: &mut Draft<'_>) -> Result<KeyId, Broken> {
    draft.keep_text("a text".to_owned());
    Ok(generate(draft, "made")?.key_id)
}

#[test]
fn texts_that_cannot_be_kept_leave_nothing() {
    let ledger = Ledger::in_custody();
    let (before, texts) = (ledger.store.end().unwrap(), BrokenTexts::default());
    let (ring, seen) = Watched::new(ledger.ring());
    let mut pipeline = Pipeline::new(&ledger.store, cim_keys::policy::built_in()).with_texts(&texts).with_keys(ring);
    let outcome = pipeline.act(&intent(), with_text);
    let Err(ActError::Texts(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why.to_string(), "the disk of the texts is gone");
    assert!(texts.asked.load(Ordering::SeqCst));
    assert_eq!((seen.sealed(), ledger.store.end().unwrap()), (0, before));
    drop(pipeline);
    ledger.check();
    ledger.act(&mut ledger.ring(), with_text);
}

#[test]
fn secrets_that_cannot_be_sealed_leave_nothing() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    let (mut ring, seen) = Watched::new(ledger.ring());
    seen.fail_sealing(true);
    let mut pipeline = ledger.pipeline().with_keys(&mut ring);
    let outcome = pipeline.act(&intent(), with_text);
    assert!(matches!(outcome, Err(ActError::Key(KeyError::Failed(_)))), "{outcome:?}");
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.check();
    // The same ring goes on.
    seen.fail_sealing(false);
    let outcome = pipeline.act(&intent(), with_text).unwrap();
    assert_eq!(types(&outcome.events), ["KeyGenerated"]);
    drop(pipeline);
    ledger.check();
}

#[test]
fn a_compartment_that_is_not_there_leaves_nothing() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    let mut pipeline = ledger.pipeline().with_keys(ledger.ring());
    let outcome: Result<Outcome<_>, Refused> = pipeline.act(&intent(), |draft| {
        generate(draft, "first")?;
        let elsewhere = cim_keys::authority::keys::NewKey { compartment: Some(label("vanished")), ..new_key("second") };
        cim_keys::authority::keys::generate(draft, elsewhere).map_err(broken)
    });
    assert!(matches!(outcome, Err(ActError::Key(_))), "{outcome:?}");
    drop(pipeline);
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.check();
}

#[test]
fn a_panic_leaves_everything_usable() {
    let ledger = Ledger::in_custody();
    let before = ledger.store.end().unwrap();
    let (ring, seen) = Watched::new(ledger.ring());
    let person = Person::who(|question| match question.text.as_str() {
        "panic" => panic!("a defect of a front"),
        _ => Answer::Yes,
    });
    let mut pipeline = ledger.pipeline().with_keys(ring).with_front(person);
    let own = ledger.own_key.clone();
    for place in ["build", "confirm", "sign"] {
        let own = own.clone();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pipeline.act(&intent(), |draft| {
                generate(draft, "made")?;
                assert_ne!(place, "build", "a defect of a use case");
                draft.ask(Question::new(if place == "confirm" { "panic" } else { "Go on?" }, "nothing was done"));
                let own = own.clone();
                draft.sign_commands([create_person(1)], move |signing| {
                    signing.signer(&own)?;
                    panic!("a defect of a signing step")
                })?;
                Ok::<_, Broken>(())
            })
        }));
        assert!(panicked.is_err(), "{place}");
        assert_eq!((ledger.store.end().unwrap(), seen.sealed()), (before, 0));
        // The pipeline, and the store behind it, go on.
        let outcome = pipeline.act(&intent(), |_| Ok::<_, Broken>(())).unwrap();
        assert_eq!(outcome.events.len(), 0);
        ledger.check();
    }
    drop(pipeline);
    // Beside the transaction: the write turn is given back, and what was not kept is not recorded.
    let texts = BrokenTexts { panics: true, ..BrokenTexts::default() };
    let mut pipeline =
        Pipeline::new(&ledger.store, cim_keys::policy::built_in()).with_texts(&texts).with_keys(ledger.ring());
    assert!(catch_unwind(AssertUnwindSafe(|| pipeline.act(&intent(), with_text))).is_err());
    assert_eq!(ledger.store.end().unwrap(), before);
    drop(pipeline);
    ledger.act(&mut ledger.ring(), with_text);
    record(&ledger.other(), vec![create_person(2)]);
    ledger.check();
}

#[test]
fn a_full_disk_records_nothing_and_leaves_no_secret() {
    let Some(disk) = SmallDisk::of_kib(4_096) else { return };
    let ledger = Ledger::in_custody_at(disk.path());
    let mut refused = 0;
    for (round, free) in [0, 8_192, 20_000, 60_000, 120_000].into_iter().enumerate() {
        let before = ledger.store.end().unwrap();
        disk.fill_up_to(free);
        // Either the secrets or the events find no room, or both do.
        let mut full = false;
        for n in 0..200 {
            let named = format!("key {round} {n}");
            let mut pipeline = ledger.pipeline().with_keys(ledger.closed_ring());
            let here = ledger.store.end().unwrap();
            let outcome = pipeline.act(&intent(), |draft| {
                draft.keep_text("x".repeat(4_000) + &named);
                generate(draft, &named)
            });
            if let Err(error) = outcome {
                assert!(matches!(error, ActError::Key(_) | ActError::Texts(_) | ActError::Journal(_)), "{error:?}");
                assert_eq!(ledger.store.end().unwrap(), here);
                full = true;
                break;
            }
        }
        assert!(full, "{free} bytes were enough, from {before} events on");
        refused += 1;
        disk.make_room();
        ledger.check();
        // With room again, the same handle goes on.
        ledger.act(&mut ledger.closed_ring(), |draft| generate(draft, &format!("after {round}")));
    }
    assert_eq!(refused, 5);
}

#[test]
fn a_key_that_is_taken_in_is_sealed_with_its_event_or_not_at_all() {
    let ledger = Ledger::in_custody();
    let other = ledger.other();
    let secret = || cim_keys::keys::pair::PrivateKey::generate(KeyKind::P256).unwrap().secret();
    let imported = |draft: &mut Draft<'_>, secret: SecretBytes| {
        let new = cim_keys::authority::keys::ImportedKey {
            name: name("taken"),
            material: cim_keys::authority::keys::Material::Private(secret),
            purpose: None,
            owner: None,
            compartment: None,
            validity: cim_keys::events::Validity::ALWAYS,
            origin: note("a safe"),
            was_plaintext: false,
        };
        cim_keys::authority::keys::import(draft, &new).map_err(broken)
    };
    let (text, mut drafts) = (secret(), 0);
    let copy = || SecretBytes::new(Box::new(secrecy::ExposeSecret::expose_secret(&text).clone()));
    let outcome = ledger.pipeline().with_keys(ledger.ring()).act(&intent(), |draft| {
        drafts += 1;
        if drafts == 1 {
            record(&other, vec![create_person(1)]);
        }
        imported(draft, copy())
    });
    assert_eq!((types(&outcome.unwrap().events), drafts), (vec!["KeyImported"], 2));
    ledger.check();
    // The same once more is refused, and not sealed a second time.
    let outcome: Result<Outcome<_>, Refused> =
        ledger.pipeline().with_keys(ledger.ring()).act(&intent(), |draft| imported(draft, copy()));
    assert!(matches!(outcome, Err(ActError::Build(_))), "{outcome:?}");
    ledger.check();
    let error: Box<dyn Error> = Box::new(outcome.unwrap_err());
    assert!(error.to_string().contains("is taken"), "{error}");
}
