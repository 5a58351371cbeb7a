//! Acts end in the user's terms: what was made and what it may do, what is still to be done, who changed what.

use crate::support::{Place, Run};
use serde_json::Value;

/// A command with the passphrases of both compartments.
fn run(place: &Place, args: &[&str]) -> Run {
    let (root, issuing) = place.passphrase_flags();
    place.run(&[&[root.as_str(), issuing.as_str()], args].concat())
}

/// The text that a command prints.
#[track_caller]
fn text(place: &Place, args: &[&str]) -> String {
    let run = run(place, &[&["--output", "text"], args].concat());
    assert_eq!(run.code, 0, "{args:?}: {run:?}");
    run.stdout
}

/// Whether a text holds a UUID or a content identifier.
fn has_identifier(text: &str) -> bool {
    let word =
        |word: &str| word.parse::<cim_keys::ids::KeyId>().is_ok() || (word.starts_with("bafy") && word.len() == 59);
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(word)
}

fn to_do(run: &Run) -> Vec<String> {
    let lines = run.all_json();
    let list = lines.iter().find_map(|line| line.get("to_do")).and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|it| it["command"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_made_is_named_with_its_key_and_what_it_may_do() {
    let place = Place::new();
    let said = text(&place, &["nats", "operator", "add", "ACME"]);
    assert!(said.starts_with("Created NATS operator ACME.\n  public key  O"), "{said}");
    assert!(said.contains("Created NATS account SYS."), "{said}");
    let said = text(&place, &["nats", "account", "add", "ORDERS", "--conns", "100", "--data", "1048576"]);
    assert!(said.contains("connections  100") && said.contains("data         1 MiB"), "{said}");
    let user = ["nats", "user", "add", "ORDERS/ann", "--allow-pub", "orders.>", "--deny-sub", "audit.>"];
    let said = text(&place, &user);
    assert!(
        said.contains("may publish    orders.>") && said.contains("may subscribe  anything, except audit.>"),
        "{said}"
    );
    let said = text(&place, &["key", "generate", "web", "--purpose", "tls-server", "--expires", "2030-01-31"]);
    assert!(said.contains("expires     2030-01-31") && said.contains("compartment issuing"), "{said}");
    let said = text(&place, &["role", "add", "officer", "--permission", "key.rotate"]);
    assert_eq!(said.lines().take(2).collect::<Vec<_>>(), ["Created role officer.", "  permissions  key.rotate"]);
    text(&place, &["person", "add", "Ada", "--email", "ada@acme.example"]);
    assert!(text(&place, &["role", "assign", "officer", "Ada"]).starts_with("Assigned role officer for Ada."));
    let said = text(&place, &["--yes", "nats", "user", "revoke", "ORDERS/ann", "--reason", "left"]);
    assert!(said.starts_with("Revoked NATS user ORDERS/ann.\n") && !said.contains("Revoked key"), "{said}");
}

#[test]
fn identifiers_are_shown_when_asked_for() {
    let place = Place::new();
    let verbs: [&[&str]; 9] = [
        &["unit", "add", "Platform"],
        &["location", "add", "Oslo", "--kind", "site"],
        &["person", "add", "Ada", "--unit", "Platform"],
        &["person", "update", "Ada", "--title", "Officer"],
        &["role", "add", "officer"],
        &["role", "assign", "officer", "Ada"],
        &["key", "generate", "k"],
        &["nats", "operator", "add", "ACME"],
        &["nats", "account", "add", "ORDERS"],
    ];
    for args in verbs {
        let said = text(&place, args);
        assert!(!has_identifier(&said), "{args:?}: {said}");
    }
    assert!(has_identifier(&text(&place, &["--verbose", "unit", "add", "Other"])));
    assert_eq!(
        text(&place, &["unit", "update", "Other", "--name", "Other"]).lines().next(),
        Some("Already up to date: nothing was recorded.")
    );
}

#[test]
fn what_is_still_to_be_done_is_listed_until_it_is_done() {
    let place = Place::new();
    run(&place, &["nats", "operator", "add", "ACME"]).json();
    // Names are the users' own: what a shell would take apart is quoted, and what a terminal would obey is visible.
    let hostile = "O'Brien; echo $HOME";
    let made = run(&place, &["nats", "account", "add", hostile]);
    assert_eq!(to_do(&made), [r"cim-keys nats push --account 'O'\''Brien; echo $HOME'"]);
    run(&place, &["nats", "account", "add", "ORDERS"]).json();
    let made = run(&place, &["nats", "user", "add", "ORDERS/ann"]);
    assert_eq!(to_do(&made), ["cim-keys nats creds ORDERS/ann"]);

    let all = || to_do(&run(&place, &["status"]));
    let before = all();
    assert_eq!(before.len(), 5, "{before:?}");
    assert!(before.contains(&"cim-keys nats server-config".to_owned()), "{before:?}");
    run(&place, &["nats", "server-config"]);
    assert!(!all().contains(&"cim-keys nats server-config".to_owned()), "{:?}", all());
    run(&place, &["nats", "creds", "ORDERS/ann"]).json();
    assert!(!all().contains(&"cim-keys nats creds ORDERS/ann".to_owned()), "{:?}", all());
    // A new token makes the credentials that are out old ones.
    run(&place, &["nats", "user", "edit", "ORDERS/ann", "--allow-pub", "x"]).json();
    assert!(all().contains(&"cim-keys nats creds ORDERS/ann".to_owned()), "{:?}", all());
    // Another operator token is another configuration.
    run(&place, &["nats", "operator", "edit", "--service-url", "nats://n1:4222"]).json();
    assert!(all().contains(&"cim-keys nats server-config".to_owned()), "{:?}", all());
    assert!(text(&place, &["status"]).contains("Still to be done:"));
}

#[test]
fn the_history_of_a_thing_says_who_changed_what() {
    let place = Place::new();
    run(&place, &["nats", "operator", "add", "ACME"]).json();
    run(&place, &["nats", "account", "add", "ORDERS", "--conns", "100"]).json();
    run(&place, &["nats", "user", "add", "ORDERS/ann"]).json();
    run(&place, &["person", "add", "Ada", "--email", "ada@acme.example"]).json();
    run(&place, &["person", "update", "Ada", "--title", "Officer"]).json();
    run(&place, &["--actor", "ada@acme.example", "nats", "account", "edit", "ORDERS", "--conns", "5"]).json();
    run(&place, &["nats", "creds", "ORDERS/ann"]).json();

    let account = run(&place, &["history", "ORDERS"]).json();
    let newest = &account[0];
    assert_eq!((newest["actor"].as_str(), newest["signed_by"].as_array().map(Vec::len)), (Some("Ada"), Some(0)));
    let change = &newest["changes"][0];
    assert_eq!(
        (change["attribute"].as_str(), &change["from"], &change["to"]),
        (Some("nats.limits.conn"), &100.into(), &5.into())
    );
    assert_eq!(account.last().unwrap()["type"], "NatsAccountCreated");
    assert_eq!(run(&place, &["history", "account:ORDERS"]).json(), account);
    assert_eq!(run(&place, &["history", "ORDERS", "--limit", "1"]).json(), account[..1]);
    run(&place, &["history", "ORDERS", "--since", "2999-01-01"]).json();

    let user = run(&place, &["history", "ORDERS/ann"]).json();
    assert_eq!(user[0]["type"], "KeyExported", "the hand-out is part of it: {user:?}");
    let person = text(&place, &["history", "ada@acme.example"]);
    assert!(person.contains("changed the person, not signed\n  title: none -> Officer\n"), "{person}");
    assert!(!has_identifier(&person), "{person}");

    run(&place, &["history", "nobody"]).fails(2, &["nothing is called \"nobody\""]);
    // One name of two things asks which.
    run(&place, &["role", "add", "Ada"]).json();
    run(&place, &["history", "Ada"]).fails(2, &["person:Ada", "role:Ada"]);
    run(&place, &["history", "role:Ada"]).json();
}

#[test]
fn a_mistyped_name_is_answered_with_the_near_one() {
    let place = Place::new();
    run(&place, &["unit", "add", "Platform"]).json();
    run(&place, &["nats", "operator", "add", "ACME"]).json();
    run(&place, &["nats", "account", "add", "ORDERS"]).json();
    run(&place, &["nats", "user", "add", "ORDERS/ann"]).json();
    run(&place, &["unit", "show", "Platfrom"]).fails(2, &["did you mean \"Platform\"?"]);
    run(&place, &["nats", "account", "show", "ODERS"]).fails(2, &["did you mean \"ORDERS\"?"]);
    run(&place, &["nats", "user", "show", "ORDERS/an"]).fails(2, &["did you mean \"ORDERS/ann\"?"]);
    run(&place, &["unit", "show", "Quite another"]).fails(2, &["unit list"]);
}
