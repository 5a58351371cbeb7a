//! The log and archives on the command line, from signing to the stranger who checks.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Runs the program in a folder; answers with its exit code and both outputs.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
    command.env_clear().current_dir(folder).args(arguments);
    command
        .env("CIM_KEYS_STATE", folder.join("state"))
        .env("CIM_KEYS_PASSPHRASE", "nothing but a passphrase for tests");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = run(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    out
}

fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let (found, out, err) = run(folder, arguments);
    assert_eq!(found, code, "{arguments:?}: {out}{err}");
    err
}

#[test]
fn a_stranger_checks_what_a_ledger_signed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    ok(dir, &["init", "acme", "--name", "Acme"]);
    ok(dir, &["init", "witness", "--name", "Witness"]);
    // What a ledger begins with is signed by the key that was made for it.
    let first = ok(dir, &["log", "checkpoint", "--ledger", "acme"]);
    assert_eq!(ok(dir, &["log", "checkpoint", "--sign", "--ledger", "acme"]), first);
    std::fs::write(dir.join("first"), &first).unwrap();
    let key = ok(dir, &["log", "public-key", "--ledger", "acme"]);
    let key = key.trim();
    std::fs::write(dir.join("key"), key).unwrap();
    ok(dir, &["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    let unsigned = refused(dir, &["log", "prove", "5", "--ledger", "acme"], 3);
    assert!(unsigned.contains("--sign"), "{unsigned}");
    // For the proof of what an event says the head is signed, where somebody can.
    let closed = refused(dir, &["event", "proof-of", "5", "--ledger", "acme", "--passphrase-file", "first"], 3);
    assert!(closed.contains("no signed head covers"), "{closed}");
    ok(dir, &["event", "proof-of", "5", "--ledger", "acme", "--out", "early.tlog-proof"]);
    assert_eq!(
        ok(dir, &["log", "prove", "5", "--with-event", "--ledger", "acme"]).lines().next(),
        Some("c2sp.org/tlog-proof@v1")
    );
    ok(dir, &["log", "checkpoint", "--sign", "--ledger", "acme"]);

    // A proof, checked without a ledger, by the key or by a file that holds it.
    ok(dir, &["event", "proof-of", "5", "--ledger", "acme", "--out", "event.tlog-proof"]);
    let same = ok(dir, &["log", "prove", "5", "--with-event", "--ledger", "acme"]);
    assert_eq!(same, std::fs::read_to_string(dir.join("event.tlog-proof")).unwrap());
    let said = ok(dir, &["log", "check", "event.tlog-proof", "--key", key]);
    assert!(said.contains("OrganizationCreated") && said.contains("Proved"), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&ok(dir, &["log", "check", "event.tlog-proof", "--key", "key", "--output", "json"]))
            .unwrap();
    assert_eq!((&json["ok"], &json["event"]["data"]["name"]), (&true.into(), &"Acme Instruments".into()));
    let later = refused(dir, &["log", "check", "event.tlog-proof", "--key", "key", "--before", "2020-01-01"], 4);
    assert!(later.contains("not before"), "{later}");
    let changed = std::fs::read_to_string(dir.join("event.tlog-proof")).unwrap().replace("index 4", "index 3");
    std::fs::write(dir.join("changed"), changed).unwrap();
    refused(dir, &["log", "check", "changed", "--key", "key"], 4);
    let mistyped = refused(dir, &["log", "check", "event.tlog-proof", "--key", &key.replace('+', "-")], 2);
    assert!(mistyped.contains("name+hash+base64"), "{mistyped}");

    // A witness.
    ok(dir, &["log", "consistency", "--ledger", "acme", "--from", "first", "--out", "update"]);
    ok(dir, &["log", "check", "update", "--key", "key", "--from", "first"]);
    refused(dir, &["log", "check", "update", "--key", "key"], 2);
    ok(dir, &["log", "cosign", "update", "--key", "key", "--ledger", "witness", "--out", "cosigned"]);
    let old = refused(dir, &["log", "cosign", "first", "--key", "key", "--ledger", "witness"], 4);
    assert!(old.contains("seen before"), "{old}");
    let kept = ok(dir, &["log", "checkpoint", "--add", "cosigned", "--ledger", "acme"]);
    assert_eq!(kept, std::fs::read_to_string(dir.join("cosigned")).unwrap());
    let witness = ok(dir, &["log", "public-key", "--witness", "--ledger", "witness"]);
    let policy = format!("log {key}\nwitness w {witness}quorum w\n");
    std::fs::write(dir.join("policy"), policy).unwrap();
    refused(dir, &["log", "check", "event.tlog-proof", "--key", "key", "--policy", "policy"], 4);
    ok(dir, &["log", "prove", "5", "--ledger", "acme", "--out", "event.tlog-proof"]);
    let said = ok(dir, &["log", "check", "event.tlog-proof", "--key", "key", "--policy", "policy"]);
    assert!(said.contains("cosigned by"), "{said}");
    let said = ok(dir, &["verify", "--ledger", "acme", "--against", "first"]);
    assert!(said.contains("cosigned the head of 5 events: witness/"), "{said}");
}

#[test]
fn a_key_that_lies_open_signs_without_a_passphrase() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let said = ok(dir, &["init", "relay", "--online-ledger-key"]);
    assert!(said.contains("relay/ledger.key"), "{said}");
    let key = dir.join("relay/ledger.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(std::fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let unattended = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
        let command = command.env_clear().current_dir(dir).env("CIM_KEYS_STATE", dir.join("state")).args(arguments);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let sign = ["log", "checkpoint", "--sign", "--ledger", "relay"];
    assert_eq!(unattended(&sign), (0, String::new()));
    // Every append signs its head.
    let head = || -> serde_json::Value {
        serde_json::from_str(&ok(dir, &["log", "checkpoint", "--ledger", "relay", "--output", "json"])).unwrap()
    };
    assert_eq!((&head()["size"], &head()["unsigned"]), (&5.into(), &0.into()));
    assert_eq!(unattended(&["organization", "add", "Relay", "--ledger", "relay"]), (0, String::new()));
    assert_eq!((&head()["size"], &head()["unsigned"]), (&6.into(), &0.into()));
    // That it is stored unencrypted is on record, and custody still has it.
    assert!(ok(dir, &["event", "list", "--ledger", "relay"]).contains("KeyExported"));
    ok(dir, &["custody", "check", "--ledger", "relay"]);

    mode(0o640);
    let (code, told) = unattended(&sign);
    assert!(code == 1 && told.contains("chmod 0600 ") && told.contains("ledger.key"), "{code} {told}");
    assert_eq!(unattended(&["organization", "add", "No", "--ledger", "relay"]).0, 1);
    assert_eq!(unattended(&["organization", "list", "--ledger", "relay"]).0, 0);
    mode(0o600);
    let own = std::fs::read(&key).unwrap();
    ok(dir, &["init", "other", "--online-ledger-key"]);
    std::fs::copy(dir.join("other/ledger.key"), &key).unwrap();
    let (code, told) = unattended(&sign);
    assert!(code == 1 && told.contains("another key than this ledger's"), "{code} {told}");
    std::fs::write(&key, &own).unwrap();
    assert_eq!(unattended(&sign).0, 0);

    // Without the file it is a ledger as any other.
    std::fs::remove_file(&key).unwrap();
    ok(dir, &["organization", "add", "Acme", "--ledger", "relay"]);
    let (code, told) = unattended(&sign);
    assert!(code == 2 && told.contains("issuing"), "{code} {told}");
    ok(dir, &sign);
}

#[test]
fn whoever_opens_the_compartment_of_the_ledgers_key_signs_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    ok(dir, &["init", "acme"]);
    ok(dir, &["organization", "add", "Acme", "--ledger", "acme"]);
    let signed = || -> serde_json::Value {
        serde_json::from_str(&ok(dir, &["log", "checkpoint", "--ledger", "acme", "--output", "json"])).unwrap()
    };
    assert_eq!((&signed()["size"], &signed()["unsigned"]), (&4.into(), &1.into()));
    // A NATS account is signed with a key of "issuing"; an export opens it too.
    ok(dir, &["nats", "operator", "add", "ACME", "--ledger", "acme"]);
    ok(dir, &["nats", "account", "add", "ORDERS", "--ledger", "acme"]);
    let after = signed();
    assert_eq!(after["unsigned"], 0, "{after}");
    ok(dir, &["key", "generate", "web", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 1);
    let export =
        ["key", "export", "web", "--plain", "--yes", "--reason", "moving", "--out", "web.pem", "--ledger", "acme"];
    ok(dir, &export);
    assert_eq!(signed()["unsigned"], 0);
    assert!(signed()["size"].as_u64() > after["size"].as_u64());

    // So do credentials that are handed out, and a file that is applied.
    ok(dir, &["nats", "user", "add", "ORDERS/bob", "--ledger", "acme"]);
    ok(dir, &["unit", "add", "Sales", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 1);
    ok(dir, &["nats", "creds", "ORDERS/bob", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 0);
    ok(dir, &["unit", "add", "Support", "--ledger", "acme"]);
    std::fs::write(dir.join("more.toml"), MORE).unwrap();
    ok(dir, &["apply", "more.toml", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 0);
    ok(dir, &["verify", "--deep", "--ledger", "acme"]);
}

/// One more user of an account that is there.
const MORE: &str = "
[organization]
name = \"Acme\"

[nats.operator]
name = \"ACME\"

[nats.accounts.orders]
name = \"ORDERS\"

[nats.accounts.orders.users.carol]
";

#[test]
fn who_makes_a_ledger_signs_its_head_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let generated = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
        let command = command.env_clear().current_dir(dir).env("CIM_KEYS_STATE", dir.join("state")).args(arguments);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let cheap = ["--show-passphrase", "--work-factor", "10"];
    std::fs::write(dir.join("acme.toml"), "[organization]\nname = \"Acme\"\n\n[units.sales]\nname = \"Sales\"\n")
        .unwrap();
    generated(&[&["init", "bare"], &cheap[..]].concat());
    generated(&[&["apply", "acme.toml", "--ledger", "applied"], &cheap[..]].concat());
    for ledger in ["bare", "applied"] {
        let json = |arguments: &[&str]| -> serde_json::Value {
            serde_json::from_str(&ok(dir, &[arguments, &["--ledger", ledger, "--output", "json"]].concat())).unwrap()
        };
        let (status, verified) = (json(&["status"]), json(&["verify", "--deep"]));
        assert_eq!((&status["signed"], &status["unsigned"]), (&status["events"], &0.into()), "{ledger}");
        assert_eq!((&verified["anchor"]["signed"], &verified["anchor"]["unsigned"]), (&status["events"], &0.into()));
    }
    // Who comes later has no key in hand.
    generated(&["unit", "add", "Support", "--ledger", "applied"]);
    let later = ok(dir, &["log", "checkpoint", "--ledger", "applied", "--output", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&later).unwrap()["unsigned"], 1);
}

#[test]
fn an_archive_is_verified_and_mirrored() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    ok(dir, &["init", "acme", "--name", "Acme"]);
    ok(dir, &["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    ok(dir, &["log", "checkpoint", "--sign", "--ledger", "acme"]);
    std::fs::write(dir.join("key"), ok(dir, &["log", "public-key", "--ledger", "acme"])).unwrap();
    ok(dir, &["export", "car", "acme.car", "--ledger", "acme"]);
    let said = ok(dir, &["verify", "acme.car", "--key", "key"]);
    assert!(said.contains("Events 1 to 5") && said.contains("up to event 5"), "{said}");
    let key_needed = refused(dir, &["import", "car", "acme.car", "--ledger", "mirror"], 2);
    assert!(key_needed.contains("--key"), "{key_needed}");
    ok(dir, &["import", "car", "acme.car", "--key", "key", "--ledger", "mirror"]);
    let again = ok(dir, &["import", "car", "acme.car", "--ledger", "mirror", "--output", "json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["new"], &again["events"]), (&0.into(), &5.into()));
    for format in ["jsonl", "dag-json"] {
        let of = |ledger| ok(dir, &["export", "events", "--format", format, "--ledger", ledger]);
        assert_eq!(of("acme"), of("mirror"));
        assert_eq!(of("acme").lines().count(), 5);
    }
    ok(dir, &["verify", "--ledger", "mirror"]);
    refused(dir, &["organization", "add", "Other", "--ledger", "mirror"], 3);

    let mut bytes = std::fs::read(dir.join("acme.car")).unwrap();
    std::fs::write(dir.join("half.car"), &bytes[..bytes.len() - 100]).unwrap();
    let half = refused(dir, &["import", "car", "half.car", "--ledger", "mirror"], 4);
    assert!(half.contains("breaks off"), "{half}");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dir.join("changed.car"), &bytes).unwrap();
    refused(dir, &["verify", "changed.car", "--key", "key"], 4);
    refused(dir, &["import", "car", "changed.car", "--key", "key", "--ledger", "other"], 4);
    assert!(!dir.join("other/ledger.db").exists());
}

#[test]
fn an_auditor_verifies_what_is_new_and_whose_signatures_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    ok(dir, &["init", "acme", "--name", "Acme"]);
    ok(dir, &["init", "witness", "--name", "Witness"]);
    let sign = |name: &str| {
        let head = ok(dir, &["log", "checkpoint", "--sign", "--ledger", "acme"]);
        std::fs::write(dir.join(name), head).unwrap();
    };
    sign("first");
    ok(dir, &["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    sign("second");
    let json = |arguments: &[&str], code: i32| -> serde_json::Value {
        let (found, out, err) = run(dir, &[&["verify", "--ledger", "acme", "--output", "json"], arguments].concat());
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    };
    let report = json(&["--deep"], 0);
    assert_eq!((&report["heads"]["checked"], &report["heads"]["signed"]), (&2.into(), &5.into()));
    assert_eq!(report["anchor"]["witnessed"], 0);

    // Only the newer part, and that it continues the older one.
    let report = json(&["--since", "first"], 0);
    assert_eq!((&report["first"], &report["events"], &report["since"]["size"]), (&5.into(), &1.into(), &4.into()));
    assert!(!report["since"]["consistency"].as_array().unwrap().is_empty());
    let other = ok(dir, &["log", "checkpoint", "--sign", "--ledger", "witness"]);
    std::fs::write(dir.join("other"), other).unwrap();
    for flag in ["--since", "--against"] {
        let report = json(&[flag, "other"], 4);
        assert_eq!(report["first_problem"]["layer"], "history", "{report}");
    }

    // A policy, by flag and by configuration.
    let key = ok(dir, &["log", "public-key", "--ledger", "acme"]);
    let witness = ok(dir, &["log", "public-key", "--witness", "--ledger", "witness"]);
    std::fs::write(dir.join("key"), &key).unwrap();
    std::fs::write(dir.join("policy"), format!("log {key}witness w {witness}quorum w\n")).unwrap();
    assert_eq!(json(&["--policy", "policy"], 4)["first_problem"]["layer"], "policy");
    ok(dir, &["log", "cosign", "second", "--key", "key", "--ledger", "witness", "--out", "cosigned"]);
    ok(dir, &["log", "checkpoint", "--add", "cosigned", "--ledger", "acme"]);
    let report = json(&["--policy", "policy"], 0);
    assert_eq!((&report["policy"]["satisfied"], &report["policy"]["by"][0]["name"]), (&5.into(), &"w".into()));
    assert_eq!(report["anchor"]["witnessed"], 5);
    std::fs::write(dir.join("acme/config.toml"), "[verify]\npolicy = \"../policy\"\n").unwrap();
    assert_eq!(json(&[], 0)["policy"]["satisfied"], 5);
    std::fs::write(
        dir.join("policy"),
        format!("log {key}witness w {witness}witness v {}quorum v\n", {
            // Nobody's key: that of the first ledger itself, as a witness.
            ok(dir, &["log", "public-key", "--witness", "--ledger", "acme"])
        }),
    )
    .unwrap();
    assert_eq!(json(&[], 4)["first_problem"]["layer"], "policy");
    ok(dir, &["export", "car", "acme.car", "--ledger", "acme"]);
    refused(dir, &["verify", "acme.car", "--key", "key", "--policy", "policy"], 4);

    // A file that SQLite can't read is damage, and nothing else.
    std::fs::write(dir.join("policy"), format!("log {key}quorum none\n")).unwrap();
    std::fs::write(dir.join("acme/ledger.db"), vec![7; 20_000]).unwrap();
    let report = json(&[], 4);
    assert_eq!(report["first_problem"]["layer"], "file");
}
