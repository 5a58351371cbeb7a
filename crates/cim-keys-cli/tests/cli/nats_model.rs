//! What accounts share and limit, on a real server: exports, imports, mappings, limits, times, overlap, auth callout.

use std::time::Duration;

use cim_keys::store::RestrictedBlocks;
use cim_keys_testkit::nats_server::NatsServer;
use futures_util::StreamExt as _;

use crate::support;
use crate::support::nats::{self, Nats, publishes};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(server: &NatsServer, creds: &str) -> async_nats::Client {
    nats::connect(&server.url(), creds).await.unwrap()
}

/// What a client says when it is not let in.
async fn refused(server: &NatsServer, creds: &str) -> String {
    nats::connect(&server.url(), creds).await.err().unwrap_or_default().to_lowercase()
}

/// Publishes on one side until the other has the message: subscriptions take a moment to reach the account next door.
async fn carries(from: &async_nats::Client, subject: &str, to: &async_nats::Client, local: &str) -> String {
    let mut messages = to.subscribe(local.to_owned()).await.unwrap();
    to.flush().await.unwrap();
    for _ in 0..40 {
        from.publish(subject.to_owned(), "hello".into()).await.unwrap();
        from.flush().await.unwrap();
        if let Ok(Some(message)) = tokio::time::timeout(PATIENCE / 40, messages.next()).await {
            return message.subject.to_string();
        }
    }
    String::new()
}

async fn asks(client: &async_nats::Client, subject: &str) -> Result<String, String> {
    let answer = tokio::time::timeout(PATIENCE, client.request(subject.to_owned(), "?".into())).await.unwrap();
    answer.map(|message| String::from_utf8(message.payload.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_imports_carry_messages_and_private_ones_need_an_activation() {
    let nats = Nats::new();
    nats.ok(&["account", "add", "BILLING"]);
    nats.ok(&["user", "add", "ORDERS/shop"]);
    nats.ok(&["user", "add", "BILLING/clerk"]);
    nats.ok(&["export", "add", "ORDERS", "orders.*.new", "--name", "new orders", "--private"]);
    nats.ok(&[
        "export",
        "add",
        "ORDERS",
        "prices.*",
        "--service",
        "--response-type",
        "singleton",
        "--account-token-position",
        "2",
    ]);
    nats.run(&["import", "add", "BILLING", "stock.>", "--from", "ORDERS"]).fails(3, &["exports no such stream"]);
    let types =
        nats.types(&["import", "add", "BILLING", "orders.*.new", "--from", "ORDERS", "--local-subject", "in.$1"]);
    assert_eq!(
        types,
        ["JwtClaimsCreated", "JwtSigned", "JwtClaimsCreated", "JwtSigned"],
        "the activation, the account"
    );
    let billing = nats.ok(&["account", "show", "BILLING"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let service = format!("prices.{billing}");
    nats.ok(&["import", "add", "BILLING", &service, "--from", "ORDERS", "--service", "--local-subject", "price"]);
    let listed = nats.ok(&["import", "list", "BILLING"]);
    let token = listed.iter().map(|it| &it["token"]).find(|token| !token.is_null()).unwrap();
    assert!(token["cid"].as_str().unwrap().starts_with("bafkrei"), "{listed:?}");
    let claims = &token["claims"];
    assert_eq!((&claims["sub"], &claims["nats"]["subject"]), (&billing.clone().into(), &"orders.*.new".into()));

    let Some(server) = nats.server() else { return };
    let shop = connect(&server, &nats.creds("ORDERS/shop")).await;
    let clerk = connect(&server, &nats.creds("BILLING/clerk")).await;
    assert_eq!(carries(&shop, "orders.7.new", &clerk, "in.*").await, "in.7");
    let mut requests = shop.subscribe("prices.*").await.unwrap();
    shop.flush().await.unwrap();
    let answering = shop.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let asked = request.subject.to_string();
            answering.publish(request.reply.unwrap(), asked.into()).await.unwrap();
        }
    });
    assert_eq!(asks(&clerk, "price").await.unwrap(), service, "the service sees who asks");

    // An activation whose text was lost is taken from the importer's token; with that lost too, nothing is signed without it.
    let shown = nats.ok(&["account", "show", "BILLING"])[0]["token"]["signed"]["token"].to_string();
    let billing = shown[shown.find("bafkrei").unwrap()..][..59].parse().unwrap();
    let path = nats.place.ledger().join("restricted.db");
    RestrictedBlocks::open(&path).unwrap().keep_only(&[billing].into()).unwrap();
    nats.ok(&["account", "edit", "BILLING", "--conns", "9"]);
    let explained = nats.ok(&["explain", "--user", "BILLING/clerk", "--subscribe", "in.*"]);
    assert!(explained[0].to_string().contains("account ORDERS as orders.*.new"), "{explained:?}");
    RestrictedBlocks::open(&path).unwrap().keep_only(&[].into()).unwrap();
    nats.run(&["account", "edit", "BILLING", "--conns", "8"])
        .fails(1, &["import \"orders.*.new\"", "--activation FILE"]);

    // What is imported can't be taken back under the importer.
    nats.run(&["export", "delete", "ORDERS", "new orders"]).fails(3, &["account BILLING", "exports no such stream"]);
    nats.ok(&["import", "delete", "BILLING", "orders.*.new"]);
    nats.ok(&["export", "delete", "ORDERS", "new orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_goes_to_an_account_of_elsewhere() {
    let (ours, theirs) = (Nats::new(), Nats::new());
    ours.ok(&["export", "add", "ORDERS", "orders.>", "--private"]);
    let exporter = ours.ok(&["account", "show", "ORDERS"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let importer = theirs.ok(&["account", "show", "ORDERS"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let file = ours.place.path("activation.jwt");
    let file = file.to_str().unwrap();
    ours.ok(&["activation", "add", "ORDERS", "orders.eu.>", "--for", &importer, "--expires", "90d", "--out", file]);
    theirs.ok(&["import", "add", "ORDERS", "orders.eu.>", "--from", &exporter, "--activation", file]);
    theirs
        .run(&["import", "add", "ORDERS", "orders.us.>", "--from", &exporter, "--activation", file])
        .fails(3, &["activation covers"]);
    ours.run(&["activation", "add", "ORDERS", "stock.>", "--for", &importer]).fails(2, &["add the export first"]);
    let url = theirs.place.file("url", b"https://kim:pw@jwt.example/eu?key=s3cret");
    theirs
        .run(&["import", "edit", "ORDERS", "orders.eu.>", "--activation", &url])
        .fails(3, &["its activation is a URL", "give the text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_and_default_permissions_are_the_accounts() {
    let nats = Nats::new();
    nats.ok(&["mapping", "add", "ORDERS", "old.*", "new.$1"]);
    nats.ok(&["mapping", "add", "ORDERS", "split", "split.a", "--weight", "50"]);
    nats.ok(&["mapping", "add", "ORDERS", "split", "split.b", "--weight", "50"]);
    nats.run(&["mapping", "add", "ORDERS", "split", "split.c", "--weight", "1"]).fails(3, &["101 %"]);
    assert_eq!(nats.ok(&["mapping", "list", "ORDERS"]).len(), 3);
    nats.ok(&["account", "edit", "ORDERS", "--deny-pub", "secret.>"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let Some(server) = nats.server() else { return };
    let creds = nats.creds("ORDERS/bob");
    let bob = connect(&server, &creds).await;
    assert_eq!(carries(&bob, "old.1", &bob, "new.*").await, "new.1");
    assert!(carries(&bob, "split", &bob, "split.*").await.starts_with("split."));
    assert!(publishes(&server, &creds, "secret.x").await.is_err());
    publishes(&server, &creds, "open.x").await.unwrap();
    nats.ok(&["mapping", "delete", "ORDERS", "split", "split.b"]);
    nats.ok(&["mapping", "delete", "ORDERS", "old.*"]);
    assert_eq!(nats.ok(&["mapping", "list"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_jetstream_bite_flat_and_by_tier() {
    let nats = Nats::new();
    nats.ok(&[
        "account",
        "edit",
        "ORDERS",
        "--js-streams",
        "1",
        "--js-disk-storage",
        "1048576",
        "--js-max-bytes-required",
    ]);
    nats.ok(&["account", "add", "TIERED", "--js-tier", "1", "--js-streams", "1"]);
    nats.run(&["account", "edit", "TIERED", "--js-enable"]).fails(3, &["flat and by tiers"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "TIERED/bob"]);
    let Some(server) = nats.server() else { return };
    for account in ["ORDERS", "TIERED"] {
        let client = connect(&server, &nats.creds(&format!("{account}/bob"))).await;
        let jetstream = async_nats::jetstream::new(client);
        let stream = |name: &str| async_nats::jetstream::stream::Config {
            name: name.to_owned(),
            subjects: vec![format!("{name}.>")],
            max_bytes: 65_536,
            ..Default::default()
        };
        if account == "ORDERS" {
            let unbounded = async_nats::jetstream::stream::Config { max_bytes: -1, ..stream("a") };
            assert!(jetstream.create_stream(unbounded).await.is_err(), "each stream must say how large it may get");
        }
        jetstream.create_stream(stream("a")).await.unwrap();
        let refused = jetstream.create_stream(stream("b")).await.unwrap_err().to_string();
        assert!(refused.contains("maximum number of streams"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_networks_and_connection_types_keep_users_out() {
    let nats = Nats::new();
    // A span that lies twelve hours away, on the clock of a zone that is named.
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let away = |hours: u64| format!("{hour:02}:00:00-{hour:02}:59:59", hour = (seconds / 3_600 + hours) % 24);
    let (now, later) = (format!("{},{}", away(0), away(1)), away(12));
    nats.ok(&["user", "add", "ORDERS/awake", "--time", &now, "--locale", "UTC"]);
    nats.ok(&["user", "add", "ORDERS/asleep", "--time", &later, "--locale", "UTC"]);
    nats.ok(&["user", "add", "ORDERS/web", "--conn-type", "websocket,leafnode"]);
    nats.ok(&["user", "add", "ORDERS/far", "--source-network", "203.0.113.0/24"]);
    nats.ok(&["user", "add", "ORDERS/near", "--source-network", "127.0.0.0/8", "--conn-type", "standard"]);
    nats.run(&["user", "add", "ORDERS/x", "--conn-type", "carrier-pigeon"]).fails(3, &["no connection type"]);
    nats.run(&["user", "add", "ORDERS/x", "--time", "8-17"]).fails(3, &["no time of day"]);
    nats.run(&["user", "add", "ORDERS/x", "--locale", "Mars/Olympus"]).fails(3, &["no time zone"]);
    let Some(server) = nats.server() else { return };
    for user in ["awake", "near"] {
        publishes(&server, &nats.creds(&format!("ORDERS/{user}")), "a").await.unwrap();
    }
    for user in ["asleep", "web", "far"] {
        let refused = refused(&server, &nats.creds(&format!("ORDERS/{user}"))).await;
        assert!(refused.contains("authorization"), "{user}: {refused}");
    }
    nats.ok(&["user", "edit", "ORDERS/far", "--source-network", "any"]);
    nats.ok(&["user", "edit", "ORDERS/web", "--conn-type", "any"]);
    nats.ok(&["user", "edit", "ORDERS/asleep", "--time", "any"]);
    for user in ["asleep", "web", "far"] {
        publishes(&server, &nats.creds(&format!("ORDERS/{user}")), "a").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_allowed_to_those_who_were_asked() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/asker"]);
    let answers = ["user", "add", "ORDERS/answerer", "--allow-sub", "ask", "--deny-pub", ">", "--allow-pub-response"];
    nats.ok(&answers);
    let Some(server) = nats.server() else { return };
    let asker = connect(&server, &nats.creds("ORDERS/asker")).await;
    let creds = nats.creds("ORDERS/answerer");
    let answerer = connect(&server, &creds).await;
    let mut requests = answerer.subscribe("ask").await.unwrap();
    answerer.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            answerer.publish(request.reply.unwrap(), "here".into()).await.unwrap();
        }
    });
    // The server learns of the subscription on another connection than the one that asks.
    let answer = loop {
        match asks(&asker, "ask").await {
            Err(error) if error.contains("no responders") => tokio::time::sleep(Duration::from_millis(20)).await,
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(answer, "here");
    assert!(publishes(&server, &creds, "anything").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_lets_both_keys_in_until_the_old_one_is_due() {
    let nats = Nats::new();
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.>"]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    nats.ok(&["user", "add", "ORDERS/bob", "--expires", "30d"]);
    let keep = |which: &str, name: &str| {
        let kept = nats.place.path(name);
        std::fs::copy(nats.creds(which), &kept).unwrap();
        kept.to_str().unwrap().to_owned()
    };
    let (bob_before, device_before) = (keep("ORDERS/bob", "bob.before"), keep("ORDERS/d1", "d1.before"));
    nats.ok(&["user", "rotate", "ORDERS/bob", "--reason", "yearly", "--overlap", "24h"]);
    nats.ok(&["signing-key", "rotate", "ORDERS", "device", "--reason", "yearly", "--overlap", "24h"]);
    nats.ok(&["operator", "rotate", "--reason", "yearly", "--overlap", "7d", "--yes"]);
    let waiting = nats.place.run(&["nats", "due"]).json();
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    assert!(waiting.iter().all(|it| it["due"] == false));
    assert_eq!(nats.ok(&["due", "--apply"]).len(), 0, "nothing is due yet");
    let (bob, device) = (nats.creds("ORDERS/bob"), nats.creds("ORDERS/d1"));
    let Some(server) = nats.server() else { return };
    for creds in [&bob, &bob_before, &device, &device_before] {
        publishes(&server, creds, "devices.x").await.unwrap();
    }
    drop(server);

    // The same, with a time that has come.
    nats.ok(&["user", "rotate", "ORDERS/bob", "--reason", "again", "--revoke-at", "2020-01-01"]);
    nats.ok(&["signing-key", "rotate", "ORDERS", "device", "--reason", "again", "--revoke-at", "2020-01-01"]);
    assert_eq!(nats.place.run(&["nats", "due"]).json().iter().filter(|it| it["due"] == true).count(), 2);
    let types = nats.types(&["due", "--apply"]);
    for wanted in ["KeyRevoked", "NatsSigningKeyRetired", "JwtSigned"] {
        assert!(types.contains(&wanted.to_owned()), "{types:?}");
    }
    assert_eq!(nats.place.run(&["nats", "due"]).json().len(), 3, "the three of before still wait");
    let Some(server) = nats.server() else { return };
    publishes(&server, &bob_before, "devices.x").await.unwrap();
    for creds in [&bob, &device] {
        assert!(refused(&server, creds).await.contains("authorization"));
    }
    publishes(&server, &nats.creds("ORDERS/bob"), "devices.x").await.unwrap();
    publishes(&server, &nats.creds("ORDERS/d1"), "devices.x").await.unwrap();
    nats.place.run(&["verify"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_cut_off_by_an_account_and_let_in_again() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let before = nats.creds("ORDERS/bob");
    nats.ok(&["account", "revoke", "ORDERS", "--reason", "a laptop with all creds was stolen", "--yes"]);
    let listed = nats.ok(&["revocation", "list", "ORDERS"]);
    assert_eq!(listed[0]["public_key"], "*");
    let Some(server) = nats.server() else { return };
    assert!(refused(&server, &before).await.contains("authorization"));
    drop(server);
    nats.run(&["revocation", "clear", "ORDERS", "UAAA", "--yes"]).fails(2, &["revocation list"]);
    nats.ok(&["revocation", "clear", "ORDERS", "*", "--yes"]);
    assert_eq!(nats.ok(&["revocation", "list"]).len(), 0);
    publishes(&nats.server().unwrap(), &before, "a").await.unwrap();
}

#[test]
fn refusals_name_the_reason_and_the_fix() {
    let nats = Nats::new();
    nats.ok(&["account", "add", "BILLING"]);
    let refuse = |args: &[&str], says: &[&str]| {
        nats.run(args).fails(3, says);
    };
    nats.ok(&["export", "add", "ORDERS", "a.>", "--name", "a"]);
    refuse(&["export", "add", "ORDERS", "a.b", "--name", "ab"], &["lie within each other"]);
    refuse(&["export", "add", "ORDERS", "b..c"], &["no subject"]);
    refuse(&["export", "add", "ORDERS", "s", "--response-type", "stream"], &["is for services"]);
    refuse(&["export", "add", "ORDERS", "s.*", "--service", "--account-token-position", "1"], &["count tokens from 1"]);
    refuse(
        &["export", "add", "ORDERS", "s.*", "--service", "--private", "--account-token-position", "2"],
        &["exclude"],
    );
    nats.run(&["export", "add", "ORDERS", "z", "--name", "A"]).fails(2, &["already"]);
    nats.ok(&["export", "add", "BILLING", "a.>", "--name", "back"]);
    nats.ok(&["import", "add", "BILLING", "a.>", "--from", "ORDERS"]);
    refuse(&["import", "add", "ORDERS", "a.>", "--from", "BILLING"], &["comes back to it"]);
    refuse(&["import", "add", "ORDERS", "a.>", "--from", "ORDERS"], &["imports from itself"]);
    refuse(&["account", "edit", "ORDERS", "--exports", "0"], &["allowed 0"]);
    refuse(&["account", "edit", "ORDERS", "--payload", "0"], &["no message fits"]);
    refuse(&["account", "edit", "ORDERS", "--trace-context-subject", "t.*"], &["wildcard"]);
    refuse(&["auth-callout", "edit", "ORDERS", "--allowed-account", "BILLING"], &["has no user"]);
    nats.run(&["account", "add", "orders"]).fails(3, &["taken"]);
    nats.ok(&["user", "add", "ORDERS/app", "--bearer"]);
    refuse(&["account", "edit", "ORDERS", "--disallow-bearer"], &["user ORDERS/app", "revoke it"]);
    refuse(&["operator", "edit", "--strict", "true"], &["identity key", "strict_signing_key_usage"]);
    nats.run(&["signing-key", "show", "ORDERS", "none"]).fails(2, &["signing-key list"]);
    nats.run(&["auth-callout", "rotate-xkey", "ORDERS", "--reason", "yearly"])
        .fails(2, &["no encryption key", "--xkey"]);
    nats.run(&["signing-key", "add", "ORDERS", "--role", "r", "--compartment", "nope"]).fails(3, &["no compartment"]);
    nats.run(&["user", "add", "ORDERS/x", "--expires", "yesterday"]).fails(2, &["30d, 12h"]);
    nats.run(&["user", "rotate", "ORDERS/app", "--reason", "x", "--revoke-at", "2001-02-30"])
        .fails(2, &["a date is needed"]);
    nats.run(&["user", "add", "SYS/p", "--preset", "root"]).fails(2, &["pusher, publisher, subscriber, auditor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_operator_signs_everything_with_signing_keys() {
    let place = support::Place::new();
    let (root, issuing) = place.passphrase_flags();
    place.run(&["nats", "operator", "add", "STRICT", "--strict", "--cold", &root, &issuing]).json();
    let keys = place.run(&["nats", "signing-key", "list"]).json();
    assert_eq!(keys.iter().filter(|key| key["compartment"] == "root").count(), 1, "{keys:?}");
    place.run(&["nats", "account", "add", "A", &issuing]).fails(2, &["compartment \"root\" is needed"]);
    place.run(&["nats", "account", "add", "A", &root, &issuing]).json();
    place.run(&["nats", "user", "add", "A/bob", &issuing]).json();
    place.run(&["nats", "user", "add", "SYS/pusher", "--preset", "pusher", &issuing]).json();
    // The key moves to where revoking is quick.
    let warm = [
        "nats",
        "operator",
        "rotate",
        "--compartment",
        "issuing",
        "--reason",
        "revoke faster",
        "--yes",
        &root,
        &issuing,
    ];
    place.run(&warm).json();
    place.run(&["nats", "account", "edit", "A", "--conns", "10", &issuing]).json();
    let conf = place.run(&["nats", "server-config", "--output", "text", "--resolver", "memory"]);
    let creds = place.path("bob.creds");
    let creds = creds.to_str().unwrap();
    place.run(&["nats", "creds", "A/bob", "--out", creds, &issuing]).json();
    let options = cim_keys_testkit::nats_server::ServerOptions::default().conf(&conf.stdout);
    let Some(server) = options.start() else { return };
    publishes(&server, creds, "a").await.unwrap();
}
