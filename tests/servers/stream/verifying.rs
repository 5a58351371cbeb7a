//! `verify --from nats`: the whole history of a stream, and each thing that can be wrong with it.

use cim_keys::config::{NatsConfig, Payload};
use cim_keys::replica::replay::Replica;
use cim_keys::replica::stream;
use cim_keys::session::Place;

use cim_keys_testkit::{NatsServer, ServerOptions};

use super::support::{World, config, text};

#[test]
fn a_whole_stream_holds_and_says_how_far_it_is_signed() {
    let Some(world) = World::new() else { return };
    world.grow_sign_publish(50);
    let signed = world.grow_sign_publish(30);
    world.ledger.grow(5);
    world.publish();
    let held = vec![signed.clone()];
    let verified = stream::verify(&world.stream(), held, &mut |_, _| {}).unwrap();
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

/// The rows of the table in docs/NATS_INTEGRATION.md: what they allow to publish, and to subscribe to.
fn reading() -> (Vec<String>, Vec<String>) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/NATS_INTEGRATION.md")).unwrap();
    let table = text.split("<!-- reading -->").nth(1).unwrap().split("<!-- /reading -->").next().unwrap();
    let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
    for row in table.lines().filter(|line| line.contains('`')) {
        let cells: Vec<&str> = row.split('|').collect();
        let subjects = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        publish.extend(subjects(cells[2]));
        subscribe.extend(subjects(cells[3]));
    }
    (publish, subscribe)
}

fn as_user(world: &World, login: &str) -> NatsConfig {
    config(&world.server.url().replace("nats://", &format!("nats://{login}@")))
}

/// A ledger with an event that is too large for a message, signed and published by the user `admin`.
fn published_by_admin(server: NatsServer) -> World {
    let world = World::on(server);
    world.ledger.grow(20);
    world.ledger.grow_large();
    cim_keys::session::heads::sign_head(&world.ledger.store, &*world.ledger.signer).unwrap();
    world.publish_with(as_user(&world, "admin:admin"));
    world
}

#[test]
fn a_reader_needs_what_the_table_says_also_for_what_is_too_large_for_a_message() {
    let (publish, subscribe) = reading();
    let server = ServerOptions::default().conf(&format!(
        "max_payload: 4096\nauthorization {{ users = [
            {{ user: admin, password: admin }}
            {{ user: reader, password: secret, permissions: {{
                publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }} }} }} ] }}"
    ));
    let Some(server) = server.start() else { return };
    let world = published_by_admin(server);
    let user = |login: &str| as_user(&world, login);
    let mut config = user("reader:secret");
    config.inbox_prefix = Some("_INBOX_reader".parse().unwrap());
    let stream = world.stream_with(&config);
    let verified = stream::verify(&stream, Vec::new(), &mut |_, _| {}).unwrap();
    assert!(verified.report.ok(), "{}", text(&verified));
    assert_eq!(verified.signed, world.cids().len() as u64);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(folder.path().join("mirror"), folder.path());
    let replayed = Replica::new(&stream, place, &world.key()).unwrap().catch_up(None, &mut |_, _| {}).unwrap();
    assert_eq!(replayed.end, world.cids().len() as u64);
}

#[test]
fn what_a_reader_may_not_do_is_named_and_not_called_missing() {
    let denied = |user: &str, subject: &str| {
        format!("{{ user: {user}, password: secret, permissions: {{ publish: {{ deny: [\"{subject}\"] }} }} }}")
    };
    let server = ServerOptions::default().conf(&format!(
        "max_payload: 4096\nauthorization {{ users = [
            {{ user: admin, password: admin }}
            {}
            {}
            {} ] }}",
        denied("blind", "$JS.API.STREAM.INFO.*"),
        denied("short", "$JS.API.CONSUMER.CREATE.>"),
        denied("light", "$JS.API.STREAM.INFO.OBJ_cim-keys-objects"),
    ));
    let Some(server) = server.start() else { return };
    let world = published_by_admin(server);
    let user = |login: &str| as_user(&world, login);
    let verify = |login: &str| stream::verify(&world.stream_with(&user(login)), Vec::new(), &mut |_, _| {});
    for (login, subject) in [("blind:secret", "$JS.API.STREAM.INFO."), ("short:secret", "$JS.API.CONSUMER.CREATE.")] {
        let error = verify(login).err().unwrap().to_string();
        assert!(error.contains(&format!("may not publish to {subject}")), "{login}: {error}");
    }
    let verified = verify("light:secret").unwrap();
    assert!(!verified.report.ok());
    let told = text(&verified);
    assert!(told.contains("may not publish to $JS.API.STREAM.INFO.OBJ_") && !told.contains("is missing"), "{told}");
}
