//! Backups on the command line: the restore drill of docs/recovery.md, and everything that can go wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cim_keys_testkit::terminal::on_a_terminal;
use serde_json::Value;

use crate::support::{self, ISSUING, Place, Run, files};

/// The recipe of the README in what a ledger leaves behind: age opens a file of the compartment `issuing`.
fn opens_with_age(age: &Path, left: &Path, out: &str, sealed: &str) {
    let mut open = std::process::Command::new(age);
    open.args(["-d", "-o", out, "-i", "custody/issuing/identity.age", sealed]).current_dir(left);
    let opened = support::run(on_a_terminal(&open, &[ISSUING]).unwrap(), b"");
    assert_eq!(opened.code, 0, "{opened:?}");
}

/// A ledger, a vault for backups, a medium, and a second machine that knows nothing.
struct Vault {
    place: Place,
    issuing: String,
}

impl Vault {
    fn new() -> Self {
        let place = Place::new();
        let (_, issuing) = place.passphrase_flags();
        for folder in ["vault", "usb"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        Self { place, issuing }
    }

    fn at(&self, name: &str) -> String {
        self.place.at(name)
    }

    fn backup(&self) -> PathBuf {
        self.place.run(&["backup", &self.at("vault")]).json()[0]["file"].as_str().unwrap().into()
    }

    fn add(&self, name: &str) {
        self.place.run(&["unit", "add", name]).json();
    }

    fn out(&self) -> Value {
        self.place.run(&["carry", "out", &self.at("usb"), &self.issuing]).json()[0].clone()
    }

    /// The program on another machine, on a ledger in a folder there.
    fn elsewhere(&self, ledger: &str, args: &[&str]) -> Run {
        self.place.run_on(ledger, args)
    }

    fn restore(&self, ledger: &str) -> Run {
        self.elsewhere(ledger, &["restore", &self.at("vault"), &self.at(ledger)])
    }

    fn key(&self) -> String {
        self.place.key()
    }

    fn mirror(&self, args: &[&str]) -> Run {
        self.elsewhere("mirror", args)
    }
}

#[test]
fn the_restore_drill() {
    let vault = Vault::new();
    let (key, usb) = (vault.key(), vault.at("usb"));
    vault.place.run(&["key", "generate", "Signer"]).json();
    let status = vault.place.run(&["status"]);
    assert!(status.stderr.contains("keys are in no backup"), "{status:?}");
    assert_eq!((&status.json()[0]["role"], &status.json()[0]["keys_not_backed_up"]), (&"writer".into(), &2.into()));
    let made = vault.backup();
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    let status = vault.place.run(&["status"]);
    assert!(!status.stderr.contains("backup"), "{status:?}");
    assert_eq!(status.json()[0]["last_backup"]["events"], status.json()[0]["events"]);

    // Life goes on after the backup, and what is carried out is what there is besides it.
    vault.add("After the backup");
    vault.place.run(&["key", "generate", "Newer"]).json();
    assert_eq!(vault.place.run(&["status"]).json()[0]["keys_not_backed_up"], 1);
    let out = vault.out();
    let mirror = ["mirror", "init", &vault.at("mirror"), "--from", &usb, "--key", &key].map(str::to_owned);
    vault.mirror(&mirror.iter().map(String::as_str).collect::<Vec<_>>()).json();

    // The laptop is gone. On another machine:
    let restored = vault.restore("again").json()[0].clone();
    assert_eq!(restored["name"], "Acme");
    let again = |args: &[&str]| vault.elsewhere("again", args);
    assert_eq!(again(&["status"]).json()[0]["role"], "restored");
    again(&["verify"]).json();
    again(&["organization", "add", "Too early"]).fails(3, &["restored from a backup", "cim-keys recover"]);
    again(&["handover", "--reason", "a short cut", "--yes"]).fails(3, &["restored from a backup"]);
    again(&["log", "checkpoint", "--sign", &vault.issuing]).fails(3, &["restored from a backup"]);
    again(&["recover", &vault.issuing]).fails(2, &["--from"]);
    let more = again(&["recover", "--from", "carry", &usb, "--more-to-come"]).json()[0].clone();
    assert_eq!((&more["new"], &more["begun"]), (&2.into(), &false.into()));
    again(&["organization", "add", "Too early"]).fails(3, &["restored from a backup"]);
    let recovered = again(&["recover", "--from", "carry", &usb, &vault.issuing]).json()[0].clone();
    assert_eq!((&recovered["new"], &recovered["previous_key"]), (&0.into(), &key.clone().into()));
    let new_key = recovered["key"].as_str().unwrap();
    assert_ne!(new_key, key);
    assert_eq!(new_key.split('+').next(), key.split('+').next(), "the origin stays");
    again(&["unit", "add", "Under the new key"]).json();
    again(&["verify"]).json();
    again(&["recover", "--accept-loss", "--yes", &vault.issuing]).fails(3, &["not restored"]);
    let types: Vec<Value> = again(&["event", "list"]).json();
    let types: Vec<&str> = types.iter().rev().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types[8..],
        ["KeyGenerated", "KeyRotated", "LedgerKeyRotated", "EventAttested", "OrganizationalUnitCreated"]
    );

    // What was sealed before the backup opens; what was made after it has no secret, and is named.
    again(&[
        "key",
        "export",
        "Signer",
        "--plain",
        "--reason",
        "drill",
        "--out",
        &vault.at("signer.pem"),
        "--yes",
        &vault.issuing,
    ])
    .json();
    again(&["custody", "check"]).fails(4, &["its secret is missing", "Newer"]);
    assert_eq!(again(&["status"]).json()[0]["missing_secrets"].as_array().unwrap().len(), 1);

    // A mirror that is pinned to the old key follows: the old key vouched for the new one.
    let carried = again(&["carry", "out", &usb, &vault.issuing]).json()[0].clone();
    let updated = vault.mirror(&["mirror", "update", &usb]).json()[0].clone();
    assert_eq!((&updated["events"], &updated["head"]), (&14.into(), &carried["head"]));
    vault.mirror(&["verify"]).json();
    assert_eq!(vault.mirror(&["mirror", "status"]).json()[0]["key"], key);
    // So does one that is pinned to the new key, and a checkpoint of before still holds.
    let fresh = vault.at("fresh");
    vault.elsewhere("fresh", &["mirror", "init", &fresh, "--from", &usb, "--key", new_key]).json();
    let before = vault.place.file("before", out["head"]["checkpoint"].as_str().unwrap().as_bytes());
    again(&["verify", "--against", &before]).json();

    // The lost laptop turns up, and goes on as if nothing had happened: its head is signed with a key that has ended.
    vault.add("On the laptop");
    vault.out();
    vault.mirror(&["mirror", "update", &usb]).fails(4, &["two histories"]);
    let late = vault.elsewhere("late", &["mirror", "init", &vault.at("late"), "--from", &usb, "--key", new_key]);
    late.fails(4, &["no head in the archive is signed with the key"]);
}

#[test]
fn what_is_newer_is_given_up_only_when_that_is_said() {
    let vault = Vault::new();
    let key = vault.key();
    vault.backup();
    vault.add("Lost");
    vault.out();
    let mirror = vault.at("mirror");
    vault.mirror(&["mirror", "init", &mirror, "--from", &vault.at("usb"), "--key", &key]).json();
    // On the same machine, which remembers what was recorded and signed.
    fs::rename(vault.place.ledger(), vault.place.path("broken")).unwrap();
    vault.place.run(&["restore", &vault.at("vault"), vault.place.ledger().to_str().unwrap()]).json();
    let empty = vault.at("empty");
    fs::create_dir(&empty).unwrap();
    vault.place.run(&["recover", "--from", "carry", &empty, &vault.issuing]).fails(2, &["carries no ledger"]);
    vault.place.run(&["recover", "--accept-loss", &vault.issuing]).fails(3, &["--yes"]);
    let old = vault.at("old.car");
    vault.place.run(&["export", "car", &old]).json();
    vault
        .place
        .run(&["recover", "--from", "carry", &old, &vault.issuing])
        .fails(3, &["0 events were taken; 1 later ones", "--accept-unsigned"]);
    let given = vault.place.run(&["recover", "--accept-loss", "--yes", &vault.issuing]).json()[0].clone();
    assert_eq!(given["begun"], true);
    vault.add("Another history");
    vault.place.run(&["verify"]).json();
    let signed = vault.place.run(&["log", "checkpoint", "--sign", &vault.issuing]).json();
    assert_eq!(signed[0]["size"], 10);
    // Whoever has what was lost does not follow, and says what both have.
    vault.out();
    vault.mirror(&["mirror", "update", &vault.at("usb")]).fails(4, &["two histories", "position 6"]);
}

#[test]
fn a_mirror_does_not_follow_a_key_that_nobody_vouched_for() {
    let vault = Vault::new();
    let (key, usb) = (vault.key(), vault.at("usb"));
    vault.out();
    vault.mirror(&["mirror", "init", &vault.at("mirror"), "--from", &usb, "--key", &key]).json();
    vault.backup();
    vault.restore("again").json();
    let recovered = vault.elsewhere("again", &["recover", "--from", "carry", &usb, "--without-old-key"]);
    assert!(recovered.stderr.contains("did not vouch"), "{recovered:?}");
    let new_key = recovered.json()[0]["key"].as_str().unwrap().to_owned();
    vault.elsewhere("again", &["carry", "out", &usb, &vault.issuing]).json();
    vault.mirror(&["mirror", "update", &usb]).fails(4, &["nor with one that follows from it"]);
    assert_eq!(vault.mirror(&["mirror", "status"]).json()[0]["events"], 5);
    let fresh = vault.at("fresh");
    vault.elsewhere("fresh", &["mirror", "init", &fresh, "--from", &usb, "--key", &new_key]).json();
}

#[test]
fn a_backup_is_made_while_others_write() {
    let vault = Vault::new();
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let names: Vec<String> = (0..10).map(|n| format!("Writer {writer}, {n}")).collect();
            let commands: Vec<_> =
                names.iter().map(|name| vault.place.command(&["organization", "add", name])).collect();
            std::thread::spawn(move || {
                commands.into_iter().map(|command| support::run(command, b"")).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut backups: Vec<PathBuf> = Vec::new();
    for n in 0..4 {
        let file = vault.at(&format!("{n}.cimkeys.tar"));
        vault.place.run(&["backup", &file]).json();
        backups.push(file.into());
    }
    for run in writers.into_iter().flat_map(|writer| writer.join().unwrap()) {
        run.json();
    }
    for (n, file) in backups.iter().enumerate() {
        let dir = format!("restored-{n}");
        vault.elsewhere(&dir, &["restore", file.to_str().unwrap(), &vault.at(&dir)]).json();
        vault.elsewhere(&dir, &["verify"]).json();
        vault.elsewhere(&dir, &["custody", "check"]).json();
    }
}

#[test]
fn a_backup_that_is_not_whole_changes_nothing() {
    let vault = Vault::new();
    let file = vault.backup();
    let whole = fs::read(&file).unwrap();
    let bad = vault.place.path("bad.cimkeys.tar");
    let refused = |bytes: &[u8], code: i32, says: &[&str]| {
        fs::write(&bad, bytes).unwrap();
        let run = vault.elsewhere("again", &["restore", bad.to_str().unwrap(), &vault.at("again")]);
        run.fails(code, says);
        let left = if vault.place.path("again").exists() { files(&vault.place.path("again")) } else { Vec::new() };
        assert!(left.is_empty(), "{left:?}");
    };
    for part in 1..8 {
        refused(&whole[..whole.len() * part / 8], 4, &["half-written"]);
    }
    refused(b"", 2, &["is no backup"]);
    refused(b"something else altogether", 2, &["is no backup"]);
    let find = |what: &[u8]| whole.windows(what.len()).position(|window| window == what).unwrap();
    for what in [&b"SQLite format 3"[..], b"age-encryption.org", b"# cim-keys compartment"] {
        let mut changed = whole.clone();
        changed[find(what) + 3] ^= 1;
        refused(&changed, 4, &["is not what the manifest says"]);
    }
    let mut renamed = whole.clone();
    renamed[find(b"config.toml")] = b'/';
    refused(&renamed, 4, &["half-written"]);
    // Strays of an earlier database are removed; a ledger that is there is not touched.
    fs::create_dir_all(vault.place.path("again")).unwrap();
    fs::write(vault.place.path("again/ledger.db-wal"), b"what a dead process left").unwrap();
    fs::write(vault.place.path("again/ledger.db-shm"), b"what a dead process left").unwrap();
    vault.restore("again").json();
    vault.elsewhere("again", &["verify"]).json();
    assert!(!vault.place.path("again/ledger.db-wal").exists());
    vault.restore("again").fails(2, &["is there already"]);
    vault.place.run(&["backup", file.to_str().unwrap()]).fails(2, &["exists already"]);
    vault.place.run(&["backup", &vault.at("no/such/file.tar")]).fails(2, &["mount the medium"]);
}

#[test]
fn nothing_in_a_backup_is_open() {
    let vault = Vault::new();
    let place = Place::empty();
    let (root, issuing) = place.passphrase_flags();
    place.run(&["init", "--name", "Online", "--online-ledger-key", "--work-factor", "10", &root, &issuing]).json();
    let open = fs::read(place.ledger().join("ledger.key")).unwrap();
    place.run(&["backup", &vault.at("vault")]).json();
    vault.backup();
    for file in files(Path::new(&vault.at("vault"))) {
        let bytes = fs::read(&file).unwrap();
        for secret in [&open[..], b"PRIVATE KEY", b"AGE-SECRET-KEY", ISSUING.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{file:?}");
        }
    }
    // The key is there, sealed: it vouches for the one that follows it.
    let online = fs::read_dir(vault.at("vault")).unwrap().map(|entry| entry.unwrap().path());
    let online = online.into_iter().find(|file| file.to_string_lossy().contains("online-")).unwrap();
    vault.elsewhere("online", &["restore", online.to_str().unwrap(), &vault.at("online")]).json();
    vault.elsewhere("online", &["recover", "--accept-loss", "--yes", &issuing]).json();
}

#[test]
fn a_full_disk_leaves_no_backup() {
    let Some(disk) = cim_keys_testkit::disk::SmallDisk::of_kib(512) else { return };
    let vault = Vault::new();
    let to = disk.path().to_str().unwrap();
    disk.fill_up_to(64 << 10);
    vault.place.run(&["backup", to]).fails(1, &["not backed up", "o space"]);
    assert_eq!(files(disk.path()).len(), 1, "the ballast");
    assert_eq!(vault.place.run(&["status"]).json()[0]["last_backup"], Value::Null);
    disk.make_room();
    vault.place.run(&["backup", to]).json();
}

#[test]
fn everything_leaves_in_ordinary_formats() {
    use cim_keys_testkit::tools::{AGE, PYTHON, tool};
    let vault = Vault::new();
    let (root, issuing) = vault.place.passphrase_flags();
    let act = |args: &[&str]| vault.place.run(&[args, &[&root, &issuing]].concat()).json();
    vault.place.run(&["person", "add", "Kim, \"K\" Lee", "--email", "kim@acme.example"]).json();
    vault.place.run(&["key", "generate", "Signer"]).json();
    act(&["nats", "operator", "add", "ACME"]);
    act(&["nats", "account", "add", "ORDERS"]);
    act(&["nats", "user", "add", "ORDERS/bob"]);
    let all = vault.place.path("all");
    let to = all.to_str().unwrap();
    let left = vault.place.run(&["export", "all", to]).json()[0].clone();
    vault.place.run(&["export", "all", to]).fails(2, &["exists already"]);
    let text = |name: &str| fs::read_to_string(all.join(name)).unwrap();
    assert_eq!(text("events.jsonl").lines().count() as u64, left["events"].as_u64().unwrap());
    assert_eq!(fs::read_dir(all.join("tokens")).unwrap().count() as u64, left["tokens"].as_u64().unwrap());
    for file in files(&all) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    assert!(text("README.md").contains("age -d -i custody/issuing/identity.age"));
    vault.place.run(&["verify", all.join("ledger.car").to_str().unwrap()]).json();
    // The recipes are those of the README, with the real programs.
    let key: Value = text("entities/key.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|key| key["name"] == "Signer")
        .unwrap();
    let id = key["id"].as_str().unwrap();
    let Some(python) = tool(PYTHON) else { return };
    let run = |program: &Path, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).current_dir(&all).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let csv =
        "import csv, sys; print([row['name'] for row in csv.DictReader(open('entities/person.csv', newline=''))])";
    assert_eq!(run(&python, &["-c", csv]).trim(), "['Kim, \"K\" Lee']");
    let Some(age) = tool(AGE) else { return };
    let sealed = format!("custody/issuing/keys/{id}.age");
    opens_with_age(&age, &all, "key.pem", &sealed);
    assert!(text("key.pem").contains("PRIVATE KEY"));
    let public = "from cryptography.hazmat.primitives import serialization as s; import sys
key = s.load_pem_private_key(open('key.pem', 'rb').read(), None).public_key()
print(key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo).decode(), end='')";
    assert_eq!(run(&python, &["-c", public]), text(&format!("keys/{id}.pub")));
}

#[test]
fn keys_that_were_made_together_are_copied_restored_exported_and_opened_by_age() {
    use cim_keys_testkit::tools::{AGE, PYTHON, tool};
    let vault = Vault::new();
    let (root, issuing) = vault.place.passphrase_flags();
    let file = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n[nats.operator]\nname = \"ACME\"\n
[nats.accounts.orders]\nname = \"ORDERS\"\n[nats.accounts.orders.fleets.devices]\ncount = 40\nname = \"d-{n:02}\"\n";
    let file = vault.place.file("acme.toml", file.as_bytes());
    vault.place.run(&["apply", &file, "--yes", &root, &issuing]).json();
    let custody = vault.place.ledger().join("custody/issuing");
    let bundle = fs::read_dir(custody.join("bundles")).unwrap().next().unwrap().unwrap().path();
    vault.place.run(&["custody", "check"]).json();
    let secrets = vault.place.run(&["custody", "list"]).json();
    let issuing_has = secrets.iter().find(|it| it["compartment"] == "issuing").unwrap()["secrets"].as_u64().unwrap();
    assert!(issuing_has > 40, "{secrets:?}");
    let creds = |run: &dyn Fn(&[&str]) -> Run| {
        let done = run(&["nats", "creds", "ORDERS/d-17", "--file", &vault.at("d-17.creds"), &issuing]);
        assert_eq!(done.code, 0, "{done:?}");
        let text = fs::read_to_string(vault.place.path("d-17.creds")).unwrap();
        fs::remove_file(vault.place.path("d-17.creds")).unwrap();
        text
    };
    let before = creds(&|args| vault.place.run(args));
    assert!(before.contains("BEGIN USER NKEY SEED"));

    // Torn: the check says so without a passphrase, and use names the file. A backup takes it as it is.
    let sealed = bundle.join("secrets.age");
    let whole = fs::read(&sealed).unwrap();
    fs::write(&sealed, &whole[..whole.len() - 7]).unwrap();
    vault.place.run(&["custody", "check"]).fails(4, &["secrets.age", "is damaged", "backup"]);
    let use_it = ["nats", "creds", "ORDERS/d-17", "--file", &vault.at("torn.creds"), &issuing];
    vault.place.run(&use_it).fails(1, &["secrets.age", "backup"]);
    fs::write(&sealed, &whole).unwrap();

    vault.backup();
    assert_eq!(
        vault.restore("again").json()[0]["secrets"],
        secrets.iter().filter_map(|it| it["secrets"].as_u64()).sum::<u64>()
    );
    vault.elsewhere("again", &["custody", "check"]).json();
    vault.elsewhere("again", &["recover", "--accept-loss", "--yes", &issuing]).json();
    assert_eq!(creds(&|args| vault.elsewhere("again", args)), before);

    // The recipe of the README, with the real age.
    let all = vault.place.path("all");
    let left = vault.place.run(&["export", "all", all.to_str().unwrap()]).json()[0].clone();
    assert!(left["secrets"].as_u64().unwrap() > issuing_has);
    let (Some(age), Some(_)) = (tool(AGE), tool(PYTHON)) else { return };
    let name = bundle.file_name().unwrap().to_str().unwrap();
    let sealed = format!("custody/issuing/bundles/{name}/secrets.age");
    opens_with_age(&age, &all, "secrets", &sealed);
    let lines = fs::read_to_string(all.join("secrets")).unwrap();
    let seeds: Vec<_> = lines.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(seeds.iter().filter(|seed| before.contains(**seed)).count(), 1);
    let index = fs::read_to_string(bundle.join("index")).unwrap();
    let ids: Vec<_> = index.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.lines().map(|line| line.split_once(' ').unwrap().0).collect::<Vec<_>>(), ids);
}
