//! The log and archives on the command line, from signing to the stranger who checks.

use serde_json::Value;

use crate::support::machine::Machine;

#[test]
fn a_stranger_checks_what_a_ledger_signed() {
    let machine = Machine::new();
    let dir = machine.path();
    machine.ok(&["init", "acme", "--name", "Acme"]);
    machine.ok(&["init", "witness", "--name", "Witness"]);
    // What a ledger begins with is signed by the key that was made for it.
    let first = machine.ok(&["log", "checkpoint", "--ledger", "acme"]);
    assert_eq!(machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]), first);
    std::fs::write(dir.join("first"), &first).unwrap();
    let key = machine.ok(&["log", "public-key", "--ledger", "acme"]);
    let key = key.trim();
    std::fs::write(dir.join("key"), key).unwrap();
    machine.ok(&["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    let unsigned = machine.fails(3, &["log", "prove", "5", "--ledger", "acme"]);
    assert!(unsigned.contains("--sign"), "{unsigned}");
    // For the proof of what an event says the head is signed, where somebody can.
    let closed = machine.fails(3, &["event", "proof-of", "5", "--ledger", "acme", "--passphrase-file", "first"]);
    assert!(closed.contains("no signed head covers"), "{closed}");
    machine.ok(&["event", "proof-of", "5", "--ledger", "acme", "--out", "early.tlog-proof"]);
    assert_eq!(
        machine.ok(&["log", "prove", "5", "--with-event", "--ledger", "acme"]).lines().next(),
        Some("c2sp.org/tlog-proof@v1")
    );
    machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]);

    // A proof, checked without a ledger, by the key or by a file that holds it.
    machine.ok(&["event", "proof-of", "5", "--ledger", "acme", "--out", "event.tlog-proof"]);
    let same = machine.ok(&["log", "prove", "5", "--with-event", "--ledger", "acme"]);
    assert_eq!(same, std::fs::read_to_string(dir.join("event.tlog-proof")).unwrap());
    let said = machine.ok(&["log", "check", "event.tlog-proof", "--key", key]);
    assert!(said.contains("OrganizationCreated") && said.contains("Proved"), "{said}");
    let json = machine.json(&["log", "check", "event.tlog-proof", "--key", "key"]);
    assert_eq!((&json["ok"], &json["event"]["data"]["name"]), (&true.into(), &"Acme Instruments".into()));
    let later = machine.fails(4, &["log", "check", "event.tlog-proof", "--key", "key", "--before", "2020-01-01"]);
    assert!(later.contains("not before"), "{later}");
    let changed = std::fs::read_to_string(dir.join("event.tlog-proof")).unwrap().replace("index 4", "index 3");
    std::fs::write(dir.join("changed"), changed).unwrap();
    machine.fails(4, &["log", "check", "changed", "--key", "key"]);
    let mistyped = machine.fails(2, &["log", "check", "event.tlog-proof", "--key", &key.replace('+', "-")]);
    assert!(mistyped.contains("name+hash+base64"), "{mistyped}");

    // A witness.
    machine.ok(&["log", "consistency", "--ledger", "acme", "--from", "first", "--out", "update"]);
    machine.ok(&["log", "check", "update", "--key", "key", "--from", "first"]);
    machine.fails(2, &["log", "check", "update", "--key", "key"]);
    machine.ok(&["log", "cosign", "update", "--key", "key", "--ledger", "witness", "--out", "cosigned"]);
    let old = machine.fails(4, &["log", "cosign", "first", "--key", "key", "--ledger", "witness"]);
    assert!(old.contains("seen before"), "{old}");
    let kept = machine.ok(&["log", "checkpoint", "--add", "cosigned", "--ledger", "acme"]);
    assert_eq!(kept, std::fs::read_to_string(dir.join("cosigned")).unwrap());
    let witness = machine.ok(&["log", "public-key", "--witness", "--ledger", "witness"]);
    let policy = format!("log {key}\nwitness w {witness}quorum w\n");
    std::fs::write(dir.join("policy"), policy).unwrap();
    machine.fails(4, &["log", "check", "event.tlog-proof", "--key", "key", "--policy", "policy"]);
    machine.ok(&["log", "prove", "5", "--ledger", "acme", "--out", "event.tlog-proof"]);
    let said = machine.ok(&["log", "check", "event.tlog-proof", "--key", "key", "--policy", "policy"]);
    assert!(said.contains("cosigned by"), "{said}");
    let said = machine.ok(&["verify", "--ledger", "acme", "--against", "first"]);
    assert!(said.contains("cosigned the head of 5 events: witness/"), "{said}");
}

#[test]
fn a_key_that_lies_open_signs_without_a_passphrase() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let dir = machine.path();
    let said = machine.ok(&["init", "relay", "--online-ledger-key"]);
    assert!(said.contains("relay/ledger.key"), "{said}");
    let key = dir.join("relay/ledger.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(std::fs::read_to_string(&key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let unattended = |arguments: &[&str]| {
        let run = machine.unattended(arguments);
        (run.code, run.stderr)
    };
    let sign = ["log", "checkpoint", "--sign", "--ledger", "relay"];
    assert_eq!(unattended(&sign), (0, String::new()));
    // Every append signs its head.
    let head = || machine.json(&["log", "checkpoint", "--ledger", "relay"]);
    assert_eq!((&head()["size"], &head()["unsigned"]), (&5.into(), &0.into()));
    assert_eq!(unattended(&["organization", "add", "Relay", "--ledger", "relay"]), (0, String::new()));
    assert_eq!((&head()["size"], &head()["unsigned"]), (&6.into(), &0.into()));
    // That it is stored unencrypted is on record, and custody still has it.
    assert!(machine.ok(&["event", "list", "--ledger", "relay"]).contains("KeyExported"));
    machine.ok(&["custody", "check", "--ledger", "relay"]);

    mode(0o640);
    let (code, told) = unattended(&sign);
    assert!(code == 1 && told.contains("chmod 0600 ") && told.contains("ledger.key"), "{code} {told}");
    assert_eq!(unattended(&["organization", "add", "No", "--ledger", "relay"]).0, 1);
    assert_eq!(unattended(&["organization", "list", "--ledger", "relay"]).0, 0);
    mode(0o600);
    let own = std::fs::read(&key).unwrap();
    machine.ok(&["init", "other", "--online-ledger-key"]);
    std::fs::copy(dir.join("other/ledger.key"), &key).unwrap();
    let (code, told) = unattended(&sign);
    assert!(code == 1 && told.contains("another key than this ledger's"), "{code} {told}");
    std::fs::write(&key, &own).unwrap();
    assert_eq!(unattended(&sign).0, 0);

    // Without the file it is a ledger as any other.
    std::fs::remove_file(&key).unwrap();
    machine.ok(&["organization", "add", "Acme", "--ledger", "relay"]);
    let (code, told) = unattended(&sign);
    assert!(code == 2 && told.contains("issuing"), "{code} {told}");
    machine.ok(&sign);
}

#[test]
fn opening_the_compartment_of_the_ledgers_key_signs_the_head() {
    let machine = Machine::new();
    let dir = machine.path();
    machine.ok(&["init", "acme"]);
    machine.ok(&["organization", "add", "Acme", "--ledger", "acme"]);
    let signed = || machine.json(&["log", "checkpoint", "--ledger", "acme"]);
    assert_eq!((&signed()["size"], &signed()["unsigned"]), (&4.into(), &1.into()));
    // A NATS account is signed with a key of "issuing"; an export opens it too.
    machine.ok(&["nats", "operator", "add", "ACME", "--ledger", "acme"]);
    machine.ok(&["nats", "account", "add", "ORDERS", "--ledger", "acme"]);
    let after = signed();
    assert_eq!(after["unsigned"], 0, "{after}");
    machine.ok(&["key", "generate", "web", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 1);
    let export =
        ["key", "export", "web", "--plain", "--yes", "--reason", "moving", "--out", "web.pem", "--ledger", "acme"];
    machine.ok(&export);
    assert_eq!(signed()["unsigned"], 0);
    assert!(signed()["size"].as_u64() > after["size"].as_u64());

    // So do credentials that are handed out, and a file that is applied.
    machine.ok(&["nats", "user", "add", "ORDERS/bob", "--ledger", "acme"]);
    machine.ok(&["unit", "add", "Sales", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 1);
    machine.ok(&["nats", "creds", "ORDERS/bob", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 0);
    machine.ok(&["unit", "add", "Support", "--ledger", "acme"]);
    std::fs::write(dir.join("more.toml"), MORE).unwrap();
    machine.ok(&["apply", "more.toml", "--ledger", "acme"]);
    assert_eq!(signed()["unsigned"], 0);
    machine.ok(&["verify", "--deep", "--ledger", "acme"]);
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
    let machine = Machine::new();
    let dir = machine.path();
    let generated = |arguments: &[&str]| {
        let run = machine.unattended(arguments);
        assert_eq!(run.code, 0, "{run:?}");
    };
    let cheap = ["--show-passphrase", "--work-factor", "10"];
    std::fs::write(dir.join("acme.toml"), "[organization]\nname = \"Acme\"\n\n[units.sales]\nname = \"Sales\"\n")
        .unwrap();
    generated(&[&["init", "bare"], &cheap[..]].concat());
    generated(&[&["apply", "acme.toml", "--ledger", "applied"], &cheap[..]].concat());
    for ledger in ["bare", "applied"] {
        let json = |arguments: &[&str]| machine.json(&[arguments, &["--ledger", ledger]].concat());
        let (status, verified) = (json(&["status"]), json(&["verify", "--deep"]));
        assert_eq!((&status["signed"], &status["unsigned"]), (&status["events"], &0.into()), "{ledger}");
        assert_eq!((&verified["anchor"]["signed"], &verified["anchor"]["unsigned"]), (&status["events"], &0.into()));
    }
    // Who comes later has no key in hand.
    generated(&["unit", "add", "Support", "--ledger", "applied"]);
    let later = machine.ok(&["log", "checkpoint", "--ledger", "applied", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&later).unwrap()["unsigned"], 1);
}

#[test]
fn an_archive_is_verified_and_mirrored() {
    let machine = Machine::new();
    let dir = machine.path();
    machine.ok(&["init", "acme", "--name", "Acme"]);
    machine.ok(&["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]);
    std::fs::write(dir.join("key"), machine.ok(&["log", "public-key", "--ledger", "acme"])).unwrap();
    machine.ok(&["export", "car", "acme.car", "--ledger", "acme"]);
    let said = machine.ok(&["verify", "acme.car", "--key", "key"]);
    assert!(said.contains("Events 1 to 5") && said.contains("up to event 5"), "{said}");
    let key_needed = machine.fails(2, &["import", "car", "acme.car", "--ledger", "mirror"]);
    assert!(key_needed.contains("--key"), "{key_needed}");
    machine.ok(&["import", "car", "acme.car", "--key", "key", "--ledger", "mirror"]);
    let again = machine.ok(&["import", "car", "acme.car", "--ledger", "mirror", "--output", "json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["new"], &again["events"]), (&0.into(), &5.into()));
    for format in ["jsonl", "dag-json"] {
        let of = |ledger| machine.ok(&["export", "events", "--format", format, "--ledger", ledger]);
        assert_eq!(of("acme"), of("mirror"));
        assert_eq!(of("acme").lines().count(), 5);
    }
    machine.ok(&["verify", "--ledger", "mirror"]);
    machine.fails(3, &["organization", "add", "Other", "--ledger", "mirror"]);

    let mut bytes = std::fs::read(dir.join("acme.car")).unwrap();
    std::fs::write(dir.join("half.car"), &bytes[..bytes.len() - 100]).unwrap();
    let half = machine.fails(4, &["import", "car", "half.car", "--ledger", "mirror"]);
    assert!(half.contains("breaks off"), "{half}");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dir.join("changed.car"), &bytes).unwrap();
    machine.fails(4, &["verify", "changed.car", "--key", "key"]);
    machine.fails(4, &["import", "car", "changed.car", "--key", "key", "--ledger", "other"]);
    assert!(!dir.join("other/ledger.db").exists());
}

#[test]
fn an_auditor_verifies_what_is_new_and_whose_signatures_there_are() {
    let machine = Machine::new();
    let dir = machine.path();
    machine.ok(&["init", "acme", "--name", "Acme"]);
    machine.ok(&["init", "witness", "--name", "Witness"]);
    let sign = |name: &str| {
        let head = machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]);
        std::fs::write(dir.join(name), head).unwrap();
    };
    sign("first");
    machine.ok(&["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    sign("second");
    let json = |arguments: &[&str], code: i32| -> Value {
        let run = machine.run(&[&["verify", "--ledger", "acme", "--output", "json"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
        serde_json::from_str(&run.stdout).unwrap()
    };
    let report = json(&["--deep"], 0);
    assert_eq!((&report["heads"]["checked"], &report["heads"]["signed"]), (&2.into(), &5.into()));
    assert_eq!(report["anchor"]["witnessed"], 0);

    // Only the newer part, and that it continues the older one.
    let report = json(&["--since", "first"], 0);
    assert_eq!((&report["first"], &report["events"], &report["since"]["size"]), (&5.into(), &1.into(), &4.into()));
    assert!(!report["since"]["consistency"].as_array().unwrap().is_empty());
    let other = machine.ok(&["log", "checkpoint", "--sign", "--ledger", "witness"]);
    std::fs::write(dir.join("other"), other).unwrap();
    for flag in ["--since", "--against"] {
        let report = json(&[flag, "other"], 4);
        assert_eq!(report["first_problem"]["layer"], "history", "{report}");
    }

    // A policy, by flag and by configuration.
    let key = machine.ok(&["log", "public-key", "--ledger", "acme"]);
    let witness = machine.ok(&["log", "public-key", "--witness", "--ledger", "witness"]);
    std::fs::write(dir.join("key"), &key).unwrap();
    std::fs::write(dir.join("policy"), format!("log {key}witness w {witness}quorum w\n")).unwrap();
    assert_eq!(json(&["--policy", "policy"], 4)["first_problem"]["layer"], "policy");
    machine.ok(&["log", "cosign", "second", "--key", "key", "--ledger", "witness", "--out", "cosigned"]);
    machine.ok(&["log", "checkpoint", "--add", "cosigned", "--ledger", "acme"]);
    let report = json(&["--policy", "policy"], 0);
    assert_eq!((&report["policy"]["satisfied"], &report["policy"]["by"][0]["name"]), (&5.into(), &"w".into()));
    assert_eq!(report["anchor"]["witnessed"], 5);
    std::fs::write(dir.join("acme/config.toml"), "[verify]\npolicy = \"../policy\"\n").unwrap();
    assert_eq!(json(&[], 0)["policy"]["satisfied"], 5);
    std::fs::write(
        dir.join("policy"),
        format!("log {key}witness w {witness}witness v {}quorum v\n", {
            // Nobody's key: that of the first ledger itself, as a witness.
            machine.ok(&["log", "public-key", "--witness", "--ledger", "acme"])
        }),
    )
    .unwrap();
    assert_eq!(json(&[], 4)["first_problem"]["layer"], "policy");
    machine.ok(&["export", "car", "acme.car", "--ledger", "acme"]);
    machine.fails(4, &["verify", "acme.car", "--key", "key", "--policy", "policy"]);

    // A file that SQLite can't read is damage, and nothing else.
    std::fs::write(dir.join("policy"), format!("log {key}quorum none\n")).unwrap();
    std::fs::write(dir.join("acme/ledger.db"), vec![7; 20_000]).unwrap();
    let report = json(&[], 4);
    assert_eq!(report["first_problem"]["layer"], "file");
}
