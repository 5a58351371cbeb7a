//! What is handed out, in the hands of those that it is for: the `nats` command line, servers, services with one job.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use cim_keys::adapters::nats_system::PUBLISHES;
use cim_keys::nats::presets::Preset;
use cim_keys_testkit::nats_server::{ServerOptions, free_port};
use cim_keys_testkit::tools::{NATS, NATS_SERVER, tool};
use futures_util::StreamExt as _;
use nkeys::XKey;
use serde_json::{Value, json};

use crate::support;
use crate::support::deployment::Deployment;
use crate::support::nats::{Nats, connect, publishes};

const PATIENCE: Duration = Duration::from_secs(60);

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
    nats.run(&["creds", "ORDERS/eve", "--out", "nowhere/eve.creds"]).fails(2, &["make its folder first"]);
    // Named twice is one; who is cut off gets nothing.
    let key = written[1]["public_key"].as_str().unwrap();
    let twice = nats.place.path("twice");
    assert_eq!(nats.ok(&["creds", "orders/BOB", key, "ORDERS/bob", "--out", twice.to_str().unwrap()]).len(), 1);
    nats.ok(&["user", "revoke", "ORDERS/eve", "--reason", "left", "--yes"]);
    nats.run(&["creds", "ORDERS/eve", "--out", "eve.creds"]).fails(3, &["user eve is revoked", "user add"]);
    assert!(!nats.place.path("eve.creds").exists());
}

#[test]
fn what_is_sealed_to_a_curve_key_opens_with_its_seed_and_with_nkeys() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let pair = XKey::new();
    let made = nats.ok(&["creds", "ORDERS/bob", "--to", &pair.public_key()]).remove(0);
    assert_eq!(made["file"], "bob.creds.xkey");
    let sealed = std::fs::read_to_string(nats.place.path("bob.creds.xkey")).unwrap();
    assert!(!sealed.contains("SEED"), "{sealed}");
    let event = nats.place.run(&["event", "list", "--limit", "1"]).json().remove(0);
    assert_eq!((&event["type"], &event["data"]["recipient"]), (&json!("KeyExported"), &json!(pair.public_key())));

    // With cim-keys, on a machine without a ledger.
    nats.place.file("ops.xk", pair.seed().unwrap().as_bytes());
    let open = |file: &str, key: &str, out: &str| {
        let mut command = nats.place.command(&["nats", "open", file, "--key", key, "--file", out]);
        command.env_remove("CIM_KEYS_LEDGER");
        support::run(command, b"")
    };
    open("bob.creds.xkey", "ops.xk", "bob.creds").json();
    let opened = std::fs::read_to_string(nats.place.path("bob.creds")).unwrap();
    assert_eq!(std::fs::metadata(nats.place.path("bob.creds")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(opened.contains("BEGIN USER NKEY SEED"));

    // With another library: two headers and base64.
    let value = |name: &str| sealed.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(value("Recipient:"), pair.public_key());
    let (_, body) = sealed.split_once("\n\n").unwrap();
    let base64: String = body.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let sender = XKey::from_public_key(&value("Sender:")).unwrap();
    assert_eq!(pair.open(&bytes, &sender).unwrap(), opened.as_bytes());

    nats.place.file("other.xk", XKey::new().seed().unwrap().as_bytes());
    open("bob.creds.xkey", "other.xk", "x").fails(3, &["is sealed to", "--key"]);
    nats.place.file("bob.xk", opened.as_bytes());
    open("bob.creds.xkey", "bob.xk", "x").fails(2, &["no curve key"]);
    open("bob.creds", "ops.xk", "x").fails(2, &["no file that the key can open"]);
    let first = base64::engine::general_purpose::STANDARD.encode(&bytes[60..63]);
    nats.place.file("cut.xkey", sealed.replacen(&first, "AAAA", 1).as_bytes());
    open("cut.xkey", "ops.xk", "x").fails(4, &["was changed"]);
    assert!(!nats.place.path("x").exists());
    let weak = nats.run(&["creds", "ORDERS/bob", "--to", &"X".repeat(56), "--file", "weak"]);
    weak.fails(2, &["no public curve key"]);
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
    nats.run(&["context", "ORDERS/bob", "--name", ""]).fails(2, &["can't be a context's name"]);
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
    let (twice, half) = (nats.place.path("twice"), nats.place.path("half"));
    nats.run(&["server-config", "--servers", "n1,N1", "--out", twice.to_str().unwrap()])
        .fails(2, &["N1 is named twice"]);
    assert!(!twice.exists());
    // One file that is there already, and none is written.
    std::fs::create_dir_all(half.join("n2/nats.conf")).unwrap();
    nats.run(&["server-config", "--servers", "n1,n2", "--out", half.to_str().unwrap()]).fails(2, &["n2/nats.conf"]);
    assert!(!half.join("n1/nats.conf").exists());
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

/// What the server says to a client that publishes or subscribes: its refusal, if it says one.
async fn refusal(url: &str, creds: &str, publish: Option<&str>, subscribe: Option<&str>) -> Option<String> {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::new().event_callback(move |event| {
        let tell = tell.clone();
        async move { drop(tell.send(event.to_string())) }
    });
    let client = options.credentials_file(creds).await.unwrap().connect(url).await.unwrap();
    if let Some(subject) = publish {
        client.publish(subject.to_owned(), "{}".into()).await.unwrap();
    }
    let _kept = match subscribe {
        Some(subject) => Some(client.subscribe(subject.to_owned()).await.unwrap()),
        None => None,
    };
    client.flush().await.unwrap();
    // The server answers in order: what comes after its answer to this comes of something else.
    client.flush().await.unwrap();
    let wait = Duration::from_millis(300);
    while let Ok(Some(event)) = tokio::time::timeout(wait, told.recv()).await {
        if event.to_lowercase().contains("violation") {
            return Some(event);
        }
    }
    None
}

/// Who pushes may do what pushing asks for, by name, and the server refuses the rest of what system users can do.
#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_pushes_and_is_refused_everything_else() {
    let mut pushes: Vec<_> = Preset::Pusher.permissions().r#pub.allow;
    pushes.sort();
    let mut needs = PUBLISHES.map(str::to_owned).to_vec();
    needs.sort();
    assert_eq!(pushes, needs);
    let nats = Deployment::new();
    let Some(server) = nats.server("full") else { return };
    nats.ok(&["account", "edit", "ORDERS", "--conns", "9"]);
    nats.push(&server, &["--all", "--servers", "1"]).json();
    nats.diff(std::slice::from_ref(&server), 1).json();
    let client = connect(&server.url(), &nats.pusher).await.unwrap();
    let id = ask(&client, "$SYS.REQ.SERVER.PING".to_owned()).await.unwrap()["server"]["id"].clone();
    let id = id.as_str().unwrap();
    for subject in [
        "$SYS.REQ.CLAIMS.DELETE",
        "$SYS.REQ.CLAIMS.PACK",
        "$SYS.REQ.SERVER.PING.CONNZ",
        &format!("$SYS.REQ.SERVER.{id}.RELOAD"),
        &format!("$SYS.REQ.SERVER.{id}.KICK"),
        &format!("$SYS.REQ.SERVER.{id}.LDM"),
        "$SYS.REQ.ACCOUNT.PING.CONNZ",
        "orders.new",
    ] {
        let said = refusal(&server.url(), &nats.pusher, Some(subject), None).await;
        assert!(said.is_some_and(|said| said.contains(subject)), "{subject}");
    }
    for subject in ["$SYS.>", "$SYS.ACCOUNT.*.CONNECT", ">", "_INBOX_other.>"] {
        assert!(refusal(&server.url(), &nats.pusher, None, Some(subject)).await.is_some(), "{subject}");
    }
}

/// Each preset with our own program: who publishes, who audits, who reads; a large event goes by the object store.
#[tokio::test(flavor = "multi_thread")]
async fn our_own_commands_run_with_the_presets_and_readers_change_nothing() {
    let nats = Nats::new();
    for preset in ["publisher", "subscriber", "auditor"] {
        nats.ok(&["user", "add", &format!("ORDERS/{preset}"), "--preset", preset]);
    }
    let rule = nats.place.file("rule.md", "A rule that is long. ".repeat(2_000).as_bytes());
    nats.place.run(&["policy", "add", "Long rule", "--document", &rule]).json();
    let config = nats.place.run(&["nats", "server-config", "--output", "text", "--resolver", "memory"]).stdout;
    let options = ServerOptions::default().conf(&config).conf("max_payload: 16384");
    let Some(server) = options.start() else { return };
    let url = server.url();
    let creds = |user: &str| nats.creds(&format!("ORDERS/{user}"));
    let (publisher, subscriber, auditor) = (creds("publisher"), creds("subscriber"), creds("auditor"));
    let (_, issuing) = nats.place.passphrase_flags();
    nats.place.run(&["log", "checkpoint", "--sign", &issuing]).json();
    let as_user = |creds: &str, args: &[&str]| {
        let mut command = nats.place.command(&[args, &["--url", &url]].concat());
        command.env("CIM_KEYS_NATS_CREDENTIALS_FILE", creds);
        support::run(command, b"")
    };
    as_user(&publisher, &["sync", "--once"]).json();

    let key = nats.place.key();
    let verified = as_user(&auditor, &["verify", "--from", "nats", "--key", &key]).json().remove(0);
    assert_eq!(verified["ok"], true, "{verified}");
    let mirror = nats.place.path("mirror");
    let mirror = mirror.to_str().unwrap();
    let replayed = as_user(&auditor, &["replay", "--from", "nats", "--ledger", mirror, "--key", &key]).json().remove(0);
    assert_eq!(replayed["new"], replayed["events"]);
    nats.place.run(&["verify", "--ledger", mirror]).json();
    nats.place.run(&["unit", "add", "Optics"]).json();
    nats.place.run(&["log", "checkpoint", "--sign", &issuing]).json();
    as_user(&publisher, &["sync", "--once"]).json();
    let followed = as_user(&auditor, &["follow", "--ledger", mirror, "--once"]);
    assert_eq!(followed.code, 0, "{followed:?}");
    let events =
        |ledger: &str| nats.place.run(&["event", "list", "--limit", "1", "--ledger", ledger]).json()[0].clone();
    assert_eq!(events(mirror)["cid"], events(nats.place.ledger().to_str().unwrap())["cid"]);

    // Readers change nothing, and the publisher reads nobody else's.
    nats.place.run(&["unit", "add", "Mechanics"]).json();
    for reader in [&auditor, &subscriber] {
        as_user(reader, &["sync", "--once"]).fails(1, &["may not publish heads"]);
        for subject in [
            "cim.keys.key.keyrevoked",
            "cim.checkpoints.me",
            "$JS.API.STREAM.DELETE.CIM_KEYS_EVENTS",
            "$JS.API.STREAM.PURGE.CIM_KEYS_EVENTS",
            "$JS.API.STREAM.UPDATE.CIM_KEYS_EVENTS",
            "$JS.API.STREAM.MSG.DELETE.CIM_KEYS_EVENTS",
            "$JS.API.STREAM.CREATE.MINE",
            "$JS.API.STREAM.INFO.OTHER",
            "$O.cim-keys-objects.C.x",
            "anything",
        ] {
            assert!(refusal(&url, reader, Some(subject), None).await.is_some(), "{subject}");
        }
        assert!(refusal(&url, reader, None, Some("orders.>")).await.is_some());
    }
    assert!(refusal(&url, &auditor, None, Some("cim.keys.>")).await.is_some(), "an auditor reads the stream");
    assert!(refusal(&url, &subscriber, None, Some("cim.keys.>")).await.is_none());
    for subject in ["cim.keys.>", "orders.>"] {
        assert!(refusal(&url, &publisher, None, Some(subject)).await.is_some(), "{subject}");
    }
    assert!(refusal(&url, &publisher, Some("$JS.API.STREAM.DELETE.CIM_KEYS_EVENTS"), None).await.is_some());
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
