//! `[nats]` in an apply file: made in one step, compared three ways, ended only when asked to, and true on a real server.

use serde_json::Value;

use crate::support::Run;
use crate::support::nats::{Nats, publishes};

struct World {
    nats: Nats,
}

const HEAD: &str = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n";

const SHOP: &str = r#"
[nats.operator]
name = "ACME"

[nats.accounts.orders]
name = "ORDERS"
limits = { connections = 100 }
jetstream = {}

[nats.accounts.orders.exports.new]
type = "stream"
subject = "orders.*.new"
private = true

[nats.accounts.orders.mappings]
"old" = [{ subject = "new" }]

[nats.accounts.orders.roles.device]
publish = { allow = ["devices.{{name()}}.>"] }

[nats.accounts.orders.fleets.scales]
role = "device"
count = 20
name = "scale-{n:02}"

[nats.accounts.billing]
name = "BILLING"

[nats.accounts.billing.imports.orders]
type = "stream"
subject = "orders.*.new"
account = "orders"
local_subject = "in.$1"
"#;

const BOB: &str = r#"
[nats.accounts.orders.users.bob]
publish = { allow = ["orders.>"], deny = ["orders.secret"] }
"#;

impl World {
    fn new() -> Self {
        Self { nats: Nats::bare() }
    }

    fn apply(&self, body: &str, more: &[&str]) -> Run {
        let file = self.nats.place.file("acme.toml", format!("{HEAD}{body}").as_bytes());
        let mut args = vec!["apply", &file];
        args.extend(more);
        args.extend(self.nats.flags());
        self.nats.place.run(&args)
    }

    #[track_caller]
    fn applied(&self, body: &str, more: &[&str]) -> Value {
        self.apply(body, more).json().remove(0)
    }
}

fn entries(plan: &Value, list: &str) -> Vec<String> {
    let steps = plan["plan"][list].as_array().unwrap();
    steps.iter().map(|step| step["entry"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_makes_a_deployment_and_changes_of_it_are_changes() {
    let world = World::new();
    let planned = world.applied(&format!("{SHOP}{BOB}"), &["--dry-run"]);
    assert_eq!(entries(&planned, "steps").len(), 1 + 2 + 1 + 20 + 1, "{planned}");
    let done = world.applied(&format!("{SHOP}{BOB}"), &[]);
    let signed = done["events"].as_array().unwrap().iter().filter(|event| event["type"] == "JwtSigned").count();
    // The operator, three accounts, an activation, 21 users: one token each.
    assert_eq!(signed, 1 + 3 + 1 + 21);
    let again = world.applied(&format!("{SHOP}{BOB}"), &[]);
    assert_eq!(again["changed"], false, "{again}");

    let server = world.nats.server();
    if let Some(server) = &server {
        publishes(server, &world.nats.creds("ORDERS/scale-07"), "devices.scale-07.up").await.unwrap();
        assert!(publishes(server, &world.nats.creds("ORDERS/scale-07"), "devices.scale-08.up").await.is_err());
        let bob = world.nats.creds("ORDERS/bob");
        publishes(server, &bob, "orders.new").await.unwrap();
        assert!(publishes(server, &bob, "orders.secret").await.is_err());
    }
    drop(server);

    // A limit, a permission, an export and a role's template, each named by itself.
    let body = format!("{SHOP}{BOB}")
        .replace("connections = 100", "connections = 200")
        .replace("deny = [\"orders.secret\"]", "deny = [\"orders.internal\"]")
        .replace("devices.{{name()}}.>", "devices.{{name()}}.up")
        .replace("[nats.accounts.orders.mappings]", "[nats.accounts.orders.exports.prices]\ntype = \"service\"\nsubject = \"prices\"\n\n[nats.accounts.orders.mappings]");
    let planned = world.applied(&body, &["--dry-run"]);
    let steps = planned["plan"]["steps"].as_array().unwrap();
    let shown: Vec<String> = steps
        .iter()
        .flat_map(|step| step["changes"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(shown, ["exports.prices", "limits.connections", "publish", "publish"], "{planned}");
    world.applied(&body, &[]);
    assert_eq!(world.applied(&body, &[])["changed"], false);
    assert_eq!(world.nats.ok(&["export", "list", "ORDERS"]).len(), 2);
    world.nats.place.run(&["verify"]).json();
    world.nats.place.run(&["custody", "check"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_entry_is_a_proposed_revocation() {
    let world = World::new();
    let yesterday = format!("{SHOP}{BOB}");
    world.applied(&yesterday, &[]);
    let (bob, scale) = (world.nats.creds("ORDERS/bob"), world.nats.creds("ORDERS/scale-20"));
    let today = SHOP.replace("count = 20", "count = 19");
    for _ in 0..2 {
        let plan = world.applied(&today, &[]);
        assert_eq!(plan["changed"], false, "{plan}");
        let mut proposed = entries(&plan, "proposed");
        proposed.sort();
        assert_eq!(proposed, ["nats.accounts.orders.fleets.scales.20", "nats.accounts.orders.users.bob"]);
    }
    let Some(server) = world.nats.server() else { return };
    publishes(&server, &bob, "orders.new").await.unwrap();
    drop(server);
    let done = world.applied(&today, &["--prune", "--yes"]);
    let revoked = done["events"].as_array().unwrap().iter().filter(|event| event["type"] == "NatsUserRevoked").count();
    assert_eq!(revoked, 2);
    let server = world.nats.server().unwrap();
    assert!(publishes(&server, &bob, "orders.new").await.is_err());
    assert!(publishes(&server, &scale, "devices.scale-20.x").await.is_err());
    drop(server);
    // Yesterday's file brings nobody back, until it is told to.
    let plan = world.applied(&yesterday, &[]);
    assert_eq!((plan["changed"].as_bool(), entries(&plan, "kept_out").len()), (Some(true), 2), "{plan}");
    world.applied(&yesterday, &["--reinstate"]);
    let server = world.nats.server().unwrap();
    assert!(publishes(&server, &bob, "orders.new").await.is_err(), "the old key stays revoked");
    publishes(&server, &world.nats.creds("ORDERS/bob"), "orders.new").await.unwrap();
    drop(server);

    // A whole account is one proposal, and ends with everything in it.
    let less = yesterday.split("[nats.accounts.billing]").next().unwrap().to_owned() + BOB;
    let plan = world.applied(&less, &[]);
    assert_eq!(entries(&plan, "proposed"), ["nats.accounts.billing"]);
    world.applied(&less, &["--prune", "--yes"]);
    assert_eq!(world.nats.ok(&["account", "list"]).len(), 2);
    world.nats.place.run(&["verify"]).json();
}

#[test]
fn what_was_changed_by_hand_stays_and_a_conflict_is_told() {
    let world = World::new();
    world.applied(&format!("{SHOP}{BOB}"), &[]);
    world.nats.ok(&["account", "edit", "ORDERS", "--conns", "150"]);
    world.nats.ok(&["export", "add", "ORDERS", "by.hand"]);
    world.nats.ok(&["user", "edit", "ORDERS/bob", "--allow-sub", "orders.>"]);
    world.nats.ok(&["signing-key", "rotate", "ORDERS", "device", "--reason", "yearly"]);
    world.nats.ok(&["user", "rotate", "ORDERS/bob", "--reason", "yearly"]);
    let plan = world.applied(&format!("{SHOP}{BOB}"), &[]);
    assert!(entries(&plan, "steps").is_empty(), "{plan}");
    assert_eq!(entries(&plan, "kept").len(), 3, "{plan}");
    let other = format!("{SHOP}{BOB}").replace("connections = 100", "connections = 300");
    world.apply(&other, &[]).fails(3, &["limits.connections", "100", "300", "150"]);
    world.applied(&other.replace("connections = 300", "connections = 150"), &[]);
    // What was made by hand, and is named by a file later, is that.
    world.nats.ok(&["account", "add", "STOCK", "--conns", "5"]);
    let more = format!("{SHOP}{BOB}\n[nats.accounts.stock]\nname = \"stock\"\nlimits = {{ connections = 5 }}\n")
        .replace("connections = 100", "connections = 150");
    let plan = world.applied(&more, &["--dry-run"]);
    assert_eq!(entries(&plan, "steps"), ["nats.accounts.stock"], "only its name: {plan}");
}

#[test]
fn a_wrong_file_is_told_whole_with_lines_and_nothing_is_applied() {
    let world = World::new();
    let body = r#"
[nats.operator]
name = "ACME"
servce_urls = []
[nats.accounts.orders]
limits = { connectons = 1 }
[nats.accounts.orders.users.bob]
rol = "device"
[nats.accounts.orders.users.eve]
role = "devise"
[nats.accounts.orders.roles.device]
[nats.accounts.orders.fleets.many]
count = 3
name = "same"
[nats.accounts.billing]
name = "ORDERS"
[nats.accounts.billing.imports.x]
type = "stream"
subject = "x"
account = "order"
"#;
    world.apply(body, &[]).fails(2, &["line 7", "did you mean `service_urls`", "did you mean `connections`"]);
    let body = body.replace("servce_urls = []", "").replace("connectons", "connections");
    let says = ["did you mean `role`", "did you mean \"device\"", "write {n}", "did you mean \"orders\"", "line "];
    world.apply(&body, &[]).fails(2, &says);
    let body = "\n[nats.operator]\nname = \"A\"\n[nats.accounts.o]\nname = \"O\"\nlimits = { connections = 0 }\n";
    world.apply(body, &[]).fails(3, &["no client can connect"]);
    world.apply(body, &["--dry-run"]).fails(3, &["no client can connect"]);
    world.apply("\n[nats.accounts.o]\nname = \"O\"\n", &[]).fails(2, &["no NATS operator"]);
    assert_eq!(world.nats.ok(&["operator", "list"]).len(), 0);
}

#[test]
fn the_example_applies_and_the_second_time_changes_nothing() {
    let world = World::new();
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/nats.toml")).unwrap();
    let file = world.nats.place.file("nats.toml", example.as_bytes());
    // No passphrase: all keys are new.
    let done = world.nats.place.run(&["apply", &file]).json().remove(0);
    assert_eq!(done["changed"], true);
    let again = world.nats.place.run(&["apply", &file]).json().remove(0);
    assert_eq!(again["changed"], false, "{again}");
    assert!(entries(&again, "kept").is_empty(), "{again}");
    assert_eq!(world.nats.ok(&["user", "list"]).len(), 105);
    let account = world.nats.ok(&["import", "list", "BILLING"]);
    assert_eq!(account.len(), 2);
}

#[test]
fn external_authorization_names_users_and_accounts_of_the_file() {
    let world = World::new();
    let body = r#"
[nats.operator]
name = "ACME"
strict = true
[nats.accounts.door]
auth_callout = { users = ["keeper"], allowed_accounts = ["door"], xkey = "generate" }
[nats.accounts.door.users.keeper]
"#;
    world.applied(body, &[]);
    assert_eq!(world.applied(body, &[])["changed"], false);
    let shown = world.nats.ok(&["account", "show", "door"]);
    let claims: Value = serde_json::from_str(shown[0]["token"]["claims"].as_str().unwrap()).unwrap();
    let authorization = &claims["nats"]["authorization"];
    assert!(authorization["auth_users"][0].as_str().unwrap().starts_with('U'));
    assert_eq!(authorization["allowed_accounts"][0], claims["sub"]);
    assert!(authorization["xkey"].as_str().unwrap().starts_with('X'));
}
