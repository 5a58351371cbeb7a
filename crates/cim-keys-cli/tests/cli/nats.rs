//! `nats` on the command line, against a real server that trusts what was made.

use crate::support;
use crate::support::nats::{Nats, publishes};

#[tokio::test(flavor = "multi_thread")]
async fn users_may_do_what_was_said_until_they_are_cut_off() {
    let nats = Nats::new();
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.{{name()}}.>"]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    nats.ok(&["user", "add", "ORDERS/bob", "--allow-pub", "orders.>", "--deny-pub", "orders.secret"]);
    let (device, bob) = (nats.creds("ORDERS/d1"), nats.creds("ORDERS/bob"));
    let Some(server) = nats.server() else { return };

    publishes(&server, &device, "devices.d1.up").await.unwrap();
    assert!(publishes(&server, &device, "devices.d2.up").await.is_err());
    publishes(&server, &bob, "orders.new").await.unwrap();
    assert!(publishes(&server, &bob, "orders.secret").await.is_err());
    assert!(publishes(&server, &bob, "other").await.is_err());

    let types = nats.types(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    assert_eq!(types, ["NatsUserRevoked", "KeyRevoked", "JwtClaimsCreated", "JwtSigned"]);
    let Some(server) = nats.server() else { return };
    let refused = publishes(&server, &bob, "orders.new").await.unwrap_err();
    assert!(refused.to_lowercase().contains("authorization"), "{refused}");
    publishes(&server, &device, "devices.d1.up").await.unwrap();
    // Bringing the same name back makes another user with another key.
    nats.ok(&["user", "add", "ORDERS/bob", "--allow-pub", "orders.>"]);
    publishes(&nats.server().unwrap(), &nats.creds("ORDERS/bob"), "orders.new").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_the_old_ones_are_refused() {
    let nats = Nats::new();
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.>"]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    let (device, bob) = (nats.creds("ORDERS/d1"), nats.creds("ORDERS/bob"));
    let (device_before, bob_before) = (nats.place.path("d1.before"), nats.place.path("bob.before"));
    std::fs::copy(&device, &device_before).unwrap();
    std::fs::copy(&bob, &bob_before).unwrap();

    nats.ok(&["signing-key", "rotate", "ORDERS", "device", "--reason", "yearly"]);
    nats.ok(&["user", "rotate", "ORDERS/bob", "--reason", "laptop lost"]);
    nats.ok(&["operator", "rotate", "--reason", "yearly", "--yes"]);
    let (device, bob) = (nats.creds("ORDERS/d1"), nats.creds("ORDERS/bob"));
    let Some(server) = nats.server() else { return };
    publishes(&server, &device, "devices.x").await.unwrap();
    publishes(&server, &bob, "anything").await.unwrap();
    for old in [device_before, bob_before] {
        let refused = publishes(&server, old.to_str().unwrap(), "devices.x").await.unwrap_err();
        assert!(refused.to_lowercase().contains("authorization"), "{refused}");
    }
    nats.place.run(&["verify"]).json();
    nats.place.run(&["custody", "check"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_s_signing_keys_are_replaced_together_and_its_identity_key_never() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/old"]);
    let rotate = ["account", "rotate", "ORDERS", "--reason", "a backup was lost"];
    nats.run(&rotate).fails(3, &["is the account itself", "signing-key add"]);
    nats.ok(&["signing-key", "add", "ORDERS"]);
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.>"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "ORDERS/d1", "--role", "device"]);
    let before: Vec<_> = ["bob", "d1"].iter().map(|user| keep(&nats, user)).collect();
    let old = nats.creds("ORDERS/old");
    let run = nats.run(&rotate);
    run.json();
    assert!(run.stderr.contains("1 users are signed by the identity key"), "{run:?}");
    let Some(server) = nats.server() else { return };
    publishes(&server, &nats.creds("ORDERS/bob"), "anything").await.unwrap();
    publishes(&server, &nats.creds("ORDERS/d1"), "devices.x").await.unwrap();
    publishes(&server, &nats.creds("ORDERS/d1"), "anything").await.unwrap_err();
    publishes(&server, &old, "anything").await.unwrap();
    for old in before {
        let refused = publishes(&server, &old, "devices.x").await.unwrap_err();
        assert!(refused.to_lowercase().contains("authorization"), "{refused}");
    }
    nats.place.run(&["verify"]).json();
}

/// A user's credentials as they are now, under another name.
fn keep(nats: &Nats, user: &str) -> String {
    let before = nats.place.path(&format!("{user}.before"));
    std::fs::copy(nats.creds(&format!("ORDERS/{user}")), &before).unwrap();
    before.to_str().unwrap().to_owned()
}

#[test]
fn an_operator_is_given_up_with_what_it_has_or_not_at_all() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.ok(&["user", "add", "SYS/pusher"]);
    let delete = ["operator", "delete", "--reason", "the test is over", "--yes"];
    nats.run(&delete).fails(3, &["has 1 accounts: ORDERS", "--with-accounts", "operator rotate"]);
    nats.run(&[&delete[..4], &["--with-accounts"]].concat()).fails(3, &["has to be confirmed"]);
    let types = nats.types(&[&delete[..], &["--with-accounts"]].concat());
    let count = |name: &str| types.iter().filter(|it| *it == name).count();
    assert_eq!((count("NatsOperatorDeleted"), count("NatsAccountDeleted"), count("NatsUserRevoked")), (1, 2, 2));
    nats.run(&["user", "add", "ORDERS/eve"]).fails(2, &["no NATS operator"]);
    nats.run(&delete).fails(2, &["no NATS operator"]);
    let listed = nats.ok(&["operator", "list", "--all"]);
    assert_eq!(listed[0]["status"], "deleted", "{listed:?}");
    // Another one may come, with the same name and accounts.
    nats.ok(&["operator", "add", "ACME"]);
    nats.ok(&["account", "add", "ORDERS"]);
    nats.place.run(&["verify"]).json();
}

#[test]
fn what_servers_would_break_is_refused_with_the_reason() {
    let nats = Nats::new();
    nats.run(&["account", "edit", "ORDERS", "--conns", "0"]).fails(3, &["no client can connect", "-1 for no limit"]);
    nats.run(&["user", "add", "ORDERS/bob", "--source-network", "10.0.0.1"]).fails(3, &["no network", "/32"]);
    nats.run(&["user", "add", "ORDERS/bob", "--allow-pub", "a..b"]).fails(3, &["no subject"]);
    nats.ok(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "d.{{name()}}"]);
    nats.run(&["user", "add", "ORDERS/d", "--role", "device", "--subs", "5"]).fails(3, &["scoped", "template"]);
    nats.run(&["user", "add", "ORDERS/d", "--role", "nothing"]).fails(2, &["signing-key list"]);
    nats.run(&["user", "add", "bob"]).fails(2, &["ACCOUNT/NAME"]);
    nats.ok(&["user", "add", "ORDERS/bob"]);
    nats.run(&["user", "add", "ORDERS/BOB"]).fails(3, &["taken"]);
    nats.run(&["operator", "add", "OTHER"]).fails(3, &["one operator"]);
    nats.run(&["account", "delete", "SYS", "--reason", "x", "--yes"]).fails(3, &["system account"]);
}

#[test]
fn tokens_stay_out_of_the_ledger_that_is_handed_around() {
    let nats = Nats::new();
    nats.ok(&["user", "add", "ORDERS/app", "--bearer"]);
    let creds = std::fs::read_to_string(nats.creds("ORDERS/app")).unwrap();
    let token = creds.lines().nth(1).unwrap().to_owned();
    let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap().to_owned();
    assert!(token.starts_with("eyJ"));
    for file in support::files(&nats.place.ledger()) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&seed), "{}", file.display());
        let restricted = file.file_name().unwrap().to_str().unwrap().starts_with("restricted.db");
        assert!(restricted || !holds(&token), "{}", file.display());
    }
    let listed = nats.ok(&["user", "list"]);
    assert!(!listed[0].to_string().contains(&token));
    let exported = nats.place.run(&["event", "list", "--limit", "1"]).json();
    assert_eq!(exported[0]["type"], "KeyExported");
}
