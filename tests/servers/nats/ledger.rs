//! The ledger as the outbox. What it recorded stays in it whatever becomes of the stream.

use std::time::Duration;

use cid::Cid;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::message::MessageWriter;
use cim_keys::adapters::nats_client::FlushError;
use cim_keys::config::{NatsConfig, Payload};
use cim_keys::delivery::Stop;
use cim_keys::delivery::outbox::{Entry, source_of};
use cim_keys::events::LedgerKeyRotated;
use cim_keys::ipld_support::{ContentAddressedEvent, canonical_bytes};
use cim_keys::store::Store;
use cim_keys::text::{Note, PublicKey};
use cim_keys_testkit::check::Contents;
use cim_keys_testkit::folders::files;
use cim_keys_testkit::proxy::{Action, Direction};
use cim_keys_testkit::{Cluster, NatsServer, Proxy, ServerOptions, check_everything, samples};

use super::harness::{STREAM, config, connect, eventually, settle, stream_api, stream_with};
use crate::support::store::{Place, add_person, check};

/// A ledger with a publisher beside it.
struct Ledger {
    place: Place,
    store: Store,
    adapter: NatsClientAdapter,
}

impl Ledger {
    fn new(config: NatsConfig) -> Self {
        let place = Place::new();
        let store = place.create();
        Self::on(place, store, config)
    }

    fn on(place: Place, store: Store, config: NatsConfig) -> Self {
        let adapter = NatsClientAdapter::with_ledger(config, Box::new(store.outbox().unwrap())).unwrap();
        Self { place, store, adapter }
    }

    /// Records so many more people.
    fn record(&self, count: u64) {
        let end = self.store.end().unwrap();
        (0..count).for_each(|n| drop(add_person(&self.store, end + n).unwrap()));
    }

    async fn waiting(&self) -> usize {
        self.adapter.load_queue().await.unwrap()
    }

    /// Stops the publisher and the ledger.
    async fn close(self) -> Place {
        self.adapter.shutdown().await.unwrap();
        self.store.close().unwrap();
        self.place
    }
}

/// The check of a run: the stream against the ledger, and the ledger against itself.
async fn check_ledger(place: &Place, url: &str) {
    let store = place.open();
    check(&store);
    let cids: Vec<Cid> = store.iter(1).map(|recorded| recorded.unwrap().cid).collect();
    check_everything(&connect(url).await, STREAM, &store.outbox().unwrap(), &cids).await;
}

/// A ledger that grows while its server is killed in mid-flush, so many times, gets there whole.
async fn grows_while_killed(mut server: NatsServer, times: usize) {
    let ledger = Ledger::new(config(&server.url()));
    ledger.record(30);
    settle(&ledger.adapter, 0).await;
    for _ in 0..times {
        ledger.record(300);
        eventually("some of it is on its way", async || ledger.waiting().await < 300).await;
        server.kill();
        ledger.record(20);
        server.start();
    }
    settle(&ledger.adapter, 0).await;
    check_ledger(&ledger.close().await, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_published_whole_while_it_grows_and_the_server_is_killed() {
    let Some(server) = NatsServer::run() else { return };
    grows_while_killed(server, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_killed_in_mid_flush_gets_a_ledger_whole() {
    let Some(server) = ServerOptions::default().old().start() else { return };
    grows_while_killed(server, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_leader_is_killed_gets_a_ledger_whole() {
    let Some(mut cluster) = Cluster::run().await else { return };
    let urls = cluster.urls();
    let settings = NatsConfig { replicas: 3, publish_batch: 300, ..config(&urls.join(",")) };
    let ledger = Ledger::new(settings);
    ledger.record(30);
    settle(&ledger.adapter, 0).await;
    for _ in 0..2 {
        let leader = cluster.leader_of(STREAM).await;
        ledger.record(600);
        eventually("some of it is on its way", async || ledger.waiting().await < 600).await;
        cluster.members[leader].kill();
        ledger.record(20);
        settle(&ledger.adapter, 0).await;
        cluster.members[leader].start();
    }
    let leader = cluster.leader_of(STREAM).await;
    check_ledger(&ledger.close().await, &urls[leader]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ack_doubles_nothing_of_a_ledger_that_was_closed_meanwhile() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let ledger = Ledger::new(config(&proxy.url()));
    proxy.when(Direction::ToClient, "\"batch\":\"", 2, Action::CutAndRefuse);
    ledger.record(150);
    eventually("the ack is lost", async || proxy.fired() == 1).await;
    let place = ledger.close().await;
    proxy.heal();
    let store = place.open();
    let ledger = Ledger::on(place, store, config(&proxy.url()));
    settle(&ledger.adapter, 0).await;
    check_ledger(&ledger.close().await, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_stream_is_filled_again_from_the_ledger() {
    let Some(server) = NatsServer::run() else { return };
    let ledger = Ledger::new(config(&server.url()));
    ledger.record(120);
    settle(&ledger.adapter, 0).await;
    let client = connect(&server.url()).await;
    stream_api(&client, "DELETE", &stream_with(serde_json::json!({}))).await;
    ledger.record(5);
    let place = ledger.close().await;

    let store = place.open();
    let ledger = Ledger::on(place, store, config(&server.url()));
    settle(&ledger.adapter, 0).await;
    check_ledger(&ledger.close().await, &server.url()).await;
}

/// A machine that was set back to an older state: the ledger and the right to write to it, both.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_set_back_and_went_its_own_way_is_stopped() {
    let Some(server) = NatsServer::run() else { return };
    let ledger = Ledger::new(config(&server.url()));
    ledger.record(20);
    settle(&ledger.adapter, 0).await;
    let place = ledger.close().await;
    let before = snapshot(place.dir.path());

    let store = place.open();
    let ledger = Ledger::on(place, store, config(&server.url()));
    ledger.record(10);
    settle(&ledger.adapter, 0).await;
    let true_one = ledger.store.iter(32).next().unwrap().unwrap().cid;
    let place = ledger.close().await;
    for (path, bytes) in before {
        std::fs::write(path, bytes).unwrap();
    }

    let store = place.open();
    let ledger = Ledger::on(place, store, config(&server.url()));
    ledger.record(10);
    let other = ledger.store.iter(32).next().unwrap().unwrap().cid;
    assert_ne!(true_one, other);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let problem = ledger.adapter.flush_queue().await.unwrap_err().to_string();
    assert!(problem.contains(&true_one.to_string()) && problem.contains(&other.to_string()), "{problem}");
}

/// Whoever recovered the ledger elsewhere publishes the new key; this machine knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_went_on_under_another_key_is_published_no_more() {
    let Some(server) = NatsServer::run() else { return };
    let (next, other) = (
        PublicKey::new("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap(),
        PublicKey::new("MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=").unwrap(),
    );
    for settings in [
        config(&server.url()),
        NatsConfig { payload: Payload::DagCbor, ..config(&server.url()) },
        NatsConfig { enable_ipld: false, ..config(&server.url()) },
    ] {
        let client = connect(&server.url()).await;
        let ledger = Ledger::new(settings.clone());
        ledger.record(20);
        settle(&ledger.adapter, 0).await;
        let (ledger_id, own) = (ledger.store.identity().ledger_id, ledger.store.identity().public_key.clone());
        let announce = async |previous: &PublicKey, key: &PublicKey, source: &PublicKey| {
            let rotated = LedgerKeyRotated {
                ledger_id,
                public_key: key.clone(),
                previous_public_key: previous.clone(),
                reason: Note::new("the machine was lost").unwrap(),
            };
            let event = ContentAddressedEvent::new(samples::event(1, rotated.into())).unwrap();
            let writer = MessageWriter::new(&settings, &source_of(source).unwrap());
            let entry = Entry {
                position: 23,
                cid: event.cid,
                aggregate: "ledger".into(),
                event_type: "LedgerKeyRotated".into(),
                block: canonical_bytes(&event.event).unwrap(),
            };
            let message = writer.write(&entry, 1 << 20, None).unwrap();
            let stream = async_nats::jetstream::new(client.clone());
            let ack = stream.publish_with_headers(message.subject, message.headers, message.body).await.unwrap();
            ack.await.unwrap().sequence
        };
        // Another ledger's new key, and one that is announced under another name than its own, say nothing.
        announce(&other, &next, &next).await;
        announce(&own, &next, &other).await;
        let place = ledger.close().await;
        let store = place.open();
        let ledger = Ledger::on(place, store, settings.clone());
        ledger.record(5);
        settle(&ledger.adapter, 0).await;

        let sequence = announce(&own, &next, &next).await;
        let place = ledger.close().await;
        let before = Contents::read(&client, STREAM).await.events.len();
        let store = place.open();
        let ledger = Ledger::on(place, store, settings.clone());
        ledger.record(5);
        let stopped = ledger.adapter.flush_queue().await.unwrap_err();
        let FlushError::Stopped(Stop::Succeeded(successor)) = stopped else { panic!("{stopped}") };
        assert_eq!((successor.sequence, successor.source), (sequence, source_of(&next).unwrap()));
        assert_eq!(Contents::read(&client, STREAM).await.events.len(), before);
        ledger.close().await;
        stream_api(&client, "DELETE", &stream_with(serde_json::json!({}))).await;
    }
}

/// Every file beneath a folder, with what it holds.
fn snapshot(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let read = |path: std::path::PathBuf| (path.clone(), std::fs::read(path).unwrap());
    files(folder).into_iter().map(read).collect()
}
