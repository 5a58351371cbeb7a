//! What others do to the stream, and to copies of the queue.

use async_nats::jetstream;
use cim_keys_testkit::check::{Contents, Expected, fail_with};
use cim_keys_testkit::{NatsServer, ServerOptions, folders};
use serde_json::json;
use tempfile::TempDir;

use super::harness::{
    Publisher, STREAM, config, connect, eventually, settle_and_check, stored, stream_api, stream_with,
};

#[tokio::test(flavor = "multi_thread")]
async fn purged_heads_are_replaced_and_nothing_comes_twice() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(120).await;
    publisher.settle().await;
    purge(&server, "cim.checkpoints.>").await;
    publisher.publish(120).await;
    publisher.settle().await;
    // And once more, with a publisher that has to find out after a new start.
    purge(&server, "cim.checkpoints.>").await;
    let mut publisher = publisher.close().await.reopen();
    publisher.publish(30).await;
    settle_and_check(publisher, &server.url()).await;
}

async fn purge(server: &NatsServer, subject: &str) {
    let stream = jetstream::new(connect(&server.url()).await).get_stream(STREAM).await.unwrap();
    stream.purge().filter(subject).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_stream_is_filled_again_with_what_the_queue_still_has() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(60).await;
    publisher.settle().await;
    let client = connect(&server.url()).await;
    stream_api(&client, "DELETE", &stream_with(json!({}))).await;
    publisher.publish(40).await;
    // The new stream has every sequence from 1 on: it can be known that nothing of ours is in it.
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_stream_is_not_filled_from_the_middle_without_a_word() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    // So much that the queue forgets what was published.
    publisher.publish(900).await;
    publisher.settle().await;
    let client = connect(&server.url()).await;
    stream_api(&client, "DELETE", &stream_with(json!({}))).await;
    publisher.publish(40).await;
    eventually("it is noticed", async || {
        let problem = publisher.adapter.flush_queue().await.unwrap_err().to_string();
        problem.contains("holds only those from 901")
    })
    .await;
    assert_eq!(publisher.queued().await, 40);

    publisher.adapter.from(901).await.unwrap();
    publisher.settle().await;
    let closed = publisher.close().await;
    let source = closed.source();
    let expected = Expected { source: &source, cids: &closed.accepted[900..], first: 901, parked: &[], heads: true };
    let contents = Contents::read(&client, STREAM).await;
    fail_with(&expected.problems(&contents), &contents);
}

/// On one replica a batch can tear: the account's limit is met while the batch is being stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_torn_by_the_accounts_limit_is_completed() {
    let conf = "accounts { CIM { users: [{ user: publisher, password: pw }], jetstream: { max_file: 100000 } } }";
    let Some(server) = ServerOptions::default().conf(conf).start() else { return };
    let url = format!("nats://publisher:pw@{}", server.address());
    let mut settings = config(&url);
    settings.publish_batch = 100;
    let mut publisher = Publisher::new(settings);
    publisher.publish(300).await;
    let client = connect(&url).await;
    eventually("the account is full", async || publisher.adapter.flush_queue().await.is_err()).await;
    let contents = Contents::read(&client, STREAM).await;
    let closed = contents.heads.last().map_or(0, |head| head.position);
    let torn = contents.events.last().map_or(0, |event| event.position);
    assert!(torn > closed && torn < 300, "no batch was torn: {torn} events, the head at {closed}");
    assert_eq!(publisher.parked().await, Vec::<u64>::new());

    server.reload_with("max_file: 100000", "max_file: 100000000");
    settle_and_check(publisher, &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_queue_that_went_its_own_way_is_stopped_and_both_events_are_named() {
    let Some(server) = NatsServer::run() else { return };
    let client = connect(&server.url()).await;
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut original = Publisher::on(config(&server.url()), &here.path().join("queue.jsonl"));
    original.publish(20).await;
    original.settle().await;
    let original = original.close().await;
    folders::copy(here.path(), there.path());

    let mut original = original.reopen();
    original.publish(10).await;
    original.settle().await;
    let original = original.close().await;

    let mut copy = Publisher::on(config(&server.url()), &there.path().join("queue.jsonl"));
    copy.accepted = original.accepted[..20].to_vec();
    // The same positions, other events.
    let other: Vec<_> = cim_keys_testkit::samples::numbered(110).skip(100).collect();
    copy.publish_these(&other).await;
    let problem = copy.adapter.flush_queue().await.unwrap_err().to_string();
    for named in [original.accepted[29].to_string(), copy.accepted[29].to_string()] {
        assert!(problem.contains(&named), "{named} is missing: {problem}");
    }
    assert_eq!(stored(&client).await, 30 + 2);
    original.check(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_behind_catches_up_without_sending_again() {
    let Some(server) = NatsServer::run() else { return };
    let client = connect(&server.url()).await;
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut offline = config(&server.url());
    offline.enabled = false;
    let mut original = Publisher::on(offline, &here.path().join("queue.jsonl"));
    original.publish(130).await;
    let mut original = original.close().await;
    original.config = config(&server.url());
    folders::copy(here.path(), there.path());
    let original = original.reopen();
    original.settle().await;
    let before = stored(&client).await;

    let mut relay = Publisher::on(config(&server.url()), &there.path().join("queue.jsonl"));
    relay.accepted = original.accepted.clone();
    assert_eq!(relay.queued().await, 130);
    relay.settle().await;
    assert_eq!(stored(&client).await, before, "the relay sent nothing");
    relay.publish(5).await;
    settle_and_check(relay, &server.url()).await;

    // The original is behind now, and knows of fewer events than the stream has.
    let problem = original.adapter.flush_queue().await;
    assert_eq!(original.queued().await, 0, "{problem:?}");
}
