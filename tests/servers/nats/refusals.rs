//! The server refuses: a full stream, a large event, a setting or a permission that breaks the promise.

use cim_keys::events::Aggregate;
use cim_keys_testkit::{JwtMode, NatsServer, ServerOptions, samples};
use serde_json::json;

use super::harness::{
    Publisher, config, connect, connect_with, eventually, large_event, make_stream, settle_and_check, stream_api,
    stream_with,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_waited_for_and_nothing_is_parked() {
    let Some(server) = NatsServer::run() else { return };
    let client = connect(&server.url()).await;
    make_stream(&client, &stream_with(json!({ "max_bytes": 60_000, "discard": "new" }))).await;
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(10).await;
    publisher.adapter.flush_queue().await.unwrap();
    publisher.publish(400).await;
    let refused = publisher.adapter.flush_queue().await.unwrap_err().to_string();
    assert!(refused.contains("full") || refused.contains("maximum bytes"), "{refused}");
    // A first batch that is too large leaves nothing; one that fits is stored before that.
    let waiting = publisher.queued().await;
    assert!(waiting > 0 && waiting <= 400, "{waiting}");
    assert_eq!(publisher.parked().await, Vec::<u64>::new());

    stream_api(&client, "UPDATE", &stream_with(json!({ "max_bytes": -1, "discard": "new" }))).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_that_breaks_the_promise_is_refused_by_name() {
    let Some(server) = NatsServer::run() else { return };
    let cases = [
        ("no_ack", json!({ "no_ack": true })),
        ("interest", json!({ "retention": "interest" })),
        ("workqueue", json!({ "retention": "workqueue" })),
        ("max_msgs_per_subject", json!({ "max_msgs_per_subject": 5 })),
        (
            "discard_new_per_subject",
            json!({ "max_msgs_per_subject": 5, "discard": "new", "discard_new_per_subject": true }),
        ),
        ("transform", json!({ "subject_transform": { "src": "cim.keys.>", "dest": "other.>" } })),
        ("cim.checkpoints", json!({ "subjects": ["cim.keys.>"] })),
    ];
    let client = connect(&server.url()).await;
    for (word, stream) in cases {
        let stream = stream_with(stream);
        make_stream(&client, &stream).await;
        let mut publisher = Publisher::new(config(&server.url()));
        publisher.publish(3).await;
        let problem = publisher.adapter.flush_queue().await.unwrap_err().to_string();
        assert!(problem.contains(word), "{word}: {problem}");
        assert_eq!(publisher.queued().await, 3, "{word}");
        publisher.close().await;
        stream_api(&client, "DELETE", &stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stream_that_takes_the_heads_is_named() {
    let Some(server) = NatsServer::run() else { return };
    let other = stream_with(json!({ "name": "HEADS", "subjects": ["cim.checkpoints.>"] }));
    make_stream(&connect(&server.url()).await, &other).await;
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(3).await;
    let problem = publisher.adapter.flush_queue().await.unwrap_err().to_string();
    assert!(problem.contains("HEADS"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_memory_is_used_with_a_warning() {
    let Some(server) = NatsServer::run() else { return };
    make_stream(&connect(&server.url()).await, &stream_with(json!({ "storage": "memory" }))).await;
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(10).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_permission_is_named_and_mended_by_another_user() {
    let mode = JwtMode::new();
    let Some(server) = ServerOptions::default().conf(&mode.server_conf()).start() else { return };
    let cases: [(&str, &[&str], &[&str]); 3] = [
        ("_INBOX", &[], &["_INBOX.>"]),
        ("cim.checkpoints", &["cim.checkpoints.>"], &[]),
        ("STREAM", &["$JS.API.STREAM.>"], &[]),
    ];
    for (word, publish, subscribe) in cases {
        let mut settings = config(&server.url());
        settings.credentials_file = Some(mode.creds(publish, subscribe));
        let mut publisher = Publisher::new(settings);
        publisher.publish(120).await;
        let problem = publisher.adapter.flush_queue().await.unwrap_err().to_string();
        assert!(problem.contains(word), "{word}: {problem}");
        assert_eq!(publisher.queued().await, 120);

        let mut closed = publisher.close().await;
        closed.config.credentials_file = Some(mode.creds(&[], &[]));
        let publisher = closed.reopen();
        publisher.settle().await;
        let client = connect_with(&server.url(), &mode.creds(&[], &[])).await;
        publisher.close().await.check_with(&client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_subject_is_denied_is_parked_and_others_pass() {
    let users = "authorization { users: [\n\
        { user: narrow, password: pw, permissions: { publish: { deny: [\"cim.keys.location.>\"] } } }\n\
        { user: wide, password: pw }\n ] }";
    let Some(server) = ServerOptions::default().conf(users).start() else { return };
    let address = server.address();
    let mut publisher = Publisher::new(config(&format!("nats://narrow:pw@{address}")));
    let events: Vec<_> = samples::events();
    let denied: Vec<u64> = (1..)
        .zip(&events)
        .filter(|(_, event)| event.aggregate() == Some(Aggregate::Location))
        .map(|(i, _)| i)
        .collect();
    publisher.publish_these(&events).await;
    publisher.settle().await;
    assert_eq!(publisher.parked().await, denied);

    let wide = format!("nats://wide:pw@{address}");
    let mut closed = publisher.close().await;
    closed.check(&wide).await;
    closed.config.url = wide.parse().unwrap();
    let publisher = closed.reopen();
    publisher.retry(&denied).await;
    eventually("the parked event is published", async || publisher.parked().await.is_empty()).await;
    settle_and_check(publisher, &wide).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_a_message_goes_by_the_object_store() {
    let Some(server) = ServerOptions::default().conf("max_payload: 8KB").start() else { return };
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(60).await;
    publisher.publish_these(&[large_event(20_000)]).await;
    publisher.publish(60).await;
    settle_and_check(publisher, &server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_the_stream_allows_is_parked_and_others_pass() {
    let Some(server) = NatsServer::run() else { return };
    make_stream(&connect(&server.url()).await, &stream_with(json!({ "max_msg_size": 4096 }))).await;
    let mut publisher = Publisher::new(config(&server.url()));
    publisher.publish(30).await;
    publisher.publish_these(&[large_event(20_000)]).await;
    publisher.publish(60).await;
    publisher.settle().await;
    assert_eq!(publisher.parked().await, vec![31]);
    settle_and_check(publisher, &server.url()).await;
}
