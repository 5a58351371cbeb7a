//! A stream of three replicas, whose leader dies.

use std::time::Duration;

use cim_keys_testkit::Cluster;

use super::harness::{Publisher, STREAM, config, eventually, settle_and_check};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_in_mid_flush_loses_and_doubles_nothing() {
    let Some(mut cluster) = Cluster::run().await else { return };
    let urls = cluster.urls();
    let mut settings = config(&urls.join(","));
    settings.replicas = 3;
    let mut publisher = Publisher::new(settings);
    publisher.publish(20).await;
    publisher.settle().await;
    for _ in 0..2 {
        let leader = cluster.leader_of(STREAM).await;
        let before = publisher.queued().await;
        publisher.publish(2000).await;
        eventually("some of it is on its way", async || publisher.queued().await < before + 2000).await;
        cluster.members[leader].kill();
        tokio::time::sleep(Duration::from_millis(500)).await;
        publisher.settle().await;
        cluster.members[leader].start();
    }
    settle_and_check(publisher, &urls[cluster.leader_of(STREAM).await]).await;
}
