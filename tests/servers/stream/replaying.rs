//! `replay` and `follow`: a mirror rebuilt from the stream, on a machine that has nothing else.

use cim_keys::log::SignedCheckpoint;
use cim_keys::replica::replay::{ReplayError, Replayed, Replica};
use cim_keys::session::Place;
use cim_keys::session::heads;
use cim_keys::store::{MirrorError, Store};
use tempfile::TempDir;

use super::support::{World, stream_of};

/// An empty machine.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { folder: TempDir::with_prefix("cim-keys-mirror-").unwrap() }
    }

    fn place(&self) -> Place {
        Place::new(self.folder.path().join("mirror"), self.folder.path().join("tokens"))
    }

    fn replay(&self, world: &World) -> Result<Replayed, ReplayError> {
        self.replay_at(world, None)
    }

    fn replay_at(&self, world: &World, at: Option<&SignedCheckpoint>) -> Result<Replayed, ReplayError> {
        let stream = world.stream();
        Replica::new(&stream, self.place(), &world.key())?.catch_up(at, &mut |_, _| {})
    }

    fn store(&self) -> Store {
        Store::open_read_only(self.place().options()).unwrap()
    }

    /// The mirror is the ledger up to a position: order, tree, projections and signed head.
    fn check(&self, world: &World, size: u64) {
        let store = self.store();
        let report = store.verify(&mut |_, _| {});
        assert!(report.ok(), "{:?}", report.problems);
        let ours: Vec<_> = store.iter(1).map(|recorded| recorded.unwrap()).collect();
        let theirs: Vec<_> = world.ledger.store.iter(1).take(size as usize).map(|recorded| recorded.unwrap()).collect();
        assert_eq!(ours, theirs);
        assert_eq!(store.root(None).unwrap(), world.ledger.store.root(Some(size)).unwrap());
        let theirs = world.ledger.store.checkpoint(size).unwrap().map(|signed| signed.to_string());
        assert_eq!(store.latest_checkpoint().unwrap().map(|signed| signed.to_string()), theirs);
        assert!(theirs.is_some());
    }
}

#[test]
fn a_ledger_is_rebuilt_on_an_empty_machine_and_kept_current() {
    let Some(world) = World::new() else { return };
    let signed = world.grow_sign_publish(90);
    world.ledger.grow(7);
    world.publish();
    let machine = Machine::new();
    let replayed = machine.replay(&world).unwrap();
    assert_eq!((replayed.new, replayed.end, replayed.waiting()), (signed.size(), signed.size(), 7));
    assert_eq!(replayed.checkpoint.unwrap().to_string(), signed.to_string());
    assert!(replayed.remarks.is_empty());
    machine.check(&world, signed.size());

    // Again, nothing; then what was waiting, and more.
    assert_eq!(machine.replay(&world).unwrap().new, 0);
    let signed = world.grow_sign_publish(30);
    assert_eq!(machine.replay(&world).unwrap().new, 37);
    machine.check(&world, signed.size());
}

#[test]
fn a_batch_of_a_backlog_ends_where_a_head_was_signed() {
    let Some(world) = World::new() else { return };
    for end in [32, 35, 85] {
        world.ledger.grow(end - world.ledger.store.end().unwrap() as usize);
        heads::sign_head(&world.ledger.store, &*world.ledger.signer).unwrap();
    }
    world.ledger.grow(4);
    world.publish();
    let heads = world.contents().heads;
    let positions: Vec<_> = heads.iter().map(|head| head.position).collect();
    assert_eq!(positions, [20, 35, 55, 75, 85, 89], "batches of 20, and shorter ones where there is a signed head");
    for head in heads {
        let kept = world.ledger.store.checkpoint(head.position).unwrap().map(|signed| signed.to_string());
        assert_eq!(head.checkpoint, kept);
        assert_eq!(head.checkpoint.is_some(), [35, 85].contains(&head.position));
    }
    let machine = Machine::new();
    assert_eq!(machine.replay(&world).unwrap().end, 85);
    assert!(machine.store().checkpoint(35).unwrap().is_some());
    machine.check(&world, 85);
}

#[test]
fn a_replica_follows_without_reading_anything_twice() {
    let Some(world) = World::new() else { return };
    let machine = Machine::new();
    world.grow_sign_publish(10);
    let stream = world.stream();
    let mut replica = Replica::new(&stream, machine.place(), &world.key()).unwrap();
    for _ in 0..3 {
        let signed = world.grow_sign_publish(25);
        let replayed = replica.catch_up(None, &mut |_, _| {}).unwrap();
        assert_eq!(replayed.end, signed.size());
        world.ledger.grow(3);
        world.publish();
        assert_eq!(replica.catch_up(None, &mut |_, _| {}).unwrap().waiting(), 3);
    }
    let signed = world.grow_sign_publish(1);
    replica.catch_up(None, &mut |_, _| {}).unwrap();
    machine.check(&world, signed.size());
}

#[test]
fn a_replay_ends_at_the_checkpoint_that_was_given() {
    let Some(world) = World::new() else { return };
    let early = world.grow_sign_publish(30);
    world.grow_sign_publish(30);
    let machine = Machine::new();
    let replayed = machine.replay_at(&world, Some(&early)).unwrap();
    assert_eq!(replayed.end, early.size());
    machine.check(&world, early.size());
    let last = world.grow_sign_publish(1);
    machine.replay(&world).unwrap();
    machine.check(&world, last.size());

    // One that is signed and not published yet.
    world.ledger.grow(5);
    let ahead = cim_keys::session::heads::sign_head(&world.ledger.store, &*world.ledger.signer).unwrap();
    let error = Machine::new().replay_at(&world, Some(&ahead)).unwrap_err();
    assert!(matches!(error, ReplayError::Unreached { .. }), "{error}");
}

#[test]
fn an_interrupted_replay_goes_on() {
    let Some(mut world) = World::new() else { return };
    let signed = world.grow_sign_publish(200);
    let machine = Machine::new();
    let stream = world.stream_with(&world.config());
    let mut replica = Replica::new(&stream, machine.place(), &world.key()).unwrap();
    // The server dies while it is read, and comes back.
    let mut killed = false;
    let url = world.server.url();
    let server = &mut world.server;
    replica
        .catch_up(None, &mut |done, _| {
            if done > 60 && !killed {
                killed = true;
                server.kill();
                server.start();
            }
        })
        .unwrap();
    assert!(killed, "{url}");
    drop(replica);
    machine.check(&world, signed.size());
}

#[test]
fn what_no_signed_head_covers_is_not_taken() {
    let Some(world) = World::new() else { return };
    world.ledger.grow(20);
    world.publish();
    let machine = Machine::new();
    let replayed = machine.replay(&world).unwrap();
    assert_eq!((replayed.new, replayed.end), (0, 0));
    assert!(!machine.place().database().exists());
}

#[test]
fn another_history_is_refused_with_both_events_named() {
    let Some(world) = World::new() else { return };
    let before = super::support::copy_of(&world.ledger.folder);
    world.grow_sign_publish(20);
    let machine = Machine::new();
    machine.replay(&world).unwrap();
    // The ledger was set back, with its right to write, and went another way on another stream.
    let other = world.set_back(before);
    other.grow_sign_publish(25);
    let stream = stream_of(&other, &world.key());
    let error = Replica::new(&stream, machine.place(), &world.key()).unwrap().catch_up(None, &mut |_, _| {});
    let error = error.unwrap_err();
    assert!(error.is_alarm(), "{error}");
    assert!(matches!(error, ReplayError::Mirror(MirrorError::Fork { .. })), "{error}");
}

#[test]
fn lost_events_are_an_alarm_and_nothing_behind_them_is_taken() {
    let Some(world) = World::new() else { return };
    let signed = world.grow_sign_publish(40);
    world.grow_sign_publish(40);
    world.delete([world.sequence_of(signed.size() + 3)]);
    let machine = Machine::new();
    let error = machine.replay(&world).unwrap_err();
    assert!(error.is_alarm() && error.to_string().contains("lost position"), "{error}");
    machine.check(&world, signed.size());
}
