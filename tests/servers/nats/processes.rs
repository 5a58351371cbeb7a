//! Our own process dies, a second one comes, the disk is full.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cid::Cid;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::ipld_support::generate_cid;
use cim_keys_testkit::{NatsServer, SmallDisk, again, samples};
use tempfile::TempDir;

use super::harness::{Publisher, config, connect, settle_and_check};

/// How often the publisher is killed.
const KILLS: usize = 50;

const URL: &str = "CIM_KEYS_TEST_URL";
const QUEUE: &str = "CIM_KEYS_TEST_QUEUE";
const FIRST: &str = "CIM_KEYS_TEST_FIRST";

/// The process that is killed: it accepts one event after the other, says so, and publishes as fast as it can.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the tests below start it as a process of its own"]
async fn publisher_process() {
    let (Ok(url), Ok(queue), Ok(first)) = (std::env::var(URL), std::env::var(QUEUE), std::env::var(FIRST)) else {
        return;
    };
    let adapter = NatsClientAdapter::new(config(&url), &queue).unwrap();
    let mut out = std::io::stdout();
    for event in samples::numbered(1_000_000).skip(first.parse().unwrap()) {
        adapter.publish_event(&event).await.unwrap();
        writeln!(out, "accepted {}", generate_cid(&event).unwrap()).unwrap();
        out.flush().unwrap();
    }
}

fn start_process(url: &str, queue: &std::path::Path, first: usize) -> Child {
    again(module_path!(), "publisher_process")
        .env(URL, url)
        .env(QUEUE, queue)
        .env(FIRST, first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a process said that it accepted, until it was killed a while after its first word.
fn kill_after(mut child: Child, delay: Duration) -> Vec<Cid> {
    let (first, began) = mpsc::channel();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = std::thread::spawn(move || {
        let mut accepted: Vec<Cid> = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            // A line that is cut short by the kill was not said.
            if let Some(cid) = line.rsplit("accepted ").next().and_then(|cid| cid.parse().ok()) {
                accepted.push(cid);
                let _ = first.send(());
            }
        }
        accepted
    });
    began.recv_timeout(Duration::from_secs(30)).expect("the process accepts something");
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    said.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_process_killed_fifty_times_loses_and_doubles_nothing() {
    let Some(server) = NatsServer::run() else { return };
    let folder = TempDir::new().unwrap();
    let queue = folder.path().join("queue.jsonl");
    let mut acknowledged: Vec<Cid> = Vec::new();
    let mut next = 0;
    let began = Instant::now();
    for kill in 0..KILLS {
        let child = start_process(&server.url(), &queue, next);
        // At any point of what it does, and other ones in each round.
        let delay = Duration::from_micros(300 + 3_700 * kill as u64);
        let said = tokio::task::spawn_blocking(move || kill_after(child, delay)).await.unwrap();
        acknowledged.extend(said);
        // Numbers are skipped, never used twice: the last event may be in the queue without having been said.
        next += 2_000;
        assert!(began.elapsed() < Duration::from_secs(300), "only {kill} kills in five minutes");
    }

    let publisher = Publisher::on(config(&server.url()), &queue);
    publisher.settle().await;
    let mut closed = publisher.close().await;
    // What was accepted without being said is whole, or absent: the stream tells.
    closed.accepted = closed.published(&connect(&server.url()).await).await;
    let missing: Vec<&Cid> = acknowledged.iter().filter(|cid| !closed.accepted.contains(cid)).collect();
    assert!(missing.is_empty(), "{} of {} are lost: {missing:?}", missing.len(), acknowledged.len());
    assert!(closed.accepted.len() <= acknowledged.len() + KILLS);
    closed.check(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_queue_is_told_so() {
    let folder = TempDir::new().unwrap();
    let queue = folder.path().join("queue.jsonl");
    let settings = config("nats://127.0.0.1:1");
    let mut publisher = Publisher::on(settings.clone(), &queue);
    publisher.publish(3).await;
    let problem = NatsClientAdapter::new(settings.clone(), &queue).expect_err("the queue is taken").to_string();
    assert!(problem.contains("queue.jsonl") && problem.contains("in use by process"), "{problem}");
    let again = publisher.close().await.reopen();
    assert_eq!(again.queued().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_line_is_dropped_and_all_before_it_are_published() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config("nats://127.0.0.1:1"));
    publisher.publish(19).await;
    publisher.publish(1).await;
    let mut closed = publisher.close().await;
    let bytes = std::fs::read(&closed.queue).unwrap();
    std::fs::write(&closed.queue, &bytes[..bytes.len() - 17]).unwrap();
    closed.accepted.truncate(19);
    closed.config = config(&server.url());
    let mut publisher = closed.reopen();
    publisher.publish(5).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_queue_refuses_and_loses_nothing_that_was_accepted() {
    let Some(server) = NatsServer::run() else { return };
    let Some(disk) = SmallDisk::of_kib(256) else { return };
    let mut publisher = Publisher::on(config("nats://127.0.0.1:1"), &disk.path().join("queue.jsonl"));
    publisher.publish(20).await;
    disk.fill_up_to(3_000);
    let events: Vec<_> = samples::numbered(120).skip(20).collect();
    let mut refused = None;
    for event in &events {
        match publisher.adapter.publish_event(event).await {
            Ok(_) => publisher.accepted.push(generate_cid(event).unwrap()),
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
    }
    let refused = refused.expect("the disk was full");
    assert!(refused.contains("queue.jsonl"), "{refused}");
    assert!(publisher.accepted.len() < 120);
    disk.make_room();
    let mut closed = publisher.close_after_failure().await;
    closed.config = config(&server.url());
    let mut publisher = closed.reopen();
    publisher.publish(10).await;
    settle_and_check(publisher, &server.url()).await;
}
