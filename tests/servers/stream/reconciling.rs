//! `reconcile`: what the stream has lost is put back, marked, once.

use cim_keys::replica::reconcile::{Differences, ReconcileError, Reconciler};
use cim_keys_testkit::check::{Contents, check_everything};

use super::support::{STREAM, World, text};

fn compare(world: &World) -> Differences {
    let stream = world.stream();
    let reconciler = Reconciler::new(world.runtime.handle().clone(), &stream, &world.ledger.store).unwrap();
    reconciler.compare(&mut |_, _| {}).unwrap()
}

/// Compares and puts back; answers with how many events that were.
fn reconcile(world: &World) -> u64 {
    let stream = world.stream();
    let reconciler = Reconciler::new(world.runtime.handle().clone(), &stream, &world.ledger.store).unwrap();
    let differences = reconciler.compare(&mut |_, _| {}).unwrap();
    reconciler.put_back(&differences, &mut |_, _| {}).unwrap()
}

/// Nothing is missing, nothing is there twice, and what was put back says so.
fn check(world: &World, restored: &[u64]) {
    assert!(compare(world).is_whole());
    let verified = world.verify();
    assert!(verified.report.ok(), "{}", text(&verified));
    assert_eq!(verified.last, world.cids().len() as u64);
    let contents = world.contents();
    let mut positions: Vec<u64> = contents.events.iter().map(|event| event.position).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=world.cids().len() as u64).collect::<Vec<_>>(), "each once");
    let marked: Vec<u64> = world.restored();
    assert_eq!(marked, restored);
    // And the publisher goes on as if nothing had happened.
    world.ledger.grow(3);
    world.publish();
    let verified = world.verify();
    assert!(verified.report.ok(), "{}", text(&verified));
    assert_eq!(verified.last, world.cids().len() as u64);
}

#[test]
fn deleted_messages_are_put_back_once() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(70);
    let lost = [3, 25, 26, 27, 60];
    world.delete(lost.map(|position| world.sequence_of(position)));
    let differences = compare(&world);
    assert_eq!(differences.missing, [(3, 3), (25, 27), (60, 60)]);
    assert_eq!(world.contents().events.len(), world.cids().len() - 5, "looking changes nothing");
    assert_eq!(reconcile(&world), 5);
    assert_eq!(reconcile(&world), 0);
    check(&world, &lost);
}

#[test]
fn deleted_heads_and_a_deleted_end_are_made_good() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(70);
    let contents = world.contents();
    let first_head = contents.heads[0].sequence;
    // The newest head, and the events before it: the ledger's own memory says that they were there.
    let last = contents.heads.last().unwrap().sequence;
    world.delete([first_head].into_iter().chain(last - 5..=last));
    let end = world.cids().len() as u64;
    assert_eq!(reconcile(&world), 5);
    check(&world, &(end - 4..=end).collect::<Vec<_>>());
}

#[test]
fn an_old_snapshot_of_the_stream_is_brought_up_to_date() {
    let Some(mut world) = World::new() else { return };
    world.grow_sign_publish(30);
    let old = world.stop_and_snapshot_server();
    let before = world.cids().len() as u64;
    world.server.start();
    world.grow_sign_publish(45);
    world.stop_and_restore_server(&old);
    world.server.start();
    let end = world.cids().len() as u64;
    assert_eq!(compare(&world).lost(), end - before);
    assert_eq!(reconcile(&world), end - before);
    check(&world, &(before + 1..=end).collect::<Vec<_>>());
}

#[test]
fn a_truncated_store_of_a_stopped_server_is_made_good() {
    let Some(mut world) = World::new() else { return };
    world.grow_sign_publish(120);
    world.stop_and_truncate_store();
    world.server.start();
    let lost = compare(&world).lost();
    assert!(lost > 0, "the store was cut in the middle of the events");
    let end = world.cids().len() as u64;
    assert_eq!(reconcile(&world), lost);
    check(&world, &(end - lost + 1..=end).collect::<Vec<_>>());
}

#[test]
fn another_history_in_the_stream_is_left_alone() {
    let Some(world) = World::new() else { return };
    let before = super::support::copy_of(&world.ledger.folder);
    world.grow_sign_publish(20);
    let other = world.set_back_here(before);
    other.ledger.grow(25);
    let stream = other.stream();
    let reconciler = Reconciler::new(other.runtime.handle().clone(), &stream, &other.ledger.store).unwrap();
    let error = reconciler.compare(&mut |_, _| {}).unwrap_err();
    assert!(matches!(error, ReconcileError::Fork { .. }), "{error}");
}

#[test]
fn a_head_that_covers_more_than_there_is_is_not_believed() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(10);
    let config = world.config();
    let subject = format!("{}.{}", config.head_subject, world.contents().heads[0].source);
    let head = world.runtime.block_on(world.raw_stream().get_last_raw_message_by_subject(&subject)).unwrap();
    let end = world.cids().len();
    let pretend = |position: u64| {
        let body = String::from_utf8(head.payload.to_vec()).unwrap();
        let changed = body.replacen(&format!("\"position\":{end}"), &format!("\"position\":{position}"), 1);
        assert_ne!(changed, body);
        let client = world.client();
        let publish = async {
            let context = async_nats::jetstream::new(client);
            context.publish(subject.clone(), changed.into()).await.unwrap().await
        };
        world.runtime.block_on(publish).unwrap();
        let stream = world.stream();
        let reconciler = Reconciler::new(world.runtime.handle().clone(), &stream, &world.ledger.store).unwrap();
        reconciler.compare(&mut |_, _| {}).unwrap_err()
    };
    // As far as positions go, and beyond.
    let error = pretend((1 << 53) - 1);
    assert!(matches!(error, ReconcileError::Ahead { .. }), "{error}");
    assert!(!world.verify().report.ok());
    let error = pretend(u64::MAX);
    assert!(matches!(error, ReconcileError::Restore(_)), "{error}");
    assert!(!world.verify().report.ok());
}

#[test]
fn a_head_that_was_signed_after_it_was_published_is_published_again() {
    let Some(world) = World::new() else { return };
    world.ledger.grow(10);
    world.publish();
    assert_eq!(world.verify().signed, 0);
    let signed = cim_keys::session::heads::sign_head(&world.ledger.store, &*world.ledger.signer).unwrap();
    assert!(compare(&world).unsigned_head);
    assert_eq!(reconcile(&world), 0);
    assert_eq!(world.verify().signed, signed.size());
    check(&world, &[]);
    let client = world.client();
    let cids = world.cids();
    let outbox = world.ledger.store.outbox().unwrap();
    world.runtime.block_on(check_everything(&client, STREAM, &outbox, &cids));
    let _: Contents = world.contents();
}
