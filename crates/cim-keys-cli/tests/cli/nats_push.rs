//! `nats push`, `nats diff` and `nats pull` against real servers.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use cim_keys_testkit::folders;
use cim_keys_testkit::jwt_mode::sign;
use cim_keys_testkit::nats_server::NatsServer;

use crate::support;
use crate::support::deployment::{Deployment, about, claims, connect, lines, states};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_proved_recorded_and_cuts_off_who_was_revoked() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "ORDERS/ann"]);
    let (bob, ann) = (nats.creds("ORDERS/bob"), nats.creds("ORDERS/ann"));
    let Some(server) = nats.server("full") else { return };

    // What servers began with is what the ledger says.
    let pushed = nats.push(&server, &["--all", "--servers", "1"]).json();
    assert_eq!(about(&pushed, "ORDERS")["result"], "unchanged");
    let mut client = connect(&server, &bob).await.unwrap();
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    nats.diff(std::slice::from_ref(&server), 1).fails(4, &["differ"]);

    // A receipt that can't be written is told before anything is sent.
    for nowhere in ["nowhere/push.json", "."] {
        let refused = nats.push(&server, &["--account", "ORDERS", "--receipt", nowhere]);
        refused.fails(2, &["cannot write the receipt", "nothing was pushed"]);
    }
    nats.diff(std::slice::from_ref(&server), 1).fails(4, &["differ"]);
    let receipt = nats.place.path("push.json");
    let pushed = nats.push(&server, &["--account", "orders", "--receipt", receipt.to_str().unwrap()]).json();
    let orders = about(&pushed, "ORDERS");
    assert_eq!((orders["result"].as_str().unwrap(), states(orders)), ("pushed", vec!["held"]));
    client.told("authentication revoked").await;
    assert!(connect(&server, &bob).await.is_err());
    connect(&server, &ann).await.unwrap();
    nats.diff(std::slice::from_ref(&server), 1).json();

    let event = &nats.place.run(&["event", "list", "--limit", "1"]).json()[0];
    assert_eq!(event["type"], "NatsAccountPushed");
    assert_eq!(event["data"]["servers"][0], "one");
    // Once more: nothing is sent, and nothing recorded.
    let again = nats.push(&server, &["--account", "ORDERS"]).json();
    assert_eq!(about(&again, "ORDERS")["result"], "unchanged");
    assert_eq!(nats.place.run(&["event", "list", "--limit", "1"]).json()[0], *event);

    let receipt: serde_json::Value = serde_json::from_slice(&std::fs::read(receipt).unwrap()).unwrap();
    assert_eq!(receipt["format"], "cim-keys-push-receipt");
    assert_eq!(receipt["accounts"][0]["servers"][0], "one");
    assert_eq!(receipt["accounts"][0]["jti"], orders["jti"]);
}

/// What a server answers to a token that is pushed without any care.
async fn bare_update(nats: &Deployment, server: &NatsServer, token: &str) -> serde_json::Value {
    let client = connect(server, &nats.pusher).await.unwrap().client;
    let answer = client.request("$SYS.REQ.CLAIMS.UPDATE", token.to_owned().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Trap 1 of servers: a full resolver answers 200 to a token of an operator that it does not trust, and puts it in the
/// place of the good one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_not_believe_the_token_is_not_given_it() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/ann"]);
    let ann = nats.creds("ORDERS/ann");
    let Some(server) = nats.server("full") else { return };
    // The server was not told of the new key.
    nats.ok(&["operator", "rotate", "--reason", "yearly", "--yes"]);
    nats.push(&server, &["--all"]).fails(1, &["one does not trust", "nothing was pushed", "server-config"]);
    connect(&server, &ann).await.unwrap();
    let out = nats.place.path("pulled");
    let pulled = nats.pull(&server, &["--out", out.to_str().unwrap()]).json();
    assert_eq!(about(&pulled, "ORDERS")["relation"], "older");
    // This is what it would have done.
    assert_eq!(bare_update(&nats, &server, &nats.token("ORDERS")).await["data"]["code"], 200);
    let pulled = nats.pull(&server, &["--out", out.to_str().unwrap(), "--account", "ORDERS"]).json();
    assert!(pulled.iter().any(|token| token["relation"] == "same"), "{pulled:?}");
}

/// Trap 2: servers take an older token, and a revoked user is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_token_is_not_pushed_over_a_newer_one() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let bob = nats.creds("ORDERS/bob");
    let Some(server) = nats.server("full") else { return };
    let old = nats.place.path("old");
    folders::copy(&nats.place.ledger(), &old);
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    nats.push(&server, &["--account", "ORDERS"]).json();
    assert!(connect(&server, &bob).await.is_err());

    let push = |more: &[&str]| {
        let receipt = nats.place.path("old.json");
        let args = [&["--account", "ORDERS", "--receipt", receipt.to_str().unwrap()], more].concat();
        nats.elsewhere(&old, "push", &server, &args)
    };
    let refused = push(&[]);
    refused.fails(3, &["bring back users", "--allow-rollback"]);
    assert_eq!(about(&lines(&refused), "ORDERS")["result"], "rollback");
    assert!(connect(&server, &bob).await.is_err());
    // Whoever says so gets it; the ledger itself notices, and mends it.
    assert_eq!(about(&push(&["--allow-rollback"]).json(), "ORDERS")["result"], "pushed");
    connect(&server, &bob).await.unwrap();
    nats.diff(std::slice::from_ref(&server), 1).fails(4, &["1 of 2 accounts differ"]);
    nats.push(&server, &["--account", "ORDERS"]).json();
    assert!(connect(&server, &bob).await.is_err());
}

/// Trap 3: two tokens of one second share a `jti`, and servers that compare with each other keep the one that they have.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_second_are_told_apart() {
    let nats = Deployment::new();
    let first = claims(&nats.token("ORDERS"));
    nats.ok(&["account", "edit", "ORDERS", "--conns", "10"]);
    let second = claims(&nats.token("ORDERS"));
    nats.ok(&["account", "edit", "ORDERS", "--conns", "11"]);
    let third = claims(&nats.token("ORDERS"));
    let at = |claims: &serde_json::Value| claims["iat"].as_i64().unwrap();
    assert!(at(&first) < at(&second) && at(&second) < at(&third));
    assert!(first["jti"] != second["jti"] && second["jti"] != third["jti"]);

    // Somebody else who has the operator's key signs in the same second.
    let Some(server) = nats.server("full") else { return };
    let issuer = third["iss"].as_str().unwrap();
    let key = nkeys::KeyPair::from_seed(&nats.seed(issuer)).unwrap();
    let mut twin = third.clone();
    twin["nats"]["limits"]["conn"] = 5.into();
    bare_update(&nats, &server, &sign(&twin, &key)).await;
    let refused = nats.push(&server, &["--account", "ORDERS"]);
    refused.fails(3, &["same second", "sign the account anew"]);
    let stored = about(&lines(&refused), "ORDERS")["stored"][0].clone();
    assert_eq!(
        (stored["held"].as_str(), stored["differences"][0]["path"].as_str()),
        (Some("twin"), Some("nats.limits.conn"))
    );
    nats.ok(&["account", "edit", "ORDERS", "--conns", "12"]);
    nats.push(&server, &["--account", "ORDERS"]).json();
}

/// Trap 4: a revocation counts up to its own second, so what is issued afterwards must be issued later.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_let_in_and_the_old_credentials_are_not() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let old = nats.place.path("bob.old");
    std::fs::copy(nats.creds("ORDERS/bob"), &old).unwrap();
    let Some(server) = nats.server("full") else { return };
    nats.ok(&["user", "rotate", "ORDERS/bob", "--reason", "laptop lost"]);
    let rotated = nats.place.path("bob.rotated");
    std::fs::copy(nats.creds("ORDERS/bob"), &rotated).unwrap();
    let rotated = rotated.to_str().unwrap();
    nats.push(&server, &["--account", "ORDERS"]).json();
    assert!(connect(&server, old.to_str().unwrap()).await.is_err());
    connect(&server, rotated).await.unwrap();
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let back = nats.creds("ORDERS/bob");
    nats.push(&server, &["--account", "ORDERS"]).json();
    assert!(connect(&server, rotated).await.is_err());
    connect(&server, &back).await.unwrap();
}

/// Trap 5: expiry closes connections, and an account's expiry closes all of them.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_closes_connections() {
    let nats = Deployment::new();
    let soon = std::time::SystemTime::now() + Duration::from_secs(6);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = cim_keys::time::Timestamp::from_unix_micros(i64::try_from(soon).unwrap() * 1_000_000).unwrap();
    nats.ok(&["user", "add", "ORDERS/guest", "--expires", &at.to_string()]);
    let guest = nats.creds("ORDERS/guest");
    let Some(server) = nats.server("full") else { return };
    if let Ok(mut client) = connect(&server, &guest).await {
        client.told("authentication expired").await;
    }
    // Servers count whole seconds.
    while cim_keys::time::Timestamp::now().unix_micros() < at.unix_micros() + 2_000_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(connect(&server, &guest).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_missed_and_brought_up_to_date_when_it_is_back() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let bob = nats.creds("ORDERS/bob");
    let Some(mut servers) = nats.cluster(&["full", "full", "full"]) else { return };
    let mut clients = Vec::new();
    for server in &servers[..2] {
        clients.push(connect(server, &bob).await.unwrap());
    }
    servers[2].kill();
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    let pushed = nats.push(&servers[0], &["--account", "ORDERS", "--servers", "3"]);
    pushed.fails(5, &["2 of 3 servers answer"]);
    assert_eq!(states(about(&lines(&pushed), "ORDERS")), ["held", "held"]);
    for client in &mut clients {
        client.told("authentication revoked").await;
    }
    servers[2].start();
    // Its folder still has the old token, until servers compare with each other.
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let pushed = loop {
        let pushed = nats.push(&servers[0], &["--account", "ORDERS", "--servers", "3"]);
        if pushed.code != 5 || std::time::Instant::now() > until {
            break pushed.json();
        }
    };
    let orders = about(&pushed, "ORDERS");
    assert!(states(orders).iter().all(|state| matches!(*state, "held" | "stored")), "{orders}");
    assert_eq!(orders["stored"].as_array().unwrap().len(), 3);
    for server in &servers {
        assert!(connect(server, &bob).await.is_err());
    }
    nats.diff(&servers, 3).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_the_configuration_are_told_apart() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "ORDERS/ann"]);
    let (bob, ann) = (nats.creds("ORDERS/bob"), nats.creds("ORDERS/ann"));
    let Some(server) = nats.server("memory") else { return };
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    // Nobody has used the account: the server goes on with its configuration, and says 200.
    let pushed = nats.push(&server, &["--account", "ORDERS"]);
    pushed.fails(1, &["its tokens in its configuration", "reload"]);
    assert_eq!(states(about(&lines(&pushed), "ORDERS")), ["configured"]);
    let mut client = connect(&server, &bob).await.unwrap();
    connect(&server, &ann).await.unwrap();
    let pushed = nats.push(&server, &["--account", "ORDERS"]);
    assert!(pushed.stderr.contains("until they restart"), "{pushed:?}");
    let orders = pushed.json();
    let orders = about(&orders, "ORDERS");
    assert_eq!((states(orders), &orders["servers"][0]["resolver"]), (vec!["until-restart"], &"memory".into()));
    client.told("authentication revoked").await;
    assert!(connect(&server, &bob).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_skips_a_token_is_not_believed() {
    let mut nats = Deployment::new();
    nats.push_with("$SYS.REQ.ACCOUNT.*.CONNZ");
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let bob = nats.creds("ORDERS/bob");
    let Some(mut servers) = nats.cluster(&["full", "cache"]) else { return };
    let resolvers = |object: &serde_json::Value| {
        object["servers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["resolver"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // A client makes the cache load the account; after a restart its folder has it, and nobody has used it.
    drop(connect(&servers[1], &bob).await.unwrap());
    servers[1].stop();
    servers[1].start();
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let pushed = loop {
        let pushed = nats.push(&servers[0], &["--account", "ORDERS", "--servers", "2"]);
        if pushed.code != 5 || std::time::Instant::now() > until {
            break pushed.json();
        }
    };
    let orders = about(&pushed, "ORDERS");
    assert_eq!(resolvers(orders), ["full", "cache"]);
    assert!(states(orders)[1] == "held", "{orders}");
    for server in &servers {
        assert!(connect(server, &bob).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_forgotten_by_servers() {
    let mut nats = Deployment::new();
    nats.push_with("$SYS.REQ.CLAIMS.DELETE");
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let bob = nats.creds("ORDERS/bob");
    let Some(server) = nats.server("full") else { return };
    let mut client = connect(&server, &bob).await.unwrap();
    nats.push(&server, &["--delete", "ORDERS", "--yes"]).fails(3, &["not deleted in the ledger", "account delete"]);
    nats.ok(&["account", "delete", "ORDERS", "--reason", "closed", "--yes"]);
    let differs = nats.diff(std::slice::from_ref(&server), 1);
    differs.fails(4, &["held that should not be"]);
    assert_eq!(about(&lines(&differs), "ORDERS")["result"], "deleted");
    nats.push(&server, &["--delete", "ORDERS", "--yes"]).json();
    client.told("expired").await;
    assert!(connect(&server, &bob).await.is_err());
    nats.diff(std::slice::from_ref(&server), 1).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_texts_come_back_from_servers_and_nothing_else_does() {
    let nats = Deployment::new();
    let Some(server) = nats.server("full") else { return };
    for file in ["restricted.db", "restricted.db-wal", "restricted.db-shm", "restricted.db-journal"] {
        let _ = std::fs::remove_file(nats.place.ledger().join(file));
    }
    nats.push(&server, &["--all"]).fails(1, &["not kept here"]);
    let out = nats.place.path("pulled");
    let pulled = nats.pull(&server, &["--out", out.to_str().unwrap(), "--adopt"]).json();
    let orders = about(&pulled, "ORDERS");
    assert_eq!((orders["relation"].as_str(), orders["adopted"].as_bool()), (Some("same"), Some(true)));
    use std::os::unix::fs::PermissionsExt as _;
    let file = out.join(orders["file"].as_str().unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), nats.token("ORDERS"));
    nats.push(&server, &["--all"]).json();
    // What the ledger did not record is written into a file, and not taken for its own.
    nats.ok(&["account", "edit", "ORDERS", "--conns", "7"]);
    let pulled = nats.pull(&server, &["--out", out.to_str().unwrap(), "--adopt"]).json();
    let orders = about(&pulled, "ORDERS");
    assert_eq!((orders["relation"].as_str(), orders["adopted"].as_bool()), (Some("older"), Some(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_told_what_is_missing() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&[
        "user",
        "add",
        "SYS/narrow",
        "--allow-pub",
        "$SYS.REQ.SERVER.PING",
        "--allow-pub",
        "$SYS.REQ.SERVER.PING.VARZ",
    ]);
    let (bob, narrow) = (nats.creds("ORDERS/bob"), nats.creds("SYS/narrow"));
    let Some(mut server) = nats.server("full") else { return };
    let url = server.url();
    let diff = |creds: &str| nats.place.run(&["nats", "diff", "--url", &url, "--creds", creds]);
    diff(&narrow).fails(3, &["may not publish to $SYS.REQ.CLAIMS.LIST"]);
    diff(&bob).fails(3, &["outside of the system account"]);
    nats.place.run(&["nats", "diff", "--url", &url]).fails(2, &["--creds"]);
    nats.place.run(&["nats", "push", "--url", &url, "--creds", &narrow]).fails(2, &["--all"]);
    server.kill();
    diff(&narrow).fails(5, &["no NATS server answers"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_raises_an_alarm() {
    let nats = Deployment::new();
    let Some(server) = nats.server("full") else { return };
    let url = server.url();
    let args = ["nats", "diff", "--watch", "--fail-fast", "--interval", "1", "--url", &url, "--creds", &nats.pusher];
    let command = nats.place.command(&args);
    let watching = std::thread::spawn(move || support::run(command, b""));
    // Somebody pushes something else behind the ledger's back: here, the ledger moves and nobody pushes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    nats.ok(&["account", "edit", "ORDERS", "--conns", "7"]);
    let watched = watching.join().unwrap();
    watched.fails(4, &["1 of 2 accounts differ"]);
    let words: Vec<String> = lines(&watched).iter().filter_map(|it| it["status"].as_str().map(str::to_owned)).collect();
    assert_eq!(words.last().unwrap(), "drift");
    assert!(words.len() == 1 || words[0] == "in-step", "{words:?}");
}

/// A watch that goes on: every change is a line, and what stays as it is says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_changes_until_it_is_ended() {
    let nats = Deployment::new();
    let Some(mut server) = nats.server("full") else { return };
    let url = server.url();
    let args = ["nats", "diff", "--watch", "--interval", "1", "--servers", "1", "--url", &url, "--creds", &nats.pusher];
    let mut command = nats.place.command(&args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut told = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let mut next = || told.find_map(|line| Some(line["status"].as_str()?.to_owned())).unwrap();
    assert_eq!(next(), "in-step");
    nats.ok(&["account", "edit", "ORDERS", "--conns", "7"]);
    assert_eq!(next(), "drift");
    nats.push(&server, &["--account", "ORDERS"]).json();
    assert_eq!(next(), "in-step");
    server.kill();
    assert_eq!(next(), "unreachable");
    server.start();
    assert_eq!(next(), "in-step");
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0), "it was asked to end");
}

/// Day 1 and day 30: a connected machine without keys pushes, and the ledger's own machine records what was proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_pushes_and_its_receipt_comes_home() {
    let nats = Deployment::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let Some(server) = nats.server("full") else { return };
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    let (usb, mirror) = (nats.carry_out(), nats.mirror());

    let receipt = format!("{usb}/push-1.json");
    let args = ["--all", "--servers", "1", "--receipt", &receipt];
    let pushed = nats.elsewhere(&mirror, "push", &server, &args).json();
    assert_eq!(about(&pushed, "ORDERS")["result"], "pushed");
    let text = std::fs::read_to_string(&receipt).unwrap();
    assert!(!text.contains("eyJ"), "a receipt holds no token: {text}");

    let last = || nats.place.run(&["event", "list", "--limit", "1"]).json()[0].clone();
    let before = last();
    nats.place.run(&["carry", "in", &usb]).json();
    let recorded = last();
    assert_eq!(
        (recorded["type"].as_str(), &recorded["data"]["servers"][0]),
        (Some("NatsAccountPushed"), &"one".into())
    );
    assert_ne!(recorded, before);
    nats.place.run(&["carry", "in", &usb]).json();
    assert_eq!(last(), recorded, "the same receipt again records nothing");

    // One file proves the revocation, and that the server holds it.
    let proof = nats.place.path("bob.proof");
    let proof = proof.to_str().unwrap();
    // The head is signed on the way: what the receipt brought is newer.
    let issuing = nats.place.passphrase_flags().1;
    let prove = ["event", "proof-of", "--revocation", "ORDERS/bob", "--with-push", "--out", proof, &issuing];
    let made = nats.place.run(&prove).json()[0].clone();
    assert_eq!(made["with"][1], recorded["position"]);
    let key = nats.place.key();
    let check = |file: &str| nats.place.run(&["log", "check", file, "--key", &key]);
    let checked = check(proof).json()[0].clone();
    assert_eq!(checked["event"]["type"], "NatsUserRevoked");
    assert_eq!(
        (&checked["pushed"][0]["position"], &checked["pushed"][0]["servers"][0]),
        (&recorded["position"], &"one".into())
    );
    // What does not belong to it is told: a receipt without the token that carries the revocation, and another order.
    let text_of_proof = std::fs::read_to_string(proof).unwrap();
    let begin = "c2sp.org/tlog-proof@v1\n";
    let proofs: Vec<String> = text_of_proof.split(begin).skip(1).map(|rest| format!("{begin}{rest}")).collect();
    for order in [&[0, 2][..], &[0, 2, 1], &[1, 2], &[0, 1, 1, 2]] {
        assert_eq!(proofs.len(), 3, "the revocation, the token that carries it, the receipt");
        let file =
            nats.place.file("wrong.proof", order.iter().map(|at| proofs[*at].as_str()).collect::<String>().as_bytes());
        check(&file).fails(4, &["says nothing about the first one"]);
    }
    let first = nats.place.file("first.proof", proofs[0].as_bytes());
    assert_eq!(check(&first).json()[0]["pushed"], serde_json::json!([]));
    nats.place.run(&["event", "proof-of", "1", "--with-push"]).fails(2, &["leave --with-push out"]);

    // A receipt of a token that was never issued here is refused, and says what that means.
    let jti = about(&pushed, "ORDERS")["jti"].as_str().unwrap().to_owned();
    let forged = text.replace(&jti, &jti.replace(&jti[..4], "AAAA"));
    std::fs::write(format!("{usb}/push-2.json"), forged).unwrap();
    nats.place.run(&["carry", "in", &usb]).fails(3, &["never issued"]);
    assert_eq!(last(), recorded);
}

#[test]
fn a_refusal_is_explained() {
    let nats = Deployment::new();
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.{{name()}}.>"]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    nats.ok(&["user", "add", "ORDERS/bob", "--source-network", "192.0.2.0/24"]);
    let explain = |more: &[&str]| nats.place.run(&[&["nats", "explain", "--user"], more].concat());

    let said = explain(&["ORDERS/d1", "--publish", "devices.d1.up"]).json()[0].clone();
    assert_eq!(
        (&said["connects"], &said["publishes"], &said["subscribes"]),
        (&true.into(), &true.into(), &serde_json::Value::Null)
    );
    let steps = said["steps"].as_array().unwrap();
    let reason = |check: &str| steps.iter().find(|step| step["check"] == check).unwrap()["reason"].as_str().unwrap();
    assert!(reason("publish").contains("devices.d1.>"));
    assert!(reason("user-issuer").contains("role device"));
    assert_eq!(steps.iter().filter(|step| step["check"] == "signature").count(), 3);
    explain(&["orders/D1", "--publish", "devices.d2.up"])
        .fails(3, &["cannot publish to devices.d2.up", "devices.d1.> only"]);
    explain(&["ORDERS/bob", "--from", "192.0.2.7", "--subscribe", "a.> q"]).json();
    explain(&["ORDERS/bob", "--from", "10.0.0.1"]).fails(3, &["outside of 192.0.2.0/24"]);
    explain(&["ORDERS/bob", "--publish", "a.*"]).fails(2, &["one subject"]);
    explain(&["ORDERS/bob", "--publish", "a..b"]).fails(2, &["is no subject"]);
    explain(&["ORDERS/eve"]).fails(2, &["there is no", "eve"]);
    nats.ok(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    explain(&["ORDERS/bob"]).fails(3, &["revoked this user's tokens"]);
    nats.ok(&["account", "delete", "ORDERS", "--reason", "closed", "--yes"]);
    explain(&["ORDERS/d1"]).fails(3, &["deleted"]);
}
