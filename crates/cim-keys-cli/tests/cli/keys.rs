//! `key` and `custody` on the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use cim_keys::custody::SecretBytes;
use cim_keys::keys::KeyKind;
use cim_keys::keys::pair::PrivateKey;
use serde_json::Value;

use crate::support::{self, ISSUING, Place, ROOT};

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {value}"))
}

#[test]
fn keys_are_generated_listed_shown_rotated_and_revoked() {
    let place = Place::new();
    let made = place.run(&["key", "generate", "signing", "--expires", "2030-01-31"]).json();
    assert_eq!(text(&made[0], "/type"), "KeyGenerated");
    assert_eq!(text(&made[0], "/data/compartment"), "issuing");
    assert_eq!(text(&made[0], "/data/validity/not_after"), "2030-01-31T00:00:00.000000Z");
    place.run(&["key", "add", "operator", "--algorithm", "nkey-operator", "--owner", "organization:Acme"]).json();

    let names = |run: support::Run| -> Vec<String> {
        run.json().iter().map(|key| format!("{} {}", text(key, "/name"), text(key, "/status"))).collect()
    };
    assert_eq!(names(place.run(&["key", "list"])), ["Ledger key active", "signing active", "operator active"]);
    let shown = place.run(&["key", "show", "operator"]).json();
    assert!(text(&shown[0], "/public_key").starts_with('O'));
    assert_eq!(text(&shown[0], "/compartment"), "root");

    let rotated = place.run(&["key", "rotate", "signing"]).json();
    let types: Vec<_> = rotated.iter().map(|event| text(event, "/type")).collect();
    assert!(types.contains(&"KeyGenerated") && types.contains(&"KeyRotated"), "{types:?}");
    place.run(&["key", "revoke", "operator", "--reason", "key-compromise"]).fails(3, &["--yes"]);
    place.run(&["key", "revoke", "operator", "--reason", "key-compromise", "--yes", "--note", "lost"]).json();
    place.run(&["key", "revoke", "operator", "--reason", "lost", "--yes"]).fails(2, &["key-compromise"]);
    assert_eq!(names(place.run(&["key", "list"])), ["Ledger key active", "signing active"]);
    place.run(&["custody", "check"]).json();
    place.run(&["verify"]).json();
}

#[test]
fn what_can_not_be_made_says_why_and_what_to_do() {
    let place = Place::new();
    place.run(&["key", "generate", "k", "--algorithm", "rsa"]).fails(2, &["ed25519", "nkey-user"]);
    place.run(&["key", "generate", "k", "--purpose", "nats-user"]).fails(2, &["nkey-user"]);
    place.run(&["key", "generate", "k", "--compartment", "vault"]).fails(3, &["\"issuing\", \"root\""]);
    place.run(&["key", "generate", "k", "--owner", "person:Nobody"]).fails(2, &["person list"]);
    place.run(&["key", "show", "k"]).fails(2, &["key list"]);
    place.run(&["key", "generate", "k"]).json();
    place.run(&["key", "generate", "k"]).fails(3, &["taken"]);
    place.run(&["custody", "check"]).json();
}

#[test]
fn a_key_is_imported_from_a_file_or_a_pipe_and_never_shown() {
    let place = Place::new();
    let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let pem = String::from_utf8(secrecy::ExposeSecret::expose_secret(&key.secret()).clone()).unwrap();
    let file = place.file("key.pem", pem.as_bytes());
    let made = place.run(&["key", "import", "old", &file, "--origin", "openssl, 2024"]);
    assert!(made.stderr.contains("delete it there"), "{made:?}");
    assert_eq!(made.json()[0].pointer("/data/was_plaintext"), Some(&Value::Bool(true)));
    let again = place.run_with(&["key", "import", "again", "-", "--origin", "a pipe"], pem.as_bytes());
    again.fails(3, &["taken"]);

    let seed = PrivateKey::generate(KeyKind::Nkey(cim_keys::events::NkeyKind::User)).unwrap().secret();
    let seed = String::from_utf8(secrecy::ExposeSecret::expose_secret(&seed).clone()).unwrap();
    let piped = place.run_with(&["key", "import", "user", "-", "--origin", "nsc", "--was-sealed"], seed.as_bytes());
    assert_eq!(piped.json()[0].pointer("/data/was_plaintext"), Some(&Value::Bool(false)));
    // A seed where a public key, a name or a reason belongs is neither taken nor shown.
    for args in [
        vec!["key", "import", "x", "--public-key", seed.trim(), "--origin", "x"],
        vec!["key", "import", seed.trim(), "--public-key", "x", "--origin", "x"],
        vec!["key", "revoke", "user", "--reason", "unspecified", "--yes", "--note", seed.trim()],
        vec!["key", "show", seed.trim()],
        vec!["key", "generate", "x", "--compartment", seed.trim()],
        vec!["key", "generate", "x", "--owner", seed.trim()],
        vec!["key", "generate", "x", "--algorithm", seed.trim()],
    ] {
        let run = place.run(&args);
        assert!(run.code != 0 && !run.stderr.contains(seed.trim()) && !run.stdout.contains(seed.trim()), "{args:?}");
    }
    place.run(&["custody", "check"]).json();
}

#[test]
fn an_export_is_recorded_and_its_file_is_closed_to_others() {
    let place = Place::new();
    place.run(&["key", "generate", "k"]).json();
    let (_, issuing) = place.passphrase_flags();
    let out = place.path("k.pem");
    let out = out.to_str().unwrap();
    let plain = ["key", "export", "k", "--plain", "--out", out, "--reason", "to the new issuer", &issuing];
    place.run(&plain).fails(3, &["--yes"]);
    assert!(!fs::exists(out).unwrap());
    let recorded = place.run(&[plain.as_slice(), &["--yes"]].concat()).json();
    assert_eq!(text(&recorded[0], "/type"), "KeyExported");
    assert_eq!(fs::metadata(out).unwrap().permissions().mode() & 0o777, 0o600);
    PrivateKey::parse(&SecretBytes::new(Box::new(fs::read(out).unwrap()))).unwrap();
    // An existing file is not overwritten, and nothing is recorded.
    place.run(&[plain.as_slice(), &["--yes"]].concat()).fails(2, &["does not exist yet"]);
    let recipient = text(&place.run(&["custody", "list"]).json()[0], "/recipient").to_owned();
    let sealed = ["key", "export", "k", "--to", &recipient, "--out", "-", "--reason", "a copy"];
    let wrong = place.file("wrong.pass", b"not the passphrase");
    let wrong = format!("--passphrase-file={wrong}");
    place.run(&[sealed.as_slice(), &[&wrong]].concat()).fails(1, &["wrong passphrase", "\"issuing\""]);
    place.run(&["key", "export", "k", "--out", "-", "--reason", "x"]).fails(2, &["--to"]);
    let exports = place.run(&["event", "list"]).json();
    assert_eq!(exports.iter().filter(|event| text(event, "/type") == "KeyExported").count(), 1);
}

#[test]
fn passphrases_come_from_files_descriptors_and_the_environment() {
    let place = Place::new();
    place.run(&["custody", "test", "root"]).fails(2, &["--passphrase-fd", "no terminal"]);
    let mut command = place.command(&["custody", "test", "root"]);
    command.env("CIM_KEYS_PASSPHRASE", "for another").env("CIM_KEYS_PASSPHRASE_ROOT", ROOT);
    support::run(command, b"").json();
    let mut command = place.command(&["custody", "test", "issuing"]);
    command.env("CIM_KEYS_PASSPHRASE", ISSUING);
    support::run(command, b"").json();
    place.run_with(&["custody", "test", "root", "--passphrase-fd", "0"], ROOT.as_bytes()).json();
    place.run_with(&["custody", "test", "root", "--passphrase-fd", "0"], b"").fails(2, &["standard input"]);
    place.run(&["custody", "test", "root", "--passphrase-fd", "77"]).fails(2, &["file descriptor 77"]);
    let file = place.file("loose", ROOT.as_bytes());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let flag = format!("--passphrase-file={file}");
    place.run(&["custody", "test", "root", &flag]).fails(2, &["0644", "chmod 0600"]);
    place.run(&["custody", "test", "vault", &flag]).fails(3, &["\"vault\""]);
}

#[test]
fn compartments_are_added_changed_and_checked() {
    let place = Place::new();
    let (root, _) = place.passphrase_flags();
    let new = place.file("new.pass", b"a new passphrase");
    let agents = format!("--passphrase-file={new}");
    let added = place.run(&["custody", "add", "agents", &agents]).json();
    assert_eq!(text(&added[0], "/type"), "CustodyRecipientAdded");
    place.run(&["custody", "add", "Agents", &agents]).fails(3, &["agents"]);
    place.run(&["key", "generate", "agent", "--compartment", "agents"]).json();
    place.run(&["custody", "passphrase", "root", &root, "--new-passphrase-file", &new]).json();
    place.run(&["custody", "test", "root", &root]).fails(1, &["wrong passphrase"]);
    place.run(&["custody", "test", "root", &agents]).json();
    let shown = place.run(&["custody", "passphrase", "agents", &agents, "--show-passphrase"]);
    assert!(shown.code == 0 && shown.stderr.contains("agents: "), "{shown:?}");

    let listed = place.run(&["custody", "list"]).json();
    let names: Vec<_> = listed.iter().map(|one| format!("{} {}", text(one, "/compartment"), one["secrets"])).collect();
    assert_eq!(names, ["agents 1", "issuing 1", "root 0"]);
    place.run(&["custody", "check"]).json();

    // A secret that nobody recorded, and one that is gone.
    let custody = place.ledger().join("custody");
    let key = support::files(&custody.join("agents/keys")).remove(0);
    let orphan = key.with_file_name("01890a5d-ac96-774b-bcce-b302099a8057.age");
    fs::rename(&key, &orphan).unwrap();
    place.run(&["custody", "check"]).fails(4, &["its secret is missing", "without a recorded key", "backup"]);
    fs::rename(&orphan, &key).unwrap();
    fs::copy(&key, &orphan).unwrap();
    place.run(&["custody", "check"]).fails(4, &["--remove-orphans"]);
    place.run(&["custody", "check", "--remove-orphans", "--yes"]).json();
    fs::set_permissions(&custody, fs::Permissions::from_mode(0o755)).unwrap();
    place.run(&["custody", "list"]).fails(1, &["chmod 0700"]);
}
