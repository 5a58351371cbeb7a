//! `verify --from nats`: the whole history of a stream, and each thing that can be wrong with it.

use cim_keys::app::stream;
use cim_keys::config::Payload;

use crate::support::{World, config, text};

#[test]
fn a_whole_stream_holds_and_says_how_far_it_is_signed() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(50);
    let signed = world.grow_sign_publish(30);
    world.ledger.grow(5);
    world.publish();
    let held = vec![signed.clone()];
    let verified = stream::verify(&world.stream(), &world.key(), held, &mut |_, _| {}).unwrap();
    assert!(verified.report.ok(), "{}", text(&verified));
    let end = world.cids().len() as u64;
    assert_eq!((verified.report.events, verified.last, verified.unclosed), (end, end, 0));
    assert_eq!(verified.signed, signed.size());
    assert!(verified.unreached.is_empty() && verified.parked.is_empty());
    assert_eq!(world.key().source(), world.ledger.store.identity().source);
}

#[test]
fn every_form_of_body_is_verified() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(10);
    for change in [
        |config: &mut cim_keys::config::NatsConfig| config.payload = Payload::DagCbor,
        |config: &mut cim_keys::config::NatsConfig| config.enable_ipld = false,
    ] {
        let mut config = config(&world.server.url());
        change(&mut config);
        world.ledger.grow(10);
        world.publish_with(config);
    }
    let verified = world.verify();
    assert!(verified.report.ok(), "{}", text(&verified));
    assert_eq!(verified.last, world.cids().len() as u64);
}

#[test]
fn deleted_messages_are_named_by_position() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(60);
    world.delete([7, 30, 31, 32].map(|position| world.sequence_of(position)));
    let verified = world.verify();
    let text = text(&verified);
    assert!(text.contains("lost position 7:") && text.contains("lost positions 30 to 32:"), "{text}");
    assert_eq!(verified.report.problems.len(), 2, "{text}");
}
