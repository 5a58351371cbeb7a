//! What subscribers receive, in each configuration, read by software that nobody here wrote.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cid::multibase::Base;
use cim_keys::config::Payload;
use cim_keys_testkit::check::{Contents, Message};
use cim_keys_testkit::tools::{NODE_MODULES, PYTHON, tool};
use cim_keys_testkit::{NatsServer, samples};
use futures_util::StreamExt as _;
use serde_json::json;

use super::harness::{Publisher, STREAM, config, connect, eventually};

/// What a program of other people's libraries computes for these messages: one line of identifiers each.
fn recompute(command: &mut Command, messages: &[Message]) -> Vec<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = messages
        .iter()
        .map(|message| {
            let body = Base::Base64Pad.encode(&message.body);
            format!("{}\n", json!({ "headers": { "ce-id": message.cid }, "body": body }))
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Every identifier on a line is that of the message.
fn agree(answers: &[String], messages: &[Message]) {
    assert_eq!(answers.len(), messages.len());
    for (answer, message) in answers.iter().zip(messages) {
        assert!(answer.split(' ').all(|cid| cid == message.cid), "{}: {answer}", message.cid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_and_javascript_compute_the_published_cids() {
    let Some(server) = NatsServer::run() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish_these(&samples::events()).await;
    publisher.settle().await;
    let contents = Contents::read(&connect(&server.url()).await, STREAM).await;
    assert_eq!(contents.events.len(), samples::events().len());
    if let Some(python) = tool(PYTHON) {
        let answers = recompute(Command::new(python).arg("tests/servers/peers/verify.py"), &contents.events);
        agree(&answers, &contents.events);
    }
    if let Some(modules) = tool(NODE_MODULES) {
        let mut program = Command::new("node");
        let answers =
            recompute(program.arg("tests/servers/peers/verify.mjs").env(NODE_MODULES, modules), &contents.events);
        agree(&answers, &contents.events);
    }
    publisher.close().await.check(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_can_be_sent_as_they_are() {
    let Some(server) = NatsServer::run() else { return };
    let mut settings = config(&server.url());
    settings.payload = Payload::DagCbor;
    let mut publisher = Publisher::new(settings);
    publisher.publish_these(&samples::events()).await;
    publisher.settle().await;
    let contents = Contents::read(&connect(&server.url()).await, STREAM).await;
    assert!(contents.events.iter().all(|event| event.body.first().is_some_and(|byte| byte >> 5 == 5)), "all are maps");
    publisher.close().await.check(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_json_has_no_cid_in_its_body_and_the_same_promise() {
    let Some(server) = NatsServer::run() else { return };
    let mut settings = config(&server.url());
    settings.enable_ipld = false;
    let mut publisher = Publisher::new(settings);
    publisher.publish_these(&samples::events()).await;
    publisher.settle().await;
    let contents = Contents::read(&connect(&server.url()).await, STREAM).await;
    for event in &contents.events {
        let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert!(body.get("cid").is_none() && body["id"].is_string(), "{body}");
    }
    publisher.close().await.check(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_jetstream_subscribers_see_each_event_under_its_subject() {
    let Some(server) = NatsServer::run() else { return };
    let client = connect(&server.url()).await;
    let mut all = client.subscribe("cim.keys.>").await.unwrap();
    client.flush().await.unwrap();
    let mut settings = config(&server.url());
    settings.enable_jetstream = false;
    let mut publisher = Publisher::new(settings);
    publisher.publish_these(&samples::events()).await;
    publisher.settle().await;
    for (event, cid) in samples::events().iter().zip(&publisher.accepted) {
        let message = all.next().await.unwrap();
        assert_eq!(message.subject.as_str(), event.subject(&"cim.keys".parse().unwrap()).unwrap());
        assert_eq!(message.headers.unwrap().get("ce-id").unwrap().as_str(), cid.to_string());
    }
    eventually("the queue is empty", async || publisher.queued().await == 0).await;
}
