//! Deployments that go on while what they trust changes: services that decide who connects, rotations with overlap, accounts
//! that end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cim_keys_testkit::auth_service::{Admission, AuthService};
use cim_keys_testkit::folders;
use cim_keys_testkit::nats_server::NatsServer;
use futures_util::StreamExt as _;
use nkeys::{KeyPair, XKey};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support;
use crate::support::deployment::{Deployment, connect};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects as somebody who says a word, under a name.
async fn says(server: &NatsServer, creds: &str, word: &str) -> Result<async_nats::Client, String> {
    let options = async_nats::ConnectOptions::new().credentials_file(creds).await.unwrap().name(word);
    options.connect(server.url()).await.map_err(|error| error.to_string().to_lowercase())
}

/// Whether a message gets from one to the other, tried until it does.
async fn carries(from: &async_nats::Client, to: &async_nats::Client, subject: &str) {
    let mut messages = to.subscribe(subject.to_owned()).await.unwrap();
    to.flush().await.unwrap();
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < until, "{subject} does not arrive");
        from.publish(subject.to_owned(), "x".into()).await.unwrap();
        from.flush().await.unwrap();
        if let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(500), messages.next()).await {
            return;
        }
    }
}

/// An account `ORDERS` whose service puts guests into `GUESTS`, as the commands set it up.
struct Door {
    nats: Deployment,
    /// The credentials of the service.
    keeper: String,
    /// The credentials that everybody may have: they let nobody do anything.
    door: String,
    visitor: String,
}

impl Door {
    fn new() -> Self {
        let nats = Deployment::new();
        nats.ok(&["account", "add", "GUESTS"]);
        nats.ok(&["signing-key", "add", "ORDERS"]);
        nats.ok(&["signing-key", "add", "GUESTS", "--role", "visitor", "--allow-pub", "hello.>"]);
        nats.ok(&["user", "add", "GUESTS/host"]);
        nats.ok(&["user", "add", "ORDERS/keeper"]);
        nats.ok(&["user", "add", "ORDERS/door", "--deny-pubsub", ">"]);
        let edit = ["auth-callout", "edit", "ORDERS", "--auth-user", "keeper", "--allowed-account", "GUESTS"];
        nats.ok(&[&edit[..], &["--xkey", "generate"]].concat());
        let visitor = nats.account("GUESTS")["nats"]["signing_keys"][0]["key"].as_str().unwrap().to_owned();
        let (keeper, door) = (nats.creds("ORDERS/keeper"), nats.creds("ORDERS/door"));
        Self { nats, keeper, door, visitor }
    }

    fn xkey(&self) -> String {
        self.nats.account("ORDERS")["nats"]["authorization"]["xkey"].as_str().unwrap().to_owned()
    }

    /// Starts the service with the keys to what is sealed. "please" lets in, and "admin" tries too much.
    async fn keeper(&self, server: &NatsServer, xkeys: &[&str]) -> AuthService {
        let (orders, guests) = (self.nats.account("ORDERS"), self.nats.account("GUESTS"));
        let signer = orders["nats"]["signing_keys"].as_array().unwrap().last().unwrap().as_str().unwrap();
        let signer = KeyPair::from_seed(&self.nats.seed(signer)).unwrap();
        let visitor = Arc::new(KeyPair::from_seed(&self.nats.seed(&self.visitor)).unwrap());
        let guests = guests["sub"].as_str().unwrap().to_owned();
        let xkeys = xkeys.iter().map(|seed| XKey::from_seed(seed).unwrap()).collect();
        let account = orders["sub"].as_str().unwrap().to_owned();
        AuthService::start(&server.url(), Path::new(&self.keeper), &account.clone(), signer, xkeys, move |asked| {
            let admission =
                Admission { account: guests.clone(), signer: Arc::clone(&visitor), permissions: Value::Null };
            match asked["nats"]["connect_opts"]["name"].as_str().unwrap_or_default() {
                "please" => Ok(admission),
                "admin" => Ok(Admission { permissions: json!({ "pub": { "allow": [">"] } }), ..admission }),
                "elsewhere" => Ok(Admission { account: account.clone(), ..admission }),
                _ => Err("say please".to_owned()),
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_decides_who_connects_and_nobody_else_reads_what_it_is_asked() {
    let door = Door::new();
    let nats = &door.nats;
    let Some(server) = nats.server("full") else { return };
    let first = nats.seed(&door.xkey());
    let service = door.keeper(&server, &[&first]).await;

    // In the other account, with what its role gives.
    let guest = says(&server, &door.door, "please").await.unwrap();
    let host = connect(&server, &nats.creds("GUESTS/host")).await.unwrap().client;
    carries(&guest, &host, "hello.you").await;
    for word in ["whoever", "admin", "elsewhere"] {
        let refused = says(&server, &door.door, word).await.unwrap_err();
        assert!(refused.contains("authorization"), "{word}: {refused}");
    }
    let asked = service.asked();
    assert_eq!(asked.len(), 4);
    for one in &asked {
        assert!(one.sealed && one.wire.starts_with(b"xkv1"), "requests are sealed");
        assert_eq!(one.claims["aud"], "nats-authorization-request");
    }
    assert_eq!(asked[0].claims["nats"]["connect_opts"]["name"], "please");
    // The service's own user is not asked about, and who has no token of the account does not get as far as that.
    let stranger = nats.creds("GUESTS/host");
    says(&server, &stranger, "please").await.unwrap();
    assert_eq!(service.asked().len(), 4);
    service.stop().await;

    // A new key: a service that holds both goes on while servers change over; one that holds the old one opens nothing.
    let types = nats.ok(&["auth-callout", "rotate-xkey", "ORDERS", "--reason", "yearly"]);
    assert!(types.iter().any(|event| event["type"] == "KeyRevoked"), "{types:?}");
    let second = nats.seed(&door.xkey());
    assert_ne!(first, second);
    let service = door.keeper(&server, &[&first, &second]).await;
    says(&server, &door.door, "please").await.unwrap();
    nats.push(&server, &["--account", "ORDERS"]).json();
    says(&server, &door.door, "please").await.unwrap();
    assert_eq!(service.asked().len(), 2);
    service.stop().await;
    let service = door.keeper(&server, &[&first]).await;
    says(&server, &door.door, "please").await.unwrap_err();
    assert_eq!(service.asked()[0].claims, Value::Null);
    service.stop().await;

    // Without a key, requests go in the clear; without a service, tokens decide again.
    nats.ok(&["auth-callout", "edit", "ORDERS", "--xkey", "none"]);
    nats.push(&server, &["--account", "ORDERS"]).json();
    let service = door.keeper(&server, &[]).await;
    says(&server, &door.door, "please").await.unwrap();
    assert!(!service.asked()[0].sealed);
    service.stop().await;
    nats.ok(&["auth-callout", "disable", "ORDERS"]);
    nats.push(&server, &["--account", "ORDERS"]).json();
    says(&server, &door.door, "whoever").await.unwrap();
    nats.place.run(&["verify"]).json();
}

/// Somebody who publishes one number after another, each until the stream has it, and takes new credentials when given some.
struct Publisher {
    name: &'static str,
    credentials: watch::Sender<String>,
    stored: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    fn start(name: &'static str, urls: Vec<String>, creds: String) -> Self {
        let (credentials, mut changes) = watch::channel(creds);
        let (stored, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&stored), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut jetstream = None;
            while !ended.load(Ordering::Relaxed) {
                if jetstream.is_none() || changes.has_changed().unwrap_or(false) {
                    let creds = changes.borrow_and_update().clone();
                    let options = async_nats::ConnectOptions::new().credentials_file(&creds).await.unwrap();
                    jetstream = options.connect(&urls).await.ok().map(async_nats::jetstream::new);
                }
                let number = count.load(Ordering::Relaxed);
                if let Some(jetstream) = &jetstream
                    && stores(jetstream, name, number).await
                {
                    count.store(number + 1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { name, credentials, stored, stop, task }
    }

    fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Waits until some more of its messages are stored.
    async fn goes_on(&self) {
        let (until, enough) = (tokio::time::Instant::now() + PATIENCE, self.stored() + 5);
        while self.stored() < enough {
            assert!(tokio::time::Instant::now() < until, "{} is stuck at {}", self.name, self.stored());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> (&'static str, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        (self.name, self.stored.load(Ordering::Relaxed))
    }
}

/// Whether the stream says that it has a publisher's message of this number.
async fn stores(jetstream: &async_nats::jetstream::Context, name: &str, number: u64) -> bool {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", format!("{name}-{number}"));
    let publish = async {
        let sent = jetstream.publish_with_headers(format!("events.{name}"), headers, number.to_string().into());
        Some(sent.await.ok()?.await.is_ok())
    };
    tokio::time::timeout(Duration::from_secs(5), publish).await.ok().flatten().unwrap_or(false)
}

/// The numbers that the stream has of a publisher, in its order.
async fn numbers(client: &async_nats::Client, name: &str) -> Vec<u64> {
    let jetstream = async_nats::jetstream::new(client.clone());
    let config = async_nats::jetstream::consumer::pull::OrderedConfig {
        filter_subject: format!("events.{name}"),
        ..Default::default()
    };
    // A cluster that has just been restarted may still be choosing leaders.
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut consumer = loop {
        match jetstream.create_consumer_on_stream(config.clone(), "EVENTS").await {
            Ok(consumer) => break consumer,
            Err(error) => assert!(tokio::time::Instant::now() < until, "no consumer: {error}"),
        }
    };
    let pending = usize::try_from(consumer.info().await.unwrap().num_pending).unwrap();
    let messages = consumer.messages().await.unwrap().take(pending);
    let number = |message: Result<async_nats::jetstream::Message, _>| {
        let message = message.unwrap();
        std::str::from_utf8(&message.payload).unwrap().parse::<u64>().unwrap()
    };
    tokio::time::timeout(PATIENCE, messages.map(number).collect::<Vec<u64>>()).await.unwrap()
}

/// Pushes to three servers, which may still have to find each other.
fn push_to_three(nats: &Deployment, servers: &[NatsServer]) {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let pushed = nats.push(&servers[0], &["--all", "--servers", "3"]);
        if pushed.code != 5 || std::time::Instant::now() > until {
            pushed.json();
            return;
        }
    }
}

/// A user's key, its account's signing key and the operator's signing key are replaced, each with an overlap, while messages
/// go through a cluster. Who follows loses none; who does not is cut off when the overlap is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_change_under_traffic_and_whoever_follows_loses_nothing() {
    let nats = Deployment::new();
    nats.ok(&[
        "signing-key",
        "add",
        "ORDERS",
        "--role",
        "device",
        "--allow-pub",
        "events.>",
        "--allow-sub",
        "_INBOX.>",
    ]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    nats.ok(&["user", "add", "ORDERS/shop"]);
    nats.ok(&["user", "add", "ORDERS/reader"]);
    let kept = |which: &str, name: &str| {
        let kept = nats.place.path(name).to_str().unwrap().to_owned();
        std::fs::copy(nats.creds(which), &kept).unwrap();
        kept
    };
    let (shop, device) = (kept("ORDERS/shop", "shop.1"), kept("ORDERS/d1", "d1.1"));
    let before = nats.place.path("before");
    folders::copy(&nats.place.ledger(), &before);
    let Some(mut servers) = nats.cluster(&["full", "full", "full"]) else { return };
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    let reader = connect(&servers[0], &nats.creds("ORDERS/reader")).await.unwrap().client;
    let config = async_nats::jetstream::stream::Config {
        name: "EVENTS".to_owned(),
        subjects: vec!["events.>".to_owned()],
        num_replicas: 3,
        ..Default::default()
    };
    let until = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = async_nats::jetstream::new(reader.clone()).get_or_create_stream(config.clone()).await {
        assert!(tokio::time::Instant::now() < until, "there is no stream: {error}");
    }
    drop(reader);
    let publishers =
        [Publisher::start("shop", urls.clone(), shop.clone()), Publisher::start("d1", urls.clone(), device.clone())];
    let go_on = async || {
        for publisher in &publishers {
            publisher.goes_on().await;
        }
    };
    go_on().await;

    // The operator's signing key: servers first, one after the other, then the accounts.
    nats.ok(&["operator", "rotate", "--reason", "yearly", "--overlap", "5s", "--yes"]);
    nats.push(&servers[0], &["--all", "--servers", "3"]).fails(1, &["does not trust", "nothing was pushed"]);
    for server in servers.iter_mut().rev() {
        nats.restart(server, "full");
        go_on().await;
    }
    push_to_three(&nats, &servers);
    go_on().await;

    // The account's signing key and a user's own: the account first, then new credentials.
    nats.ok(&["signing-key", "rotate", "ORDERS", "device", "--reason", "yearly", "--overlap", "5s"]);
    nats.ok(&["user", "rotate", "ORDERS/shop", "--reason", "yearly", "--overlap", "5s"]);
    push_to_three(&nats, &servers);
    let mut laggards = [connect(&servers[0], &shop).await.unwrap(), connect(&servers[1], &device).await.unwrap()];
    go_on().await;
    publishers[0].credentials.send(kept("ORDERS/shop", "shop.2")).unwrap();
    publishers[1].credentials.send(kept("ORDERS/d1", "d1.2")).unwrap();
    go_on().await;
    for laggard in &laggards {
        let jetstream = async_nats::jetstream::new(laggard.client.clone());
        assert!(stores(&jetstream, "laggard", 0).await, "the old key is good as long as its overlap");
    }

    // The overlap is over.
    let until = std::time::Instant::now() + PATIENCE;
    while !nats.place.run(&["nats", "due"]).json().iter().all(|one| one["due"] == true) {
        assert!(std::time::Instant::now() < until, "nothing becomes due");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = nats.ok(&["due", "--apply"]);
    let retired = |kind: &str| ended.iter().filter(|event| event["type"] == kind).count();
    assert_eq!(retired("NatsSigningKeyRetired"), 2, "{ended:?}");
    push_to_three(&nats, &servers);
    for laggard in &mut laggards {
        laggard.is_shut_out().await;
    }
    for (server, old) in [(&servers[2], &shop), (&servers[0], &device)] {
        assert!(connect(server, old).await.is_err());
    }
    go_on().await;
    for server in servers.iter_mut().rev() {
        nats.restart(server, "full");
        go_on().await;
    }
    // The operator's old key opens no door any more: a token of it is not even sent.
    nats.elsewhere(&before, "push", &servers[0], &["--account", "ORDERS", "--allow-rollback"])
        .fails(1, &["does not trust", "nothing was pushed"]);
    push_to_three(&nats, &servers);

    let reader = connect(&servers[0], &nats.creds("ORDERS/reader")).await.unwrap().client;
    for publisher in publishers {
        let (name, stored) = publisher.end().await;
        let there = numbers(&reader, name).await;
        // The last one may be stored without its publisher having heard so.
        assert!(stored >= 50 && there.len() as u64 >= stored, "{} of {stored} of {name}", there.len());
        assert!(
            there.iter().copied().eq(0..there.len() as u64),
            "every message of {name}, once and in order: {there:?}"
        );
    }
    nats.place.run(&["verify"]).json();
}

/// Files beneath a folder that hold the beginning of every token.
fn with_tokens(folder: &Path) -> Vec<String> {
    const HEADER: &[u8] = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ";
    let holds = |path: &Path| std::fs::read(path).unwrap().windows(HEADER.len()).any(|part| part == HEADER);
    let found = support::files(folder).into_iter().filter(|path| holds(path));
    found.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The request to delete is signed where the keys are, travels with what is public, and is used where servers are.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_deleted_from_a_machine_without_keys() {
    let mut nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let (bob, ops) = (nats.creds("ORDERS/bob"), nats.pusher.clone());
    nats.push_with("$SYS.REQ.CLAIMS.DELETE");
    let Some(mut server) = nats.server("full") else { return };
    let mut client = connect(&server, &bob).await.unwrap();
    nats.carry_out();
    let mirror = nats.mirror();
    let delete = |nats: &Deployment, server: &NatsServer| {
        nats.elsewhere(&mirror, "push", server, &["--delete", "ORDERS", "--servers", "1", "--yes"])
    };
    delete(&nats, &server).fails(3, &["not deleted in the ledger"]);

    let types = nats.ok(&["account", "delete", "ORDERS", "--reason", "closed", "--yes"]);
    let last: Vec<_> = types.iter().rev().take(3).rev().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(last, ["NatsAccountDeleted", "JwtClaimsCreated", "JwtSigned"]);
    delete(&nats, &server).fails(3, &["not deleted in the ledger"]);
    let usb = nats.carry_out();
    nats.mirror();
    // It is a credential: it lies where tokens do, and nowhere else.
    for (folder, file) in [(nats.place.ledger(), "restricted.db"), (mirror.clone(), "restricted.db")] {
        assert!(with_tokens(&folder).iter().all(|name| name.starts_with(file)), "{:?}", with_tokens(&folder));
    }
    assert!(with_tokens(Path::new(&usb)).iter().all(|name| name.starts_with("tokens")), "{usb}");

    // Whoever may push may not delete yet, and is told so.
    let may = std::mem::replace(&mut nats.pusher, ops);
    delete(&nats, &server).fails(3, &["may not publish to $SYS.REQ.CLAIMS.DELETE"]);
    nats.pusher = may;
    let deleted = delete(&nats, &server).json();
    assert_eq!(deleted[0]["state"], "deleted");
    client.told("expired").await;
    assert!(connect(&server, &bob).await.is_err());
    delete(&nats, &server).json();

    // The key that signed the request is retired: another one signs it anew, and only that.
    nats.ok(&["operator", "rotate", "--reason", "yearly", "--yes"]);
    nats.restart(&mut server, "full");
    delete(&nats, &server).fails(1, &["does not trust", "nothing was deleted", "account delete"]);
    let delete_again = ["account", "delete", "ORDERS", "--reason", "again", "--yes"];
    let types = nats.ok(&delete_again);
    assert_eq!(types.iter().map(|event| &event["type"]).collect::<Vec<_>>(), ["JwtClaimsCreated", "JwtSigned"]);
    assert_eq!(nats.ok(&delete_again).len(), 0);
    nats.carry_out();
    nats.mirror();
    delete(&nats, &server).json();
    nats.place.run(&["verify"]).json();
}
