//! What is handed out, in the hands of those that it is for: the `nats` command line, servers, services with one job.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cim_keys_testkit::nats_server::free_port;
use cim_keys_testkit::tools::{NATS, NATS_SERVER, tool};
use futures_util::StreamExt as _;
use serde_json::Value;
use support::nats::{Nats, publishes};

const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(url: &str, creds: &str) -> Result<async_nats::Client, String> {
    let options = async_nats::ConnectOptions::new().credentials_file(creds).await.unwrap();
    options.connect(url).await.map_err(|error| error.to_string())
}

async fn ask(client: &async_nats::Client, subject: String) -> Result<Value, String> {
    let answer = tokio::time::timeout(Duration::from_secs(10), client.request(subject, "".into())).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&answer.payload).unwrap_or(Value::Null))
}

#[test]
fn several_credentials_go_into_a_folder_sealed_or_not() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "SYS/bob", "--preset", "pusher"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "ORDERS/eve"]);
    let out = nats.place.path("creds");
    let folder = out.to_str().unwrap();
    let written = nats.ok(&["creds", "SYS/bob", "ORDERS/bob", "ORDERS/eve", "--out", folder]);
    let names: Vec<_> = written.iter().map(|it| it["file"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["SYS-bob.creds", "ORDERS-bob.creds", "eve.creds"]);
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o700);
    for file in support::files(&out) {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(file).unwrap().contains("BEGIN USER NKEY SEED"));
    }
    let recorded = nats.place.run(&["event", "list", "--limit", "3"]).json();
    assert!(recorded.iter().all(|event| event["type"] == "KeyExported"), "{recorded:?}");
    // Nothing is written over, and what can't be written is not recorded.
    nats.run(&["creds", "ORDERS/eve", "ORDERS/bob", "--out", folder]).fails(2, &["does not exist yet"]);
    assert_eq!(nats.place.run(&["event", "list", "--limit", "1"]).json()[0]["position"], recorded[0]["position"]);
    nats.run(&["creds", "ORDERS/eve", "ORDERS/bob", "--out", "-"]).fails(2, &["--out DIR"]);
}

#[test]
fn the_nats_command_line_connects_by_a_context() {
    let Some(program) = tool(NATS) else { return };
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/bob", "--allow-pubsub", "orders.>,_INBOX.>"]);
    let Some(server) = nats.server() else { return };
    let home = nats.place.path("xdg");
    let dir = home.join("nats");
    let made = nats.ok(&["context", "ORDERS/bob", "--url", &server.url(), "--dir", dir.to_str().unwrap()]);
    assert_eq!(made[0]["context"], "ORDERS_bob");
    for file in support::files(&dir) {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let run = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", &home)
            .args(["--context", "ORDERS_bob"])
            .args(args);
        command.output().unwrap()
    };
    let published = run(&["pub", "orders.new", "hello"]);
    assert!(published.status.success(), "{published:?}");
    let measured = run(&["rtt"]);
    assert!(measured.status.success(), "{measured:?}");
    nats.run(&["context", "ORDERS/bob", "--dir", dir.to_str().unwrap()]).fails(2, &["does not exist yet"]);
    nats.run(&["context", "ORDERS/bob", "--name", "../up"]).fails(2, &["can't be a context's name"]);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_starts_from_its_configurations_as_they_are() {
    let Some(program) = tool(NATS_SERVER) else { return };
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "SYS/pusher", "--preset", "pusher"]);
    let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
    let servers: Vec<String> =
        ports.iter().enumerate().map(|(i, (client, cluster))| format!("n{i}=127.0.0.1:{client}:{cluster}")).collect();
    let (out, store) = (nats.place.path("servers"), nats.place.path("store"));
    let (folder, store) = (out.to_str().unwrap(), store.to_str().unwrap());
    let servers = servers.join(",");
    let config = ["server-config", "--resolver", "full", "--servers", &servers, "--store-dir", store, "--out", folder];
    assert_eq!(nats.ok(&config).len(), 3);
    nats.run(&config).fails(2, &["does not exist yet"]);
    let mut running = Vec::new();
    for number in 0..3 {
        let conf = out.join(format!("n{number}/nats.conf"));
        let log = nats.place.path(&format!("n{number}.log"));
        let mut command = Command::new(&program);
        command.arg("-c").arg(conf).arg("-l").arg(log).stdout(Stdio::null()).stderr(Stdio::null());
        running.push(Running(command.spawn().unwrap()));
    }
    let creds = nats.creds("ORDERS/bob");
    let url = |number: usize| format!("nats://127.0.0.1:{}", ports[number].0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let carried = loop {
        assert!(tokio::time::Instant::now() < deadline, "the cluster carries no message");
        let (Ok(first), Ok(last)) = (connect(&url(0), &creds).await, connect(&url(2), &creds).await) else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let mut messages = last.subscribe("a").await.unwrap();
        last.flush().await.unwrap();
        first.publish("a", "x".into()).await.unwrap();
        first.flush().await.unwrap();
        if let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(1), messages.next()).await {
            break message;
        }
    };
    assert_eq!(&carried.payload[..], b"x");

    // The pusher sees all that it needs, and nothing else.
    let pusher = nats.creds("SYS/pusher");
    let client = connect(&url(1), &pusher).await.unwrap();
    let account = nats.ok(&["account", "show", "ORDERS"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let info = ask(&client, format!("$SYS.REQ.ACCOUNT.{account}.INFO")).await.unwrap();
    assert!(info["server"]["id"].is_string(), "{info}");
    assert!(ask(&client, "$SYS.REQ.SERVER.PING.VARZ".to_owned()).await.unwrap()["data"].is_object());
    client.publish("$SYS.REQ.SERVER.PING.CONNZ", "".into()).await.unwrap();
    assert!(ask(&client, "$SYS.REQ.SERVER.PING.CONNZ".to_owned()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn publisher_subscriber_and_auditor_do_their_jobs_and_no_other() {
    let nats = Nats::new();
    for preset in ["publisher", "subscriber", "auditor"] {
        nats.ok(&["user", "add", &format!("ORDERS/{preset}"), "--preset", preset]);
    }
    let expires = |user: &str| nats.ok(&["user", "show", &format!("ORDERS/{user}")])[0]["user"]["expires_at"].clone();
    assert!(expires("auditor").is_string() && expires("publisher").is_null());
    let Some(server) = nats.server() else { return };
    let creds = nats.creds("ORDERS/publisher");
    let config = nats.place.ledger().join("config.toml");
    std::fs::write(&config, format!("[nats]\nurl = \"{}\"\ncredentials_file = \"{creds}\"\n", server.url())).unwrap();
    let synced = nats.place.run(&["sync", "--once"]);
    assert_eq!(synced.code, 0, "{synced:?}");

    let auditor = connect(&server.url(), &nats.creds("ORDERS/auditor")).await.unwrap();
    let jetstream = async_nats::jetstream::new(auditor);
    let mut stream = jetstream.get_stream("CIM_KEYS_EVENTS").await.unwrap();
    let stored = stream.info().await.unwrap().state.messages;
    assert!(stored > 3, "{stored}");
    let ordered = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let messages = stream.create_consumer(ordered).await.unwrap().messages().await.unwrap();
    let read = tokio::time::timeout(PATIENCE, messages.take(usize::try_from(stored).unwrap()).count()).await.unwrap();
    assert_eq!(u64::try_from(read).unwrap(), stored);
    assert!(publishes(&server, &nats.creds("ORDERS/auditor"), "cim.keys.key.keyrevoked").await.is_err());

    let subscriber = connect(&server.url(), &nats.creds("ORDERS/subscriber")).await.unwrap();
    let stream = async_nats::jetstream::new(subscriber).get_stream("CIM_KEYS_EVENTS").await.unwrap();
    let durable = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("trust-store".to_owned()),
        filter_subject: "cim.keys.>".to_owned(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(durable).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
    message.double_ack().await.unwrap();
    assert!(publishes(&server, &nats.creds("ORDERS/subscriber"), "cim.keys.key.keyrevoked").await.is_err());
}
