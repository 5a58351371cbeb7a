//! What is handed out, in the hands of those that it is for: the `nats` command line, servers, services with one job.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cim_keys_testkit::nats_server::{NatsServer, free_port};
use cim_keys_testkit::tools::{NATS, NATS_SERVER, tool};
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};
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

/// A token as a service signs it.
fn signed(claims: &Value, key: &KeyPair) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let body = format!("{}.{}", part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#), part(&claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(body.as_bytes()).unwrap());
    format!("{body}.{signature}")
}

/// Answers authorization requests: who says "please" may publish to hello.>.
async fn keeper(server: &NatsServer, creds: &str, account: KeyPair) {
    let client = connect(&server.url(), creds).await.unwrap();
    let mut requests = client.subscribe("$SYS.REQ.USER.AUTH").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let token = std::str::from_utf8(&request.payload).unwrap();
            let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
            let asked: Value = serde_json::from_slice(&payload).unwrap();
            let (user, iat) = (&asked["nats"]["user_nkey"], std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
            let mut answer = json!({ "type": "authorization_response", "version": 2 });
            if asked["nats"]["connect_opts"]["name"] == "please" {
                let user_claims = json!({
                    "iat": iat, "iss": account.public_key(), "sub": user, "name": "guest",
                    "nats": { "pub": { "allow": ["hello.>"] }, "sub": {}, "subs": -1, "data": -1, "payload": -1,
                              "type": "user", "version": 2 },
                });
                answer["jwt"] = signed(&user_claims, &account).into();
            } else {
                answer["error"] = "say please".into();
            }
            let response = json!({
                "aud": asked["nats"]["server_id"]["id"], "iat": iat, "iss": account.public_key(), "sub": user,
                "nats": answer,
            });
            client.publish(request.reply.unwrap(), signed(&response, &account).into()).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_decides_who_connects() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/keeper"]);
    nats.ok(&["user", "add", "ORDERS/guest", "--deny-pubsub", ">"]);
    nats.ok(&["auth-callout", "edit", "ORDERS", "--auth-user", "keeper"]);
    let key = nats.ok(&["account", "show", "ORDERS"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let (root, issuing) = nats.place.passphrase_flags();
    let seed = nats.place.path("account.nk");
    let seed_file = seed.to_str().unwrap();
    let export = [
        "key",
        "export",
        &key,
        "--plain",
        "--yes",
        "--out",
        seed_file,
        "--reason",
        "the service signs",
        &root,
        &issuing,
    ];
    nats.place.run(&export).json();
    let account = KeyPair::from_seed(std::fs::read_to_string(&seed).unwrap().trim()).unwrap();
    let Some(server) = nats.server() else { return };
    keeper(&server, &nats.creds("ORDERS/keeper"), account).await;
    let guest = nats.creds("ORDERS/guest");
    let options = async_nats::ConnectOptions::new().credentials_file(&guest).await.unwrap().name("please");
    let client = options.connect(server.url()).await.unwrap();
    let mut hello =
        connect(&server.url(), &nats.creds("ORDERS/keeper")).await.unwrap().subscribe("hello.>").await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "what the service allowed does not arrive");
        client.publish("hello.you", "x".into()).await.unwrap();
        client.flush().await.unwrap();
        if let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(500), hello.next()).await {
            break;
        }
    }
    let refused = connect(&server.url(), &guest).await.unwrap_err().to_lowercase();
    assert!(refused.contains("authorization"), "{refused}");

    nats.ok(&["auth-callout", "edit", "ORDERS", "--xkey", "generate"]);
    let shown = |nats: &Nats| -> String {
        let claims = nats.ok(&["account", "show", "ORDERS"])[0]["token"]["claims"].as_str().unwrap().to_owned();
        let claims: Value = serde_json::from_str(&claims).unwrap();
        claims["nats"]["authorization"]["xkey"].as_str().unwrap_or_default().to_owned()
    };
    let first = shown(&nats);
    assert!(first.starts_with('X'));
    let types = nats.types(&["auth-callout", "rotate-xkey", "ORDERS", "--reason", "yearly"]);
    assert!(types.contains(&"KeyRevoked".to_owned()) && shown(&nats) != first, "{types:?}");
    nats.ok(&["auth-callout", "disable", "ORDERS"]);
    assert_eq!(shown(&nats), "");
}
