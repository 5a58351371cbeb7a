//! Copies of a ledger on the command line: over a medium to a mirror and back.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{self, ISSUING, Place, Run, files};

/// A ledger with its key on paper, a medium, and what the connected side has.
struct Copies {
    place: Place,
    key: String,
    issuing: String,
}

impl Copies {
    fn new() -> Self {
        let place = Place::new();
        let (_, issuing) = place.passphrase_flags();
        let key = place.key();
        fs::create_dir(place.path("usb")).unwrap();
        Self { place, key, issuing }
    }

    fn usb(&self) -> String {
        self.place.at("usb")
    }

    fn out(&self) -> Value {
        self.place.run(&["carry", "out", &self.usb(), &self.issuing]).json()[0].clone()
    }

    /// The program on the mirror, which knows nothing of the ledger's folder.
    fn mirror(&self, args: &[&str]) -> Run {
        self.place.run_on("mirror", args)
    }

    fn init(&self, more: &[&str]) -> Run {
        let mirror = self.place.path("mirror");
        let args = ["mirror", "init", mirror.to_str().unwrap(), "--from", &self.usb(), "--key", &self.key];
        self.mirror(&[&args[..], more].concat())
    }

    fn on_medium(&self, begins: &str) -> PathBuf {
        let found = files(Path::new(&self.usb()));
        let named = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(begins);
        found.iter().find(named).unwrap().clone()
    }

    fn add(&self, name: &str) {
        self.place.run(&["organization", "add", name]).json();
    }
}

#[test]
fn a_mirror_follows_over_a_medium() {
    let copies = Copies::new();
    let out = copies.out();
    assert_eq!((&out["last"], &out["unsigned"], &out["head"]["size"]), (&5.into(), &0.into(), &5.into()));
    let words = out["head"]["words"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);

    // Words of another head are refused before anything is made; words may be typed short.
    let other = format!("abandon {}", &words[words.find(' ').unwrap() + 1..]);
    copies.init(&["--words", &other]).fails(2, &["words"]);
    let zero = format!("{}art", "abandon ".repeat(23));
    copies.init(&["--words", &zero]).fails(4, &["not those of the head of 5 events"]);
    assert!(!copies.place.path("mirror").exists());
    let short: Vec<String> = words.split(' ').map(|word| word.chars().take(4).collect()).collect();
    let made = copies.init(&["--words", &short.join(" ")]).json()[0].clone();
    assert_eq!((&made["new"], &made["head"]), (&5.into(), &out["head"]));
    copies.init(&[]).fails(2, &["mirror update"]);

    // It reads, and never writes.
    assert_eq!(copies.mirror(&["event", "list"]).json(), copies.place.run(&["event", "list"]).json());
    copies.mirror(&["verify"]).json();
    copies.mirror(&["organization", "add", "Other"]).fails(3, &["this is a mirror"]);
    assert!(!copies.place.path("mirror/custody").exists());

    let old = copies.place.path("old");
    fs::rename(copies.usb(), &old).unwrap();
    fs::create_dir(copies.usb()).unwrap();
    copies.add("Second");
    let out = copies.out();
    let updated = copies.mirror(&["mirror", "update", &copies.usb()]).json()[0].clone();
    assert_eq!((&updated["new"], &updated["events"], &updated["head"]), (&1.into(), &6.into(), &out["head"]));
    let again = copies.mirror(&["carry", "in", &copies.usb()]).json()[0].clone();
    assert_eq!((&again["new"], &again["events"]), (&0.into(), &6.into()));
    let older = copies.mirror(&["mirror", "update", old.to_str().unwrap()]);
    assert_eq!(older.json()[0]["new"], 0);
    assert!(older.stderr.contains("older medium"), "{older:?}");
    let status = copies.mirror(&["mirror", "status"]).json()[0].clone();
    assert_eq!((&status["key"], &status["events"]), (&copies.key.clone().into(), &6.into()));
    assert_eq!(status["head"], out["head"]);

    // A mirror can be carried on to another one, and an archive alone will do.
    copies.mirror(&["carry", "out", old.to_str().unwrap()]).json();
    let archive = copies.on_medium("ledger-");
    let third = copies.place.path("third");
    let third = third.to_str().unwrap();
    copies.mirror(&["mirror", "init", third, "--from", archive.to_str().unwrap(), "--key", &copies.key]).json();
    // And the ledger finds that what comes back is its own.
    let back = copies.place.run(&["carry", "in", old.to_str().unwrap()]).json()[0].clone();
    assert_eq!(back["head"], out["head"]);
}

#[test]
fn a_medium_that_is_not_whole_is_told() {
    let copies = Copies::new();
    copies.place.run(&["carry", "out", "/nowhere/usb"]).fails(2, &["mount the medium"]);
    copies.init(&[]).fails(2, &["carries no ledger"]);
    copies.out();
    // What an interrupted carrying leaves does not matter: the manifest names the state before.
    let archive = copies.on_medium("ledger-");
    let folder = archive.parent().unwrap();
    fs::write(folder.join("ledger.car.new"), b"half an archive").unwrap();
    fs::write(folder.join("ledger-0123456789abcdef.car"), b"whole, and no manifest yet").unwrap();
    copies.init(&[]).json();
    copies.add("Second");
    copies.out();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "what no manifest names is gone");

    let archive = copies.on_medium("ledger-");
    let whole = fs::read(&archive).unwrap();
    let update = || copies.mirror(&["mirror", "update", &copies.usb()]);
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let half = format!("has {} bytes of {}", whole.len() / 2, whole.len());
    update().fails(4, &["half-written", &half]);
    copies.place.run(&["carry", "in", &copies.usb()]).fails(4, &["half-written"]);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&archive, &changed).unwrap();
    update().fails(4, &["another hash"]);
    fs::remove_file(&archive).unwrap();
    update().fails(4, &["is missing"]);
    fs::write(&archive, &whole).unwrap();
    let manifest = copies.on_medium("manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    for broken in ["", &text[..text.len() / 2], &text.replace("ledger-", "../ledger-")] {
        fs::write(&manifest, broken).unwrap();
        update().fails(4, &["half-written"]);
    }
    fs::write(&manifest, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    update().fails(2, &["update cim-keys"]);
    fs::remove_file(&manifest).unwrap();
    update().fails(4, &["the first carrying"]);
    fs::write(&manifest, &text).unwrap();
    assert_eq!(update().json()[0]["new"], 1);
    assert_eq!(copies.mirror(&["mirror", "status"]).json()[0]["events"], 6);
}

#[test]
fn another_ledger_and_another_history_are_refused() {
    let copies = Copies::new();
    copies.out();
    copies.init(&[]).json();
    // Another ledger's medium.
    let other = Copies::new();
    other.out();
    let refused = copies.mirror(&["mirror", "update", &other.usb()]);
    refused.fails(2, &["does not carry the ledger", &copies.key[..copies.key.find('+').unwrap()]]);

    // A copy of the folder that goes on by itself: the same key, two histories.
    let twin = Copies::new();
    let state = copies.place.path("twin-state");
    let twin_dir = twin.place.path("twin");
    let copied = std::process::Command::new("cp").arg("-a").args([copies.place.ledger(), twin_dir.clone()]).status();
    assert!(copied.unwrap().success());
    let run_twin = |args: &[&str]| {
        let mut command = copies.place.command(args);
        command.env("CIM_KEYS_LEDGER", &twin_dir).env("CIM_KEYS_STATE", &state);
        support::run(command, b"")
    };
    run_twin(&["handover", "--reason", "a test", "--yes"]).json();
    run_twin(&["carry", "out", &twin.usb(), &copies.issuing]).json();
    copies.add("Second");
    copies.add("Third");
    copies.out();
    copies.mirror(&["mirror", "update", &copies.usb()]).json();
    let fork = copies.mirror(&["mirror", "update", &twin.usb()]);
    fork.fails(4, &["two histories", "position 6", "bafyrei"]);
    let fork = copies.place.run(&["carry", "in", &twin.usb()]);
    fork.fails(4, &["two histories", "6 events"]);
    assert_eq!(copies.mirror(&["mirror", "status"]).json()[0]["events"], 7);
}

#[test]
fn tokens_travel_to_mirrors_and_no_credential_does() {
    let copies = Copies::new();
    let (root, issuing) = copies.place.passphrase_flags();
    let act = |args: &[&str]| copies.place.run(&[args, &[&root, &issuing]].concat()).json();
    act(&["nats", "operator", "add", "ACME"]);
    act(&["nats", "account", "add", "ORDERS"]);
    act(&["nats", "user", "add", "ORDERS/bob", "--bearer"]);
    let out = copies.out();
    let accounts = out["tokens"].as_u64().unwrap();
    assert!(accounts >= 2, "{out}");
    let made = copies.init(&[]).json()[0].clone();
    assert_eq!((&made["tokens"], &made["tokens_missing"]), (&accounts.into(), &0.into()));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&copies.place.path("mirror/restricted.db")), 0o600);
    assert_eq!(mode(&copies.on_medium("tokens-")), 0o600);
    // A mirror's server configuration is that of the ledger: the same texts.
    let config = |run: Run| run.stdout;
    let args = ["nats", "server-config", "--output", "text", "--resolver", "memory"];
    assert_eq!(config(copies.mirror(&args)), config(copies.place.run(&args)));

    // Another token of the account: the earlier text is on an old medium, and is neither taken nor kept.
    let old = fs::read(copies.on_medium("tokens-")).unwrap();
    act(&["nats", "user", "revoke", "ORDERS/bob", "--reason", "left", "--yes"]);
    copies.out();
    let fresh = fs::read(copies.on_medium("tokens-")).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // A token is two parts and a signature of 86 letters; what follows in the file may be letters too.
    let jwts = |bytes: &[u8]| {
        let text = text(bytes);
        let whole = |at: usize| {
            let dots: Vec<usize> = text[at..].match_indices('.').map(|(dot, _)| dot).take(2).collect();
            text[at..at + dots[1] + 87].to_owned()
        };
        text.match_indices("eyJ0eXAi").map(|(at, _)| whole(at)).collect::<Vec<_>>()
    };
    let stale: Vec<String> = jwts(&old).into_iter().filter(|jwt| !text(&fresh).contains(jwt.as_str())).collect();
    assert_eq!(stale.len(), 1);
    let updated = copies.mirror(&["mirror", "update", &copies.usb()]).json()[0].clone();
    assert_eq!((&updated["tokens"], &updated["tokens_missing"]), (&accounts.into(), &0.into()));
    let kept = text(&fs::read(copies.place.path("mirror/restricted.db")).unwrap());
    assert!(!kept.contains(stale[0].as_str()));
    // The bearer token of a user is a credential: it is nowhere on the medium.
    for file in files(Path::new(&copies.usb())) {
        let bytes = fs::read(file).unwrap();
        assert!(jwts(&bytes).len() as u64 <= accounts);
        assert!(!text(&bytes).contains(ISSUING));
    }
}

#[test]
fn a_request_is_taken_along() {
    let copies = Copies::new();
    copies.out();
    fs::write(Path::new(&copies.usb()).join("r42.req"), b"a request").unwrap();
    fs::write(Path::new(&copies.usb()).join("notes.txt"), b"something else").unwrap();
    for _ in 0..2 {
        let taken = copies.place.run(&["carry", "in", &copies.usb()]).json()[0].clone();
        let parcels = taken["parcels"].as_array().unwrap();
        assert_eq!(parcels.len(), 1);
        assert_eq!((&parcels[0]["kind"], &parcels[0]["state"]), (&"request".into(), &"waits".into()));
        assert_eq!(fs::read(parcels[0]["kept"].as_str().unwrap()).unwrap(), b"a request");
    }
}

#[test]
fn a_medium_that_is_full_keeps_what_it_had() {
    let Some(disk) = cim_keys_testkit::disk::SmallDisk::of_kib(512) else { return };
    let copies = Copies::new();
    let usb = disk.path().to_str().unwrap().to_owned();
    let out = || copies.place.run(&["carry", "out", &usb, &copies.issuing]);
    out().json();
    copies.add("Second");
    disk.fill_up_to(2048);
    out().fails(1, &[&usb, "o space"]);
    disk.make_room();
    let made = copies.mirror(&["mirror", "init", "mirror", "--from", &usb, "--key", &copies.key]).json()[0].clone();
    assert_eq!(made["events"], 5);
    out().json();
}
