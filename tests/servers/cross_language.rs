//! Our identifiers, recomputed from our messages by other people's libraries: Python's `dag-cbor` and `libipld`, and
//! JavaScript's `@ipld/dag-cbor`.
//!
//! `cargo xtask test` fetches them. Without them a test is skipped and says so; in CI it fails.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cid::multibase::Base;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::message::MessageWriter;
use cim_keys::config::{NatsConfig, Payload};
use cim_keys::delivery::outbox::Entry;
use cim_keys::events::{EventData, KeyEvent, UnknownEvent};
use cim_keys::ipld_support::{ContentAddressedEvent, append_message_body};
use cim_keys::text::Label;
use cim_keys_testkit::check::Contents;
use cim_keys_testkit::nats_server::NatsServer;
use cim_keys_testkit::samples;
use cim_keys_testkit::tools::{NODE_MODULES, PYTHON, tool};
use ipld_core::ipld;

/// Every sample, and an event of a type that nobody knows with all that an event may hold.
fn events() -> Vec<ContentAddressedEvent<KeyEvent>> {
    let data = ipld!({
        "zero": 0, "negative": -1, "largest": 9007199254740991i64, "smallest": -9007199254740991i64,
        "text": "\"\\\u{8}\u{c}\n\r\t\u{1} é 水 𐅑 \u{2028}", "empty": [[], {}], "yes": true, "no": false,
        "bytes": ipld_core::ipld::Ipld::Bytes((0..=255).collect()), "": "the empty key", "a longer key": { "b": 1, "a": 2, "aa": 3 },
    });
    let unknown = EventData::Unknown(UnknownEvent { event_type: "SomethingLater".into(), schema: 7, data });
    let later = KeyEvent { data: unknown, ..samples::typical() };
    samples::events().into_iter().chain([later]).map(|event| ContentAddressedEvent::new(event).unwrap()).collect()
}

/// The messages of these events, one a line, as the peers read them: the body as DAG-JSON, then the block itself.
fn messages(events: &[ContentAddressedEvent<KeyEvent>]) -> String {
    let source = "01890a5d-ac96-774b-8000-000000000001".parse().unwrap();
    let writers = [Payload::DagJson, Payload::DagCbor]
        .map(|payload| MessageWriter::new(&NatsConfig { payload, ..NatsConfig::default() }, &source));
    let mut lines = String::new();
    for (event, position) in events.iter().zip(1..) {
        let aggregate = event.event.aggregate().map_or("later".to_owned(), |aggregate| aggregate.to_string());
        let event_type = event.event.event_type().to_owned();
        let entry = Entry { position, cid: event.cid, aggregate, event_type, block: event.block().to_vec() };
        for writer in &writers {
            let message = writer.write(&entry, 1 << 20, None).unwrap();
            let headers: BTreeMap<String, String> = message
                .headers
                .iter()
                .map(|(name, values)| (name.to_string(), values.iter().map(|value| value.as_str()).collect()))
                .collect();
            let line = serde_json::json!({ "headers": headers, "body": Base::Base64Pad.encode(&message.body) });
            lines.push_str(&format!("{line}\n"));
        }
    }
    lines
}

fn answers(command: &mut Command, input: &str) -> Vec<Vec<String>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the peer failed: {command:?}");
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn agree(command: &mut Command) {
    let events = events();
    let answers = answers(command, &messages(&events));
    assert_eq!(answers.len(), 2 * events.len());
    for (event, answers) in events.iter().zip(answers.chunks(2)) {
        for cid in answers.iter().flatten() {
            assert_eq!(*cid, event.cid.to_string(), "{}", event.event.event_type());
        }
    }
}

#[test]
fn python_gives_the_same_identifiers() {
    let Some(python) = tool(PYTHON) else { return };
    agree(&mut python_peer(&python));
}

#[test]
fn javascript_gives_the_same_identifiers() {
    let Some(modules) = tool(NODE_MODULES) else { return };
    agree(&mut javascript_peer(&modules));
}

fn python_peer(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg("tests/servers/peers/verify.py");
    command
}

fn javascript_peer(modules: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg("tests/servers/peers/verify.mjs").env(NODE_MODULES, modules);
    command
}

/// What a stream holds after a flush, taken from a real server.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_delivers_has_the_same_identifiers() {
    let Some(server) = NatsServer::run() else { return };
    let (Some(python), Some(modules)) = (tool(PYTHON), tool(NODE_MODULES)) else { return };
    for payload in [Payload::DagJson, Payload::DagCbor] {
        let folder = tempfile::tempdir().unwrap();
        let stream_name: Label = format!("CROSS_{payload:?}").parse().unwrap();
        let prefix = format!("cross.{payload:?}");
        let config = NatsConfig {
            url: server.url().parse().unwrap(),
            stream_name: stream_name.clone(),
            subject_prefix: prefix.parse().unwrap(),
            head_subject: format!("{prefix}-heads").parse().unwrap(),
            payload,
            ..NatsConfig::default()
        };
        let adapter = NatsClientAdapter::new(config, folder.path().join("queue.jsonl")).unwrap();
        adapter.connect().await.unwrap();
        let expected: Vec<String> =
            adapter.publish_batch(&samples::events()).await.unwrap().iter().map(ToString::to_string).collect();
        adapter.flush_queue().await.unwrap();
        adapter.shutdown().await.unwrap();

        let client = async_nats::connect(server.url()).await.unwrap();
        let contents = Contents::read(&client, stream_name.as_str()).await;
        let mut lines = String::new();
        for message in &contents.events {
            let line = serde_json::json!({ "headers": { "ce-id": message.cid }, "body": Base::Base64Pad.encode(&message.body) });
            lines.push_str(&format!("{line}\n"));
        }
        for mut peer in [python_peer(&python), javascript_peer(&modules)] {
            let answers = answers(&mut peer, &lines);
            assert_eq!(answers.len(), expected.len());
            for (answer, cid) in answers.iter().zip(&expected) {
                assert!(answer.iter().all(|said| said == cid), "{answer:?} and not {cid}");
            }
        }
    }
}

/// The program that `docs/NATS_INTEGRATION.md` gives to readers of messages.
#[test]
fn the_documented_check_accepts_events_and_refuses_changed_ones() {
    let Some(python) = tool(PYTHON) else { return };
    let guide = include_str!("../../docs/NATS_INTEGRATION.md");
    let (_, rest) = guide.split_once("<!-- check.py -->\n```python\n").unwrap();
    let program = rest.split_once("\n```").unwrap().0;
    for event in
        samples::events().into_iter().filter(|event| ["KeyGenerated", "EventAttested"].contains(&event.event_type()))
    {
        let event = ContentAddressedEvent::new(event).unwrap();
        let mut body = Vec::new();
        append_message_body(&event.cid, event.block(), &mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let changed = body.replacen("\"schema\":1", "\"schema\":2", 1);
        assert_ne!(body, changed);
        for (text, fits) in [(&body, true), (&changed, false)] {
            let mut child = Command::new(&python)
                .args(["-c", program])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.success(), fits, "{}", String::from_utf8_lossy(&output.stderr));
            if fits {
                assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), event.cid.to_string());
            } else {
                assert!(String::from_utf8_lossy(&output.stderr).contains("not the event that was published"));
            }
        }
    }
}
