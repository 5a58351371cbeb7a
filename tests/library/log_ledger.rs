//! The log of a real ledger: heads are signed in order, proofs hold for every event, and nothing is signed twice differently.

use std::sync::Arc;

use cim_keys::app::log::{self, CheckError, Disclose, Requirements};
use cim_keys::delivery::outbox::Outbox as _;
use cim_keys::session::heads;
use cim_keys::session::heads::LogError;
use cim_keys::store::{AppendError, CheckpointStoreError, Store, Which};
use cim_keys::time::Timestamp;

use crate::support::log::{Ledger, act, append_error, new_organization, options};

#[test]
fn heads_are_signed_once_and_travel_with_the_outbox() {
    let ledger = Ledger::new();
    assert_eq!(heads::head(&ledger.store).unwrap().unsigned(), 2);
    assert!(matches!(
        log::prove(&ledger.store, &Which::Position(1), Disclose::Cid),
        Err(LogError::Unsigned { position: 1, signed: 0 })
    ));
    let first = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    assert_eq!(heads::sign_head(&ledger.store, &*ledger.signer).unwrap(), first);
    assert_eq!(first.size(), 2);
    first.verify(&ledger.requirements().key).unwrap();
    assert!(ledger.requirements().key.name().as_str().starts_with("acme-keys/"));

    ledger.grow(3);
    let head = heads::head(&ledger.store).unwrap();
    assert_eq!((head.unsigned(), head.signed.as_ref()), (3, Some(&first)));
    let outbox = ledger.store.outbox().unwrap();
    assert_eq!(outbox.checkpoint(2).unwrap(), Some(first.to_string()));
    assert_eq!(outbox.checkpoint(3).unwrap(), None);
    let second = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    assert_eq!(second.size(), 5);
    assert!(ledger.store.verify(&mut |_, _| {}).ok());

    let update = log::consistency(&ledger.store, Some(&first)).unwrap();
    let with_from = Requirements { from: Some(first.clone()), ..ledger.requirements() };
    let checked = log::check(&update.to_string(), &with_from).unwrap();
    assert_eq!((checked.continues, checked.head.size), (Some(2), 5));
    assert!(matches!(log::check(&update.to_string(), &ledger.requirements()), Err(CheckError::FromNeeded)));
    let other = Ledger::new();
    other.grow(1);
    let foreign = heads::sign_head(&other.store, &*other.signer).unwrap();
    assert!(matches!(log::consistency(&ledger.store, Some(&foreign)), Err(LogError::OtherHistory { size: 3 })));
}

#[test]
fn every_event_is_proved_under_every_head() {
    let ledger = Ledger::new();
    for _ in 0..4 {
        ledger.grow(3);
        let head = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
        for position in 1..=head.size() {
            let proof = log::prove(&ledger.store, &Which::Position(position), Disclose::Event).unwrap();
            let checked = log::check(&proof.to_string(), &ledger.requirements()).unwrap();
            let event = checked.event.unwrap();
            assert_eq!(event.position, position);
            let recorded = ledger.store.event(&Which::Position(position)).unwrap();
            assert_eq!((event.cid, event.event.unwrap().block), (recorded.cid, recorded.block));
        }
    }
}

#[test]
fn a_date_is_vouched_for_by_whoever_was_asked() {
    let (ledger, witness) = (Ledger::new(), Ledger::new());
    let signed = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let memory = witness.folder.path().join("witnessed");
    let update = log::consistency(&ledger.store, None).unwrap();
    let (key, witness_key) = (ledger.requirements().key, witness.store.verifier_key().unwrap().as_witness());
    let now = Timestamp::now();
    let cosigned = log::cosign(
        &log::Witness::ledger(&witness.store, Arc::clone(&witness.signer)).unwrap(),
        &memory,
        &update,
        &key,
        now,
    )
    .unwrap();
    assert!(std::fs::read_to_string(&memory).unwrap().contains(" 2 "));
    let kept = log::keep_cosigned(&ledger.store, &cosigned).unwrap();
    assert_eq!(kept.signatures().len(), signed.signatures().len() + 1);
    assert_eq!(heads::head(&ledger.store).unwrap().signed.unwrap(), kept);

    let proof = log::prove(&ledger.store, &Which::Position(2), Disclose::Event).unwrap().to_string();
    let at = |micros: i64| Timestamp::from_unix_micros(now.unix_micros() + micros);
    let with = |before, witnesses| Requirements { before, witnesses, ..ledger.requirements() };
    log::check(&proof, &with(at(1), vec![])).unwrap();
    log::check(&proof, &with(at(2_000_000), vec![witness_key.clone()])).unwrap();
    assert!(matches!(log::check(&proof, &with(at(-60_000_000), vec![])), Err(CheckError::Later { .. })));
    // The event says that it is older than the witness ever saw it.
    let between = log::cosign(
        &log::Witness::ledger(&witness.store, Arc::clone(&witness.signer)).unwrap(),
        &memory,
        &update,
        &key,
        at(90_000_000).unwrap(),
    )
    .unwrap();
    log::keep_cosigned(&ledger.store, &between).unwrap();
    let proof = log::prove(&ledger.store, &Which::Position(2), Disclose::Event).unwrap().to_string();
    assert!(matches!(
        log::check(&proof, &with(at(2_000_000), vec![witness_key.clone()])),
        Err(CheckError::SeenLater { .. })
    ));
    let closed = log::prove(&ledger.store, &Which::Position(2), Disclose::Cid).unwrap().to_string();
    assert!(matches!(log::check(&closed, &with(at(1), vec![])), Err(CheckError::NotDisclosed)));
    let stranger = Ledger::new();
    let asked = vec![stranger.store.verifier_key().unwrap().as_witness()];
    assert!(matches!(log::check(&closed, &with(None, asked)), Err(CheckError::Checkpoint(_))));
}

/// Rewrites hashes of the stored tree, below the first four leaves.
fn tamper_with_the_tree(folder: &std::path::Path) {
    let database = rusqlite::Connection::open(folder.join("ledger.db")).unwrap();
    database.execute("UPDATE node SET h = zeroblob(32) WHERE i = 3", []).unwrap();
    database.execute("UPDATE node SET h = zeroblob(32) WHERE i = 6", []).unwrap();
}

#[test]
fn what_was_signed_is_never_signed_differently() {
    let ledger = Ledger::new();
    ledger.grow(2);
    let head = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let other = Ledger::new();
    other.grow(2);
    let foreign = heads::sign_head(&other.store, &*other.signer).unwrap();
    assert!(matches!(log::keep_cosigned(&ledger.store, &foreign), Err(LogError::Checkpoint(_))));
    assert!(matches!(ledger.store.keep_checkpoint(&foreign), Err(CheckpointStoreError::Disagrees { size: 4 })));
    assert!(matches!(heads::sign_head(&ledger.store, &*other.signer), Ok(same) if same == head));
    ledger.grow(1);
    let refused = heads::sign_head(&ledger.store, &*other.signer);
    assert!(matches!(refused, Err(LogError::Keep(CheckpointStoreError::Checkpoint(_)))), "{refused:?}");

    // Somebody rewrites the tree below what was signed.
    let Ledger { folder, store, signer } = ledger;
    store.close().unwrap();
    tamper_with_the_tree(folder.path());
    let store = Store::open(options(folder.path())).unwrap();
    let refused = heads::sign_head(&store, &*signer);
    assert!(matches!(refused, Err(LogError::Keep(CheckpointStoreError::Disagrees { size: 4 }))), "{refused:?}");
    let report = store.verify(&mut |_, _| {});
    assert!(report.problems.iter().any(|problem| problem.what.contains("node 3 of the tree")), "{report:?}");
    // Without the checkpoint the memory outside of the folder still knows it.
    store.close().unwrap();
    let database = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    database.execute("DELETE FROM checkpoint", []).unwrap();
    drop(database);
    let store = Store::open(options(folder.path())).unwrap();
    let refused = heads::sign_head(&store, &*signer);
    assert!(matches!(refused, Err(LogError::Keep(CheckpointStoreError::Disagrees { size: 4 }))), "{refused:?}");
}

#[test]
fn with_a_signer_every_commit_signs_its_head() {
    let ledger = Ledger::new();
    let first = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    ledger.store.sign_heads(Some(ledger.head_signer())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| ledger.grow(5));
        }
    });
    let key = ledger.requirements().key;
    let heads = ledger.store.checkpoints().unwrap();
    assert_eq!((heads.first(), heads.last().unwrap().size()), (Some(&first), 42));
    assert!(heads.len() <= 41);
    heads.iter().for_each(|head| head.verify(&key).unwrap());
    // What is refused signs nothing, and neither does what changes nothing.
    let taken = act(&ledger.store, vec![]).unwrap();
    assert!(taken.is_empty());
    assert_eq!(ledger.store.checkpoints().unwrap(), heads);
    let outbox = ledger.store.outbox().unwrap();
    assert_eq!(outbox.checkpoint(42).unwrap(), Some(heads.last().unwrap().to_string()));
    log::prove(&ledger.store, &Which::Position(42), Disclose::Cid).unwrap();
    assert!(ledger.store.verify(&mut |_, _| {}).ok());
    // Without it the head stays behind, and what was signed is not signed anew.
    ledger.store.sign_heads(None).unwrap();
    ledger.grow(1);
    assert_eq!(heads::head(&ledger.store).unwrap().unsigned(), 1);
}

#[test]
fn no_head_is_signed_as_the_log_grows_that_does_not_continue_what_was_signed() {
    let ledger = Ledger::new();
    ledger.store.sign_heads(Some(ledger.head_signer())).unwrap();
    ledger.grow(3);
    let Ledger { folder, store, signer } = ledger;
    store.close().unwrap();
    // The history is rewritten, and the checkpoints with it; what was signed is remembered outside of the folder.
    let database = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    database.execute("DELETE FROM checkpoint", []).unwrap();
    drop(database);
    tamper_with_the_tree(folder.path());

    let store = Store::open(options(folder.path())).unwrap();
    store.writable().unwrap();
    let ledger = Ledger { folder, store, signer };
    ledger.store.sign_heads(Some(ledger.head_signer())).unwrap();
    let refused = act(&ledger.store, vec![new_organization()]).unwrap_err();
    let Some(AppendError::Unsigned(reason)) = append_error(&refused) else { panic!("{refused:?}") };
    assert!(matches!(**reason, CheckpointStoreError::Disagrees { size: 5 }), "{reason}");
    assert_eq!((ledger.store.end().unwrap(), ledger.store.checkpoints().unwrap()), (5, vec![]));
    // Whoever decides to go on without signing may append.
    ledger.store.sign_heads(None).unwrap();
    act(&ledger.store, vec![new_organization()]).unwrap();
}
