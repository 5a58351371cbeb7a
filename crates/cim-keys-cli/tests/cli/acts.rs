//! Signed acts on the command line: a key of one's own, who signed what, what must be signed, and what a stranger checks.

use std::io::Write as _;
use std::process::{Command, Stdio};

use cim_keys_testkit::tools::{PYTHON, tool};
use serde_json::{Value, json};

use crate::support::{Place, Run};

const ADA: &str = "ada@acme.example";

/// A ledger with two people; the passphrase of each compartment is its own.
fn place() -> Place {
    let place = Place::new();
    place.run(&["person", "add", "Ada Lovelace", "--email", ADA]).json();
    place.run(&["person", "add", "Bob Roe", "--email", "bob@acme.example"]).json();
    place
}

fn passphrase(place: &Place, of: &str) -> String {
    format!("--passphrase-file={of}={}", place.file(&format!("{of}.pass"), format!("passphrase of {of}").as_bytes()))
}

fn enroll(place: &Place, who: &str, compartment: &str, more: &[&str]) {
    let flag = passphrase(place, compartment);
    place
        .run(&[&["person", "enroll", who, "--compartment", compartment, "--work-factor", "10", &flag], more].concat())
        .json();
}

fn signed_by(place: &Place, who: &str, compartment: &str, args: &[&str]) -> Run {
    let flag = passphrase(place, compartment);
    place.run(&[args, &["--as", who, &flag]].concat())
}

fn show(place: &Place, event: &str) -> Value {
    place.run(&["event", "show", event]).json().remove(0)
}

fn verified(place: &Place) -> Value {
    place.run(&["verify"]).json().remove(0)
}

#[test]
fn an_act_is_signed_with_a_key_that_only_its_actor_opens() {
    let place = place();
    // Nobody signs without a key, or with another's passphrase.
    place.run(&["role", "add", "Officer", "--as", ADA]).fails(3, &["no key to sign acts with", "person enroll"]);
    enroll(&place, ADA, "ada", &[]);
    let wrong = format!("--passphrase-file=ada={}", place.file("wrong.pass", b"not the passphrase"));
    place.run(&["role", "add", "Officer", "--as", ADA, &wrong]).fails(1, &["passphrase"]);
    place.run(&["role", "add", "Officer", "--as", ADA]).fails(2, &["compartment \"ada\" is needed"]);

    let events = signed_by(&place, ADA, "ada", &["role", "add", "Officer"]).json();
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["RoleCreated", "EventAttested"]);
    assert_eq!(events[1]["data"]["event"]["/"], events[0]["cid"]);
    let position = events[0]["position"].to_string();
    let shown = show(&place, &position);
    assert_eq!(shown["actor_signed"], true);
    assert_eq!(shown["signatures"][0]["good"], true);
    assert_eq!(show(&place, &events[1]["position"].to_string())["actor_signed"], true);

    // Who is only named has claimed to act.
    let claimed = place.run(&["role", "add", "Auditor", "--actor", ADA]).json().remove(0);
    assert_eq!(show(&place, &claimed["position"].to_string())["actor_signed"], false);
    // Another's signature does not make it the actor's, and the actor's later one does.
    enroll(&place, "Bob Roe", "bob", &["--algorithm", "p256"]);
    let cid = claimed["cid"].as_str().unwrap();
    signed_by(&place, "Bob Roe", "bob", &["event", "attest", cid]).json();
    assert_eq!(show(&place, cid)["actor_signed"], false);
    signed_by(&place, ADA, "ada", &["event", "attest", cid]).json();
    assert_eq!(signed_by(&place, ADA, "ada", &["event", "attest", cid]).json(), Vec::<Value>::new());
    let shown = show(&place, cid);
    assert_eq!((&shown["actor_signed"], shown["signatures"].as_array().unwrap().len()), (&true.into(), 2));

    let acts = verified(&place)["acts"].clone();
    let ada = acts["actors"].as_array().unwrap().iter().find(|it| it["name"] == "Ada Lovelace").unwrap();
    assert_eq!(
        (&acts["signed"], &acts["signatures"], &ada["signed"], &ada["claimed"]),
        (&2.into(), &3.into(), &2.into(), &0.into())
    );
}

#[test]
fn who_signed_what_is_said_of_an_archive_and_of_a_stream_too() {
    let place = place();
    let (_, issuing) = place.passphrase_flags();
    let archive = |name: &str| {
        place.run(&["export", "car", name]).json();
        place.run(&["verify", name]).json().remove(0)
    };
    // Without a signature in it everybody only claims.
    let unsigned = archive("unsigned.car")["acts"].clone();
    assert_eq!((&unsigned["signed"], &unsigned["signatures"]), (&0.into(), &0.into()));
    assert_eq!(unsigned["claimed"], verified(&place)["acts"]["claimed"]);

    enroll(&place, ADA, "ada", &[]);
    let acts = signed_by(&place, ADA, "ada", &["role", "add", "Officer"]).json();
    let revoke = [
        "key",
        "revoke",
        "Ada Lovelace (acts)",
        "--reason",
        "key-compromise",
        "--invalid-since",
        "2020-01-01",
        "--yes",
    ];
    place.run(&revoke).json();
    place.run(&["role", "add", "Auditor", "--actor", ADA]).json();
    place.run(&["log", "checkpoint", "--sign", &issuing]).json();
    let ours = verified(&place)["acts"].clone();
    assert_eq!(
        (&ours["signatures"], &ours["signed"], ours["void"].as_array().unwrap().len()),
        (&1.into(), &0.into(), 1)
    );
    assert_eq!(archive("acme.car")["acts"], ours);
    let part = place.run(&["export", "car", "part.car", "--since", &acts[0]["position"].to_string()]);
    part.json();
    assert_eq!(place.run(&["verify", "part.car"]).json()[0]["acts"], Value::Null);

    let Some(server) = cim_keys_testkit::NatsServer::run() else { return };
    let url = server.url();
    place.run(&["sync", "--once", "--url", &url]).json();
    let key = place.key();
    let stream = place.run(&["verify", "--from", "nats", "--key", &key, "--url", &url]).json().remove(0);
    assert_eq!((&stream["ok"], &stream["acts"]), (&true.into(), &ours));
}

#[test]
fn a_key_in_a_shared_compartment_or_a_login_key_signs_nothing() {
    let place = place();
    let ada = format!("person:{ADA}");
    let make = |name: &str, more: &[&str]| {
        place.run(&[&["key", "generate", name, "--purpose", "act-signing", "--owner", &ada], more].concat())
    };
    make("shared", &[]).json();
    let (_, issuing) = place.passphrase_flags();
    place.run(&["role", "add", "R", "--as", ADA, &issuing]).fails(3, &["lies in a compartment that others open"]);
    place.run(&["person", "enroll", ADA, "--compartment", "issuing", &issuing]).fails(3, &["not this person's own"]);
    make("login", &["--algorithm", "nkey-user"]).fails(2, &["not of the kind"]);
    enroll(&place, ADA, "ada", &[]);
    signed_by(&place, ADA, "ada", &["role", "add", "R"]).json();
    // What has left custody may be in other hands.
    let export = ["key", "export", "Ada Lovelace (acts)", "--plain", "--yes", "--out", "key.pem", "--reason", "x"];
    place.run(&[&export[..], &[&passphrase(&place, "ada")]].concat()).json();
    signed_by(&place, ADA, "ada", &["role", "add", "S"]).fails(3, &["has left custody"]);
    assert_eq!(verified(&place)["acts"]["signed"], 1);
}

#[test]
fn a_revocation_counts_from_its_position_on() {
    let place = place();
    enroll(&place, ADA, "ada", &[]);
    let before = signed_by(&place, ADA, "ada", &["role", "add", "Before"]).json().remove(0);
    // The act that ends a key can be its last.
    let revoke = ["key", "revoke", "Ada Lovelace (acts)", "--reason", "superseded", "--yes"];
    signed_by(&place, ADA, "ada", &revoke).json();
    signed_by(&place, ADA, "ada", &["role", "add", "After"]).fails(3, &["was revoked before"]);
    let cid = before["cid"].as_str().unwrap();
    assert_eq!(show(&place, cid)["actor_signed"], true);
    assert_eq!(verified(&place)["acts"]["signed"], 2);

    // With an earlier suspicion the signatures since then are disputed.
    enroll(&place, ADA, "ada", &["--name", "the second"]);
    let second = signed_by(&place, ADA, "ada", &["role", "add", "Second"]).json().remove(0);
    let since = second["occurred_at"].as_str().unwrap();
    let revoke = ["key", "revoke", "the second", "--reason", "key-compromise", "--invalid-since", since, "--yes"];
    place.run(&revoke).json();
    let shown = show(&place, second["cid"].as_str().unwrap());
    assert_eq!(shown["actor_signed"], false);
    assert!(shown["signatures"][0]["problem"].as_str().unwrap().contains("wrong hands"), "{shown}");
}

#[test]
fn a_ledger_can_demand_signatures() {
    let place = place();
    enroll(&place, ADA, "ada", &[]);
    let demand = ["policy", "require-signatures", "KeyRevoked", "role", "--reason", "agreed"];
    place.run(&demand).fails(3, &["SignaturesRequired", "--as PERSON"]);
    place.run(&["policy", "require-signatures", "Nothing", "--reason", "x"]).fails(2, &["no type of event"]);
    signed_by(&place, ADA, "ada", &["policy", "require-signatures", "EventAttested", "--reason", "x"])
        .fails(3, &["no signature can be demanded"]);
    signed_by(&place, ADA, "ada", &demand).json();
    place.run(&["role", "add", "R"]).fails(3, &["demands that a RoleCreated is signed"]);
    place.run(&["role", "add", "R", "--actor", ADA]).fails(3, &["demands"]);
    place.run(&["person", "add", "Eve"]).json();
    signed_by(&place, ADA, "ada", &["role", "add", "R"]).json();
    // The last who can sign stays.
    let revoke = ["key", "revoke", "Ada Lovelace (acts)", "--reason", "superseded", "--yes"];
    signed_by(&place, ADA, "ada", &revoke).fails(3, &["no person could sign"]);
    place.run(&["person", "deactivate", ADA, "--reason", "x", "--yes"]).fails(3, &["no person could sign"]);
    let types = place.run(&["event", "types"]).json();
    let required = types.iter().filter(|it| it["signature"] == true).count();
    assert_eq!(required, 1 + types.iter().filter(|it| it["aggregate"] == "role").count());
    signed_by(&place, ADA, "ada", &["policy", "require-signatures", "--none", "--reason", "x"]).json();
    place.run(&["role", "add", "S"]).json();
    assert_eq!(verified(&place)["ok"], true);
}

/// The public keys and signatures of the ledger, checked by Python's `cryptography`.
#[test]
fn another_implementation_agrees() {
    let Some(python) = tool(PYTHON) else { return };
    let place = place();
    enroll(&place, ADA, "ada", &[]);
    enroll(&place, "Bob Roe", "bob", &["--algorithm", "p256"]);
    signed_by(&place, ADA, "ada", &["role", "add", "A"]).json();
    signed_by(&place, "Bob Roe", "bob", &["role", "add", "B"]).json();
    let events = place.run(&["event", "list", "--from", "1", "--limit", "1000"]).json();
    let script = r#"
import base64, json, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

def cid(text):
    return base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))

keys, checked = {}, []
for event in json.load(sys.stdin):
    data = event["data"]
    if event["type"] == "KeyGenerated":
        keys[data["key_id"]] = data["public_key"]
    if event["type"] == "EventAttested":
        key = load_der_public_key(base64.b64decode(keys[data["key_id"]]))
        text = data["signature"]["/"]["bytes"]
        signature = base64.b64decode(text + "=" * (-len(text) % 4))
        message = cid(data["event"]["/"])
        assert len(message) == 36
        if data["algorithm"] == "ed25519":
            key.verify(signature, message)
        else:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        checked.append(data["algorithm"])
print(json.dumps(checked))
"#;
    let mut child =
        Command::new(python).arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(events).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked, json!(["ed25519", "ecdsa-p256"]));
}

/// A key whose private half never was in custody: it is made and used elsewhere, and only its signature comes in.
#[test]
fn a_signature_that_was_made_elsewhere_is_recorded() {
    use cim_keys::keys::KeyKind;
    use cim_keys::keys::pair::PrivateKey;
    let place = place();
    let secret = PrivateKey::generate(KeyKind::P256).unwrap();
    let public = secret.public().public_key.to_string();
    let ada = format!("person:{ADA}");
    let import = ["key", "import", "Ada's own", "--public-key", &public, "--purpose", "act-signing", "--owner", &ada];
    place.run(&[&import[..], &["--origin", "her own machine"]].concat()).json();
    place.run(&["role", "add", "R", "--as", ADA]).fails(3, &["not in custody here", "--signature FILE"]);
    let claimed = place.run(&["role", "add", "R", "--actor", ADA]).json().remove(0);
    let cid = claimed["cid"].as_str().unwrap();
    let bytes = cim_keys::ipld_support::parse_cid(cid).unwrap().to_bytes();
    place.file("signature", &secret.sign(&bytes).unwrap());
    place.file("another", &secret.sign(b"another message").unwrap());
    let attest = |file: &str| place.run(&["event", "attest", cid, "--key", "Ada's own", "--signature", file]);
    attest("another").fails(4, &["the signature is not one of"]);
    attest("signature").json();
    assert_eq!(show(&place, cid)["actor_signed"], true);
    assert_eq!(verified(&place)["acts"]["signed"], 1);
}

#[test]
fn a_leaver_is_offboarded_in_one_act_and_it_is_proved_when() {
    let place = place();
    let (root, issuing) = place.passphrase_flags();
    let both = [root.as_str(), issuing.as_str()];
    let ok = |args: &[&str]| place.run(&[args, &both].concat()).json();
    enroll(&place, ADA, "ada", &[]);
    enroll(&place, "Bob Roe", "bob", &[]);
    ok(&["role", "add", "Officer"]);
    ok(&["role", "assign", "Officer", "Bob Roe"]);
    ok(&["relationship", "add", "person:Bob Roe", "reports-to", &format!("person:{ADA}")]);
    ok(&["custody", "holder", "issuing", "role:Officer"]);
    ok(&["nats", "operator", "add", "ACME"]);
    ok(&["nats", "account", "add", "ORDERS"]);
    for name in ["ORDERS/bob", "ORDERS/bobs-laptop"] {
        ok(&["nats", "user", "add", name, "--owner", "person:bob@acme.example"]);
    }
    ok(&["nats", "user", "add", "ORDERS/ada", "--owner", &format!("person:{ADA}")]);
    place.run(&["event", "proof-of", "--revocation", "ORDERS/bob"]).fails(3, &["is not revoked"]);

    let offboard = ["person", "offboard", "Bob Roe", "--reason", "left in March"];
    let planned = place.run(&[&offboard[..], &["--dry-run"]].concat()).json().remove(0);
    let names = |plan: &Value, of: &str| -> Vec<String> {
        plan[of].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&planned, "roles"), ["role \"Officer\""]);
    assert_eq!(names(&planned, "users"), ["NATS user \"ORDERS/bob\"", "NATS user \"ORDERS/bobs-laptop\""]);
    assert!(names(&planned, "keys").contains(&"key \"Bob Roe (acts)\"".to_owned()), "{planned}");
    assert_eq!(names(&planned, "relationships").len(), 1);
    let rotate = planned["to_rotate"].as_array().unwrap();
    assert!(
        rotate.iter().any(|it| it["key"]["name"] == "key \"Ledger key\"" && it["compartment"] == "issuing"),
        "{planned}"
    );
    assert_eq!(planned["unknown"], json!(["root"]));
    place.run(&offboard).fails(3, &["--yes"]);

    let done = ok(&[&offboard[..], &["--yes"]].concat());
    let events = &done[1..];
    assert!(events.iter().all(|event| event["correlation_id"] == events[0]["correlation_id"]));
    let count = |of: &str| events.iter().filter(|event| event["type"] == of).count();
    assert_eq!((count("NatsUserRevoked"), count("KeyRevoked"), count("RelationshipEnded")), (2, 3, 1));
    // The account is signed anew once, and cuts both users off.
    assert_eq!((count("JwtSigned"), count("PersonDeactivated")), (1, 1));
    let claims = events.iter().find(|event| event["type"] == "JwtClaimsCreated").unwrap();
    let claims: Value = serde_json::from_str(claims["data"]["claims"].as_str().unwrap()).unwrap();
    assert_eq!(claims["nats"]["revocations"].as_object().unwrap().len(), 2);
    let again = place.run(&[&offboard[..], &["--yes"]].concat()).json().remove(0);
    assert_eq!((&again["deactivate"], &again["users"], &again["keys"]), (&false.into(), &json!([]), &json!([])));
    signed_by(&place, "Bob Roe", "bob", &["role", "add", "X"]).fails(3, &["can't sign acts"]);

    // The proof, with the signature of a person who watches, kept where the ledger's officer does not reach.
    ok(&["log", "checkpoint", "--sign"]);
    let text = |args: &[&str]| {
        let run = place.run(&[args, &["--output", "text"], &both].concat());
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout
    };
    place.file("key", text(&["log", "public-key"]).as_bytes());
    place.file("ada.key", text(&["log", "public-key", "--witness", "--as", ADA]).as_bytes());
    text(&["log", "consistency", "--out", "update"]);
    let cosign = ["log", "cosign", "update", "--key", "key", "--memory", "elsewhere"];
    place.run(&[&cosign[..], &["--as", "Bob Roe"]].concat()).fails(3, &["can't sign acts"]);
    signed_by(&place, ADA, "ada", &[&cosign[..], &["--out", "cosigned"]].concat()).json();
    assert!(std::fs::read_to_string(place.path("elsewhere")).unwrap().starts_with("acme/"));
    ok(&["log", "checkpoint", "--add", "cosigned"]);
    ok(&["event", "proof-of", "--revocation", "ORDERS/bob", "--out", "bob.proof"]);
    ok(&["event", "proof-of", "--revocation", "Bob Roe (acts)", "--out", "bob-acts.proof"]);
    let of_bob = place.run(&["event", "proof-of", "--revocation", "Bob Roe"]).json();
    assert_eq!(of_bob, place.run(&["event", "proof-of", "--revocation", "Bob Roe (acts)"]).json());
    place.run(&["event", "proof-of", "--revocation", "Ledger key"]).fails(3, &["is not revoked"]);
    let check = |file: &str, before: &str| {
        place.run(&["log", "check", file, "--key", "key", "--cosigned-by", "ada.key", "--before", before])
    };
    let checked = check("bob.proof", "2200-01-01").json().remove(0);
    assert_eq!(checked["event"]["type"], "NatsUserRevoked");
    assert!(checked["cosigned_by"][0]["name"].as_str().unwrap().starts_with("ada-lovelace"), "{checked}");
    check("bob.proof", "2020-01-01").fails(4, &["not before"]);
    assert_eq!(check("bob-acts.proof", "2200-01-01").json()[0]["event"]["type"], "KeyRevoked");
    assert_eq!(verified(&place)["ok"], true);
}

#[test]
fn other_ledgers_are_linked_by_their_keys() {
    let place = place();
    let other = Place::new();
    let key = other.key();
    place.run(&["ledger", "link", "Branch", "--key", "nonsense", "--relation", "peer"]).fails(2, &["no Ed25519 key"]);
    place.run(&["ledger", "link", "Branch", "--key", &key, "--relation", "peer"]).json();
    assert_eq!(
        place.run(&["ledger", "link", "Branch", "--key", &key, "--relation", "peer"]).json(),
        Vec::<Value>::new()
    );
    place.run(&["ledger", "link", "Branch", "--key", &key, "--relation", "child"]).json();
    let ledgers = place.run(&["ledger", "list"]).json();
    assert_eq!(ledgers.len(), 2);
    let branch = ledgers.iter().find(|it| it["name"] == "Branch").unwrap();
    assert_eq!(branch["relation"], "child");
    let own = place.key();
    place.run(&["ledger", "link", "Itself", "--key", &own, "--relation", "peer"]).fails(3, &["itself"]);
    assert_eq!(verified(&place)["ok"], true);
}
