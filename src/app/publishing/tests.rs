//! What becomes of recorded events, without a server that works.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;

use tempfile::TempDir;

use super::*;
use crate::act::{Intent, Pipeline};
use crate::config::Layers;
use crate::delivery::outbox::{Cursor, Outbox as _, StreamKey};
use crate::events::{Actor, LedgerCreated};
use crate::ids::LedgerId;
use crate::ledger::Command;
use crate::policy;
use crate::store::{Founding, StoreOptions};
use crate::text::{Label, Name, PublicKey};

/// A ledger with one event.
fn ledger() -> (TempDir, Store) {
    let folder = TempDir::with_prefix("cim-keys-publishing-").unwrap();
    let options = StoreOptions::new(folder.path().join("ledger.db"), folder.path().join("state"));
    let created = LedgerCreated {
        ledger_id: LedgerId::mint(),
        name: Name::new("acme").unwrap(),
        public_key: PublicKey::new("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=").unwrap(),
    };
    let founding = Founding::new(options);
    let intent = Intent::new(Actor::System(Label::new("test").unwrap()));
    let mut pipeline = Pipeline::new(&founding, policy::built_in());
    let outcome = pipeline.act(&intent, |draft| draft.command(Command::CreateLedger(created.clone())));
    assert_eq!(outcome.unwrap().events.len(), 1);
    drop(pipeline);
    (folder, founding.into_store().unwrap())
}

fn configuration(settings: &[(&str, &str)]) -> Result<Resolved, String> {
    let mut layers = Layers::new();
    settings.iter().for_each(|(key, value)| layers.flag("--flag", key, value));
    Ok(layers.resolve().unwrap())
}

fn wake(store: &Store, settings: &[(&str, &str)]) -> Publication {
    LedgerPublisher::new(store, configuration(settings)).wake()
}

fn one_waits(obstacle: Obstacle) -> Publication {
    Publication::Waiting { events: Some(1), obstacle }
}

fn url(listener: &TcpListener) -> String {
    format!("nats://{}", listener.local_addr().unwrap())
}

/// An address at which nothing listens.
fn nowhere() -> String {
    url(&TcpListener::bind("127.0.0.1:0").unwrap())
}

/// Marks everything as published.
fn publish_all(store: &Store) {
    let mut outbox = store.outbox().unwrap();
    let stream =
        StreamKey { account: "A".into(), stream: "CIM_KEYS_EVENTS".into(), created: "2026-01-31T09:30:00Z".into() };
    let position = outbox.end().unwrap();
    outbox.set_cursor(&stream, Cursor { position, head_sequence: 2 }).unwrap();
}

#[test]
fn only_a_named_server_is_tried() {
    let (_folder, store) = ledger();
    assert_eq!(wake(&store, &[]), one_waits(Obstacle::NotConfigured));
    assert_eq!(wake(&store, &[("nats.air_gapped", "true")]), one_waits(Obstacle::AirGapped));
    // A listener that would be connected to, were it tried.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let off = [("nats.url", url(&listener)), ("nats.enabled", "false".to_owned())];
    let off = off.each_ref().map(|(key, value)| (*key, value.as_str()));
    assert_eq!(wake(&store, &off), one_waits(Obstacle::Disabled));
    assert!(listener.accept().is_err());
    let wrong = Err("the configuration is not valid: nats.urll".to_owned());
    let invalid = Obstacle::Invalid("the configuration is not valid: nats.urll".to_owned());
    assert_eq!(LedgerPublisher::new(&store, wrong).wake(), Publication::Waiting { events: None, obstacle: invalid });
}

#[test]
fn nothing_is_tried_where_nothing_waits() {
    let (_folder, store) = ledger();
    publish_all(&store);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(wake(&store, &[("nats.url", &url(&listener))]), Publication::Nothing);
    assert!(listener.accept().is_err());
}

#[test]
fn a_running_sync_publishes_and_is_waited_for() {
    let (_folder, store) = ledger();
    assert_eq!(running_sync(&store), None);
    let mut lock = SyncLock::take(&store, "CIM_KEYS_EVENTS").unwrap();
    let Err(SyncLockError::Running(sync)) = SyncLock::take(&store, "CIM_KEYS_EVENTS") else { panic!("two locks") };
    assert_eq!((sync.process, &sync.server), (Some(std::process::id()), &None));

    // It has no connection: it is not waited for long.
    assert_eq!(wake(&store, &[]), one_waits(Obstacle::SyncRunning(sync)));
    // It is connected and publishes nothing: the bound passes.
    lock.connected_to(Some("nats://n1.acme.example:4222"));
    let sync = running_sync(&store).unwrap();
    assert_eq!(sync.server.as_deref(), Some("nats://n1.acme.example:4222"));
    assert_eq!(wake(&store, &[]), one_waits(Obstacle::SyncRunning(sync.clone())));
    // It publishes while the act waits, or before.
    let published = thread::scope(|scope| {
        let act = scope.spawn(|| wake(&store, &[]));
        publish_all(&store);
        act.join().unwrap()
    });
    let Publication::BySync { sync: by, events: 0..=1, parked: 0 } = published else { panic!("{published:?}") };
    assert_eq!(by, sync);

    // The content is a courtesy: without it the lock counts all the same.
    std::fs::write(store.path().with_file_name("sync.lock"), "{").unwrap();
    assert_eq!(running_sync(&store), Some(RunningSync::default()));
    drop(lock);
    assert_eq!((running_sync(&store), wake(&store, &[])), (None, Publication::Nothing));
    assert!(SyncLock::take(&store, "CIM_KEYS_EVENTS").is_ok());
}

#[test]
fn an_act_goes_on_alone_when_the_sync_ends() {
    let (_folder, store) = ledger();
    let mut lock = SyncLock::take(&store, "CIM_KEYS_EVENTS").unwrap();
    lock.connected_to(Some("nats://n1.acme.example:4222"));
    let publication = thread::scope(|scope| {
        let act = scope.spawn(|| wake(&store, &[]));
        drop(lock);
        act.join().unwrap()
    });
    assert_eq!(publication, one_waits(Obstacle::NotConfigured));
}

#[cfg(unix)]
#[test]
fn a_lock_file_that_is_a_link_or_a_pipe_is_no_lock() {
    let (folder, store) = ledger();
    let place = folder.path().join("sync.lock");
    let other = folder.path().join("other");
    std::fs::write(&other, "").unwrap();
    std::os::unix::fs::symlink(&other, &place).unwrap();
    assert_eq!(running_sync(&store), None);
    assert!(matches!(SyncLock::take(&store, "S"), Err(SyncLockError::Io { .. })));
    std::fs::remove_file(&place).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &place, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert_eq!(running_sync(&store), None);
}

#[cfg(feature = "nats-client")]
#[test]
fn servers_that_do_not_answer_are_named_within_the_bound() {
    let (_folder, store) = ledger();
    let dead = nowhere();
    assert_eq!(wake(&store, &[("nats.url", &dead)]), one_waits(Obstacle::NoServer { servers: dead.clone() }));
    // Behind an air gap that is the normal case.
    let gap = [("nats.url", dead.as_str()), ("nats.air_gapped", "true")];
    assert_eq!(wake(&store, &gap), one_waits(Obstacle::AirGapped));
    // The system accepts the connection, and nobody speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = url(&silent);
    assert_eq!(wake(&store, &[("nats.url", &servers)]), one_waits(Obstacle::NoServer { servers: servers.clone() }));
    // An act may itself be inside an async runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let publication = runtime.block_on(async { wake(&store, &[("nats.url", &dead)]) });
    assert_eq!(publication, one_waits(Obstacle::NoServer { servers: dead }));
}

#[cfg(feature = "nats-client")]
#[test]
fn a_server_that_greets_and_then_hangs_ends_with_the_bound() {
    let (_folder, store) = ledger();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = url(&server);
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut connection in server.incoming().flatten() {
            let _ =
                connection.write_all(b"INFO {\"server_id\":\"N\",\"version\":\"2.15.1\",\"max_payload\":1048576}\r\n");
            open.push(connection);
        }
    });
    assert_eq!(wake(&store, &[("nats.url", &servers)]), one_waits(Obstacle::TimeUp));
}

#[cfg(feature = "nats-client")]
#[test]
fn a_configuration_that_contradicts_itself_is_an_obstacle() {
    let (folder, store) = ledger();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = url(&server);
    thread::spawn(move || server.incoming().flatten().for_each(|mut it| drop(it.write_all(b"INFO {}\r\n"))));
    let gone = folder.path().join("gone.creds").display().to_string();
    let publication = wake(&store, &[("nats.url", &servers), ("nats.credentials_file", &gone)]);
    let Publication::Waiting { events: Some(1), obstacle: Obstacle::Invalid(problem) } = publication else {
        panic!("{publication:?}")
    };
    assert!(problem.starts_with("the configuration is not valid: nats.credentials_file: "), "{problem}");
}
