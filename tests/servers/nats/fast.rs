//! Fast-ingest batches: what a backlog goes in where the stream takes them. The faults are those of atomic batches, and
//! what only a batch that is stored as it comes can meet.

use cim_keys::events::Aggregate;
use cim_keys_testkit::check::Contents;
use cim_keys_testkit::proxy::{Action, Direction};
use cim_keys_testkit::{Cluster, NatsServer, Proxy, ServerOptions, folders, samples};
use serde_json::json;
use tempfile::TempDir;

use super::harness::{
    Publisher, STREAM, config, connect, eventually, large_event, make_stream, settle_and_check, stream_api, stream_with,
};

/// What each message of a fast batch has in its reply subject, and no other message.
const FAST: &str = ".$FI ";

/// What a batch's ack has, and no other message.
const ACK: &str = "\"batch\":\"";

/// A configuration whose batches are large enough to be fast ones.
fn fast(url: &str) -> cim_keys::config::NatsConfig {
    cim_keys::config::NatsConfig { publish_batch: 300, ..config(url) }
}

/// How many fast batches a stream has: each opens with a head that repeats the one before it.
async fn opened(url: &str) -> usize {
    let heads = Contents::read(&connect(url).await, STREAM).await.heads;
    heads.windows(2).filter(|pair| pair[0].source == pair[1].source && pair[0].position == pair[1].position).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_in_fast_batches_where_the_stream_takes_them() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(fast(&server.url()));
    publisher.publish(1500).await;
    publisher.settle().await;
    assert!(opened(&server.url()).await > 0);
    settle_and_check(publisher, &server.url()).await;

    let client = connect(&server.url()).await;
    stream_api(&client, "DELETE", &stream_with(json!({}))).await;
    make_stream(&client, &stream_with(json!({}))).await;
    let mut publisher = Publisher::new(fast(&server.url()));
    publisher.publish(1500).await;
    publisher.settle().await;
    assert_eq!(opened(&server.url()).await, 0, "this stream does not take them");
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_flush_loses_and_doubles_nothing() {
    let Some(mut server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(fast(&server.url()));
    publisher.publish(10).await;
    publisher.settle().await;
    for _ in 0..4 {
        let before = publisher.queued().await;
        publisher.publish(3000).await;
        eventually("some of it is on its way", async || publisher.queued().await < before + 3000).await;
        server.kill();
        server.start();
    }
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_mid_batch_is_gone_on_from_where_it_was_cut() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(fast(&proxy.url()));
    publisher.publish(10).await;
    publisher.settle().await;
    // The head that opens it, an event, the last event, and the head that closes it. A publisher that was just started
    // sends 128 events first, whatever its pace was before.
    for nth in [1, 77, 129, 130] {
        publisher = publisher.close().await.reopen();
        proxy.when(Direction::ToServer, FAST, nth, Action::Cut);
        publisher.publish(1_000).await;
        publisher.settle().await;
    }
    assert_eq!(proxy.fired(), 4);
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_lost_in_mid_batch_are_noticed() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(fast(&proxy.url()));
    publisher.publish(10).await;
    publisher.settle().await;
    proxy.when(Direction::ToServer, FAST, 50, Action::Lose);
    publisher.publish(1000).await;
    eventually("they are lost", async || proxy.fired() == 1).await;
    proxy.heal();
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ack_doubles_nothing() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(fast(&proxy.url()));
    publisher.publish(10).await;
    publisher.settle().await;
    for nth in [1, 2, 3] {
        proxy.when(Direction::ToClient, ACK, nth, Action::Cut);
        // At least three batches: a fast one holds up to 2,997.
        publisher.publish(7_000).await;
        publisher.settle().await;
    }
    assert_eq!(proxy.fired(), 3, "each cut met an ack");
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_publisher_gets_in_between() {
    let Some(server) = NatsServer::run() else { return };
    let (mut one, mut two) = (Publisher::new(fast(&server.url())), Publisher::new(config(&server.url())));
    two.first = 100_000;
    for _ in 0..3 {
        one.publish(3_000).await;
        for _ in 0..10 {
            two.publish(7).await;
            tokio::task::yield_now().await;
        }
    }
    tokio::join!(one.settle(), two.settle());
    settle_and_check(one, &server.url()).await;
    settle_and_check(two, &server.url()).await;
}

/// A copied queue, as where a backup is opened beside the original, and a stranger on the same stream.
#[tokio::test(flavor = "multi_thread")]
async fn two_drain_one_log_and_a_stranger_gets_in_between() {
    let Some(server) = NatsServer::run() else { return };
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let offline = cim_keys::config::NatsConfig { enabled: false, ..fast(&server.url()) };
    let mut one = Publisher::on(offline, &here.path().join("queue.jsonl"));
    for _ in 0..4 {
        one.publish(2_000).await;
    }
    let mut one = one.close().await;
    one.config = fast(&server.url());
    folders::copy(here.path(), there.path());
    let one = one.reopen();
    let mut two = Publisher::on(fast(&server.url()), &there.path().join("queue.jsonl"));
    two.accepted = one.accepted.clone();
    let mut stranger = Publisher::new(config(&server.url()));
    stranger.first = 100_000;
    for _ in 0..20 {
        stranger.publish(7).await;
        tokio::task::yield_now().await;
    }
    tokio::join!(one.settle(), two.settle(), stranger.settle());
    settle_and_check(one, &server.url()).await;
    settle_and_check(two, &server.url()).await;
    settle_and_check(stranger, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_waited_for_and_nothing_is_parked() {
    let Some(server) = NatsServer::run() else { return };
    let client = connect(&server.url()).await;
    let limited = |bytes: i64| stream_with(json!({ "max_bytes": bytes, "discard": "new", "allow_batched": true }));
    make_stream(&client, &limited(600_000)).await;
    let mut publisher = Publisher::new(fast(&server.url()));
    publisher.publish(2000).await;
    let refused = publisher.adapter.flush_queue().await.unwrap_err().to_string();
    assert!(refused.contains("full") || refused.contains("maximum bytes"), "{refused}");
    assert_eq!(publisher.parked().await, Vec::<u64>::new());
    stream_api(&client, "UPDATE", &limited(-1)).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_torn_by_the_accounts_limit_is_completed() {
    let conf = "accounts { CIM { users: [{ user: publisher, password: pw }], jetstream: { max_file: 600000 } } }";
    let Some(server) = ServerOptions::default().conf(conf).start() else { return };
    let url = format!("nats://publisher:pw@{}", server.address());
    let mut publisher = Publisher::new(fast(&url));
    publisher.publish(2000).await;
    eventually("the account is full", async || publisher.adapter.flush_queue().await.is_err()).await;
    assert_eq!(publisher.parked().await, Vec::<u64>::new());
    server.reload_with("max_file: 600000", "max_file: 100000000");
    settle_and_check(publisher, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_in_mid_batch_is_parked_and_others_pass() {
    let Some(server) = NatsServer::run() else { return };
    let limited = stream_with(json!({ "max_msg_size": 4096, "allow_batched": true }));
    make_stream(&connect(&server.url()).await, &limited).await;
    let mut publisher = Publisher::new(fast(&server.url()));
    publisher.publish(400).await;
    publisher.publish_these(&[large_event(20_000)]).await;
    publisher.publish(600).await;
    publisher.settle().await;
    assert_eq!(publisher.parked().await, vec![401]);
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_subject_is_denied_in_mid_batch_is_parked_and_others_pass() {
    let users = "authorization { users: [\n\
        { user: narrow, password: pw, permissions: { publish: { deny: [\"cim.keys.location.>\"] } } }\n\
        { user: wide, password: pw }\n ] }";
    let Some(server) = ServerOptions::default().conf(users).start() else { return };
    let mut publisher = Publisher::new(fast(&format!("nats://narrow:pw@{}", server.address())));
    let place = samples::data().into_iter().find(|data| data.aggregate() == Some(Aggregate::Location)).unwrap();
    let mut events: Vec<_> = samples::numbered(900).collect();
    events.insert(500, samples::event(900_000, place));
    publisher.publish_these(&events).await;
    publisher.settle().await;
    assert_eq!(publisher.parked().await, vec![501]);
    publisher.close().await.check(&format!("nats://wide:pw@{}", server.address())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_in_mid_flush_loses_and_doubles_nothing() {
    let Some(mut cluster) = Cluster::run().await else { return };
    let urls = cluster.urls();
    let mut settings = fast(&urls.join(","));
    settings.replicas = 3;
    let mut publisher = Publisher::new(settings);
    publisher.publish(20).await;
    publisher.settle().await;
    for _ in 0..3 {
        let leader = cluster.leader_of(STREAM).await;
        let before = publisher.queued().await;
        publisher.publish(4_000).await;
        eventually("some of it is on its way", async || publisher.queued().await < before + 4_000).await;
        cluster.members[leader].kill();
        publisher.settle().await;
        cluster.members[leader].start();
    }
    settle_and_check(publisher, &urls[cluster.leader_of(STREAM).await]).await;
}
