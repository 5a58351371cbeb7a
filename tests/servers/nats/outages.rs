//! The server or the network fails.

use std::time::Duration;

use cim_keys_testkit::proxy::{Action, Direction};
use cim_keys_testkit::{NatsServer, Proxy, ServerOptions};
use tempfile::TempDir;

use serde_json::json;

use super::harness::{Publisher, config, connect, eventually, make_stream, settle_and_check, stored, stream_with};

/// What a batch's ack has, and no other message.
const ACK: &str = "\"batch\":\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_absent_at_first_gets_everything_once_it_is_there() {
    let Some(mut server) = ServerOptions::default().prepare(TempDir::new().unwrap()) else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    let _ = publisher.adapter.connect().await;
    assert!(!publisher.adapter.is_connected());
    publisher.publish(120).await;
    assert_eq!(publisher.queued().await, 120);
    assert!(publisher.adapter.flush_queue().await.is_err(), "a flush without a server says so");

    server.start();
    // Nobody flushes: the background task finds the server by itself.
    eventually("the queue drains by itself", async || publisher.queued().await == 0).await;
    assert!(publisher.adapter.is_connected());
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_flush_loses_and_doubles_nothing() {
    let Some(mut server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.adapter.connect().await.unwrap();
    publisher.publish(50).await;
    publisher.settle().await;
    for _ in 0..5 {
        let before = publisher.queued().await;
        publisher.publish(600).await;
        eventually("some of it is on its way", async || publisher.queued().await < before + 600).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.start();
    }
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_waited_for() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.adapter.connect().await.unwrap();
    publisher.publish(1000).await;
    eventually("some of it is on its way", async || publisher.queued().await < 1000).await;
    server.pause();
    tokio::time::sleep(Duration::from_secs(8)).await;
    server.resume();
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_between_publish_and_ack_doubles_nothing() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.adapter.connect().await.unwrap();
    for nth in [1, 3, 2] {
        proxy.when(Direction::ToClient, ACK, nth, Action::Cut);
        publisher.publish(200).await;
        publisher.settle().await;
    }
    assert_eq!(proxy.fired(), 3, "each cut met an ack");
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_mid_batch_leaves_no_half_of_it() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.adapter.connect().await.unwrap();
    for nth in [7, 60, 120] {
        proxy.when(Direction::ToServer, "Nats-Batch-Id", nth, Action::Cut);
        publisher.publish(200).await;
        publisher.settle().await;
    }
    assert_eq!(proxy.fired(), 3);
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_lost_for_longer_than_the_duplicate_window_doubles_nothing() {
    let Some(server) = NatsServer::run() else { return };
    let window = Duration::from_millis(100);
    let client = connect(&server.url()).await;
    make_stream(&client, &stream_with(json!({ "duplicate_window": 100_000_000 }))).await;
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.adapter.connect().await.unwrap();
    proxy.when(Direction::ToClient, ACK, 2, Action::CutAndRefuse);
    publisher.publish(200).await;
    eventually("the ack is lost", async || proxy.fired() == 1).await;
    tokio::time::sleep(window * 20).await;
    // The batch whose ack was lost is stored: two batches of 50, each with its head.
    assert_eq!(stored(&client).await, 102);
    proxy.heal();
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_that_never_come_over_an_open_connection_are_not_waited_for_forever() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.adapter.connect().await.unwrap();
    proxy.when(Direction::ToClient, ACK, 2, Action::Stall);
    publisher.publish(200).await;
    eventually("the ack stalls", async || proxy.fired() == 1).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    proxy.heal();
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_gets_everything_slowly() {
    let Some(server) = NatsServer::run() else { return };
    let proxy = Proxy::before(server.address()).await;
    proxy.delay(Duration::from_millis(150));
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.publish(200).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_share_a_stream() {
    let Some(server) = NatsServer::run() else { return };
    let (mut one, mut two) = (Publisher::new(config(&server.url())), Publisher::new(config(&server.url())));
    two.first = 100_000;
    for _ in 0..4 {
        one.publish(300).await;
        two.publish(200).await;
    }
    tokio::join!(one.settle(), two.settle());
    settle_and_check(one, &server.url()).await;
    settle_and_check(two, &server.url()).await;
}
