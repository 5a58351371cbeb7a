//! `nats push`, `nats diff` and `nats pull` against real servers.
#![allow(clippy::unwrap_used)]

mod support;

use support::deployment::{Deployment, about, connect, lines, states};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_proved_recorded_and_cuts_off_who_was_revoked() {
    let nats = Deployment::new();
    nats.sign(&["user", "add", "ORDERS/bob"]);
    nats.sign(&["user", "add", "ORDERS/ann"]);
    let (bob, ann) = (nats.creds("ORDERS/bob"), nats.creds("ORDERS/ann"));
    let Some(server) = nats.server("full") else { return };

    // What servers began with is what the ledger says.
    let pushed = nats.push(&server, &["--all", "--servers", "1"]).json();
    assert_eq!(about(&pushed, "ORDERS")["result"], "unchanged");
    let mut client = connect(&server, &bob).await.unwrap();
    nats.sign(&["user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
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
