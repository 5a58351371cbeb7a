//! A server without atomic batches.

use std::time::Duration;

use cim_keys_testkit::proxy::{Action, Direction};
use cim_keys_testkit::{NatsServer, Proxy, ServerOptions};

use serde_json::json;

use super::harness::{Publisher, config, connect, eventually, make_stream, settle_and_check, stream_with};

/// What the ack of a single message has.
const ACK: &str = "\"seq\":";

fn old() -> Option<NatsServer> {
    ServerOptions::default().old().start()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_gets_everything_once_and_in_order() {
    let Some(server) = old() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(500).await;
    publisher.settle().await;
    publisher.publish(7).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_killed_in_mid_flush_loses_and_doubles_nothing() {
    let Some(mut server) = old() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(10).await;
    publisher.settle().await;
    for _ in 0..3 {
        let before = publisher.queued().await;
        publisher.publish(500).await;
        eventually("some of it is on its way", async || publisher.queued().await < before + 500).await;
        server.kill();
        server.start();
    }
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_of_an_old_server_lost_for_longer_than_its_duplicate_window_doubles_nothing() {
    let Some(server) = old() else { return };
    let window = Duration::from_millis(100);
    make_stream(&connect(&server.url()).await, &stream_with(json!({ "duplicate_window": 100_000_000 }))).await;
    let proxy = Proxy::before(server.address()).await;
    let mut publisher = Publisher::new(config(&proxy.url()));
    publisher.publish(1).await;
    publisher.settle().await;
    for nth in [5, 60] {
        proxy.when(Direction::ToClient, ACK, nth, Action::CutAndRefuse);
        publisher.publish(200).await;
        eventually("the ack is lost", async || proxy.fired() > 0).await;
        tokio::time::sleep(window * 20).await;
        proxy.heal();
        publisher.settle().await;
    }
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_share_a_stream_of_an_old_server() {
    let Some(server) = old() else { return };
    let (mut one, mut two) = (Publisher::new(config(&server.url())), Publisher::new(config(&server.url())));
    two.first = 100_000;
    // Strangers' messages take the place of messages under way, again and again.
    one.publish(300).await;
    for _ in 0..15 {
        two.publish(5).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::join!(one.settle(), two.settle());
    settle_and_check(one, &server.url()).await;
    settle_and_check(two, &server.url()).await;
}
