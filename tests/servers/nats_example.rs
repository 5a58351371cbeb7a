//! The tour of `examples/nats_integration.rs`, as a person would take it: without a server, with one, and again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cim_keys_testkit::{NatsServer, ServerOptions};
use futures_util::StreamExt as _;

/// Cargo builds examples before it runs tests, beside the folder of the test's own program.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().join("examples");
    let program = folder.join(format!("nats_integration{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is not built: cargo build --example nats_integration", program.display());
    program
}

fn run(folder: &Path, url: &str) -> String {
    let output = Command::new(example())
        .current_dir(folder)
        .env_clear()
        .env("CIM_KEYS_NATS_URL", url)
        .env("CIM_KEYS_NATS_CONNECTION_TIMEOUT_SECS", "5")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

const SUBJECTS: [&str; 4] = [
    "cim.keys.organization.organizationcreated",
    "cim.keys.person.personcreated",
    "cim.keys.key.keygenerated",
    "cim.keys.nats.operator.natsoperatorcreated",
];

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "\"{expected}\" is missing in:\n{text}");
    }
}

#[tokio::test]
async fn offline_then_online_then_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut server) = prepared() else { return };
    let url = server.url();
    for _ in 0..2 {
        let offline = run(folder.path(), &url);
        says(&offline, &["working offline", "is_connected: false", "Queue size: 4", "verifies       true"]);
        says(&offline, &["deterministic  true", "does not verify", "stream_name"]);
        says(&offline, &SUBJECTS);
    }
    assert!(folder.path().join("cim-keys-example-queue.jsonl").exists());

    server.start();
    let client = async_nats::connect(&url).await.unwrap();
    for message in ["4 events of an earlier run", "4 events are on disk"] {
        let mut subscriber = client.subscribe("cim.keys.>").await.unwrap();
        client.flush().await.unwrap();
        let online = run(folder.path(), &url);
        says(&online, &[message, "is_connected: true", "Published:  4", "Queue size: 0"]);
        says(&online, &SUBJECTS);
        let mut seen = Vec::new();
        while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(500), subscriber.next()).await {
            seen.push(message.subject.to_string());
        }
        assert_eq!(seen, SUBJECTS, "exactly those four");
    }
}

/// A server that has an address and does not run yet.
fn prepared() -> Option<NatsServer> {
    ServerOptions::default().prepare(tempfile::TempDir::with_prefix("cim-keys-nats-").unwrap())
}
