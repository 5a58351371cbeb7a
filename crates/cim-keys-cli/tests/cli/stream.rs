//! `replay`, `follow`, `reconcile`, `verify --from nats`, `state` and `diff`, as a user types them, with a real server.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use cim_keys_testkit::NatsServer;
use serde_json::Value;

use crate::support::machine::{Machine, NOBODY};
use crate::support::nats::delete_message;

/// Records a unit of work, signs the head, and publishes.
fn work(machine: &Machine, name: &str) {
    machine.ok(&["organization", "add", name, "--ledger", "acme"]);
    machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]);
    machine.ok(&["reconcile", "--ledger", "acme"]);
}

/// A machine with a ledger `acme`, and a server.
fn machine() -> Option<(NatsServer, Machine)> {
    let server = NatsServer::run()?;
    let machine = Machine::with_server(server.url());
    machine.ok(&["init", "acme", "--name", "Acme"]);
    work(&machine, "Acme Instruments");
    Some((server, machine))
}

#[test]
fn from_the_stream_to_a_mirror_and_back_to_the_stream() {
    let Some((_server, machine)) = machine() else { return };
    let key = machine.ok(&["log", "public-key", "--ledger", "acme"]);
    let key = key.trim();
    std::fs::write(machine.path().join("key"), key).unwrap();
    work(&machine, "Acme Tools");

    let hint = machine.fails(2, &["replay", "--from", "nats", "--ledger", "mirror"]);
    assert!(hint.contains("--key"), "{hint}");
    let replayed = machine.json(&["replay", "--from", "nats", "--ledger", "mirror", "--key", key]);
    let checkpoint = machine.ok(&["log", "checkpoint", "--ledger", "acme"]);
    assert_eq!(replayed["checkpoint"], checkpoint, "the same signed head");
    assert_eq!((&replayed["new"], &replayed["waiting"]), (&replayed["events"], &0.into()));
    machine.ok(&["verify", "--ledger", "mirror"]);
    let listed = |ledger| machine.ok(&["event", "list", "--ledger", ledger, "--output", "json", "--limit", "100"]);
    assert_eq!(listed("mirror"), listed("acme"));
    let said = machine.ok(&["replay", "--ledger", "mirror"]);
    assert!(said.contains("Nothing is new"), "{said}");
    machine.fails(3, &["organization", "add", "Other", "--ledger", "mirror"]);
    machine.fails(3, &["replay", "--ledger", "acme", "--key", "key"]);

    let verified = machine.json(&["verify", "--from", "nats", "--key", "key"]);
    assert_eq!((&verified["ok"], &verified["signed"]), (&true.into(), &replayed["events"]));
    machine.ok(&["verify", "--from", "nats", "--ledger", "acme"]);

    // The stream loses an event: found, named, put back, and marked.
    delete_message(&machine.url, 2);
    let run = machine.run(&["verify", "--from", "nats", "--key", "key", "--output", "json"]);
    assert_eq!(run.code, 4, "{run:?}");
    let verified: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&verified["ok"], &verified["problems"][0]["position"]), (&false.into(), &2.into()), "{verified}");
    let shown = machine.json(&["reconcile", "--dry-run", "--ledger", "acme"]);
    assert_eq!((&shown["lost"], &shown["restored"]), (&1.into(), &0.into()));
    assert_eq!(machine.json(&["reconcile", "--ledger", "acme"])["restored"], 1);
    let said = machine.ok(&["reconcile", "--ledger", "acme"]);
    assert!(said.contains("Nothing is missing"), "{said}");
    machine.ok(&["verify", "--from", "nats", "--key", "key"]);
    machine.ok(&["replay", "--ledger", "again", "--key", "key"]);
    assert_eq!(listed("again"), listed("acme"));

    let unknown = machine.fails(2, &["verify", "--from", "nats", "--key", "key", "--stream", "OTHER"]);
    assert!(unknown.contains("OTHER"), "{unknown}");
    machine.fails(5, &["verify", "--from", "nats", "--key", "key", "--url", "nats://127.0.0.1:9"]);
    machine.fails(2, &["verify", "--from", "nats"]);
    machine.fails(2, &["verify", "--key", "key", "--ledger", "acme"]);
}

/// A running `follow`, and the JSON lines that it prints.
struct Following {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Following {
    fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let mut command = machine.command(&[&["follow", "--ledger", "mirror", "--output", "json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of a kind; the others before it are passed over.
    fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let line = self.lines.next().expect("it goes on").unwrap();
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["event"] == event {
                return value;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_mirror_follows_alarms_and_mends() {
    let Some((mut server, machine)) = machine() else { return };
    let key = machine.ok(&["log", "public-key", "--ledger", "acme"]);
    let key = key.trim();
    let mut following = Following::start(&machine, &["--key", key]);
    let first = following.wait_for("taken")["events"].as_u64().unwrap();
    work(&machine, "Acme Tools");
    assert!(following.wait_for("taken")["events"].as_u64().unwrap() > first);

    // An outage is waited out.
    server.kill();
    following.wait_for("waiting");
    server.start();
    work(&machine, "Acme Optics");
    following.wait_for("taken");

    // An event that is lost before the mirror has it is an alarm, until it is put back.
    drop(following);
    work(&machine, "Acme Motors");
    let last = machine.json(&["verify", "--from", "nats", "--ledger", "acme"]);
    let (events, heads) = (last["events"].as_u64().unwrap(), last["heads"].as_u64().unwrap());
    let newest = newest_event(&machine.url, events + heads);
    delete_message(&machine.url, newest);
    let alarmed = machine.fails(4, &["follow", "--ledger", "mirror", "--once"]);
    assert!(alarmed.contains("gap") || alarmed.contains("lost"), "{alarmed}");
    machine.fails(4, &["follow", "--ledger", "mirror", "--exit-on-alarm"]);
    let mut following = Following::start(&machine, &[]);
    assert_eq!(following.wait_for("alarm")["alarm"], "gap");
    machine.ok(&["reconcile", "--ledger", "acme"]);
    following.wait_for("mended");
    following.wait_for("taken");
    drop(following);
    let said = machine.ok(&["follow", "--ledger", "mirror", "--once"]);
    assert!(said.contains("Took 0 events"), "{said}");
    machine.ok(&["verify", "--ledger", "mirror"]);
}

/// The sequence of the newest message that is an event, at a sequence or below it.
fn newest_event(url: &str, from: u64) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(url).await.unwrap();
        let mut sequence = from;
        loop {
            let body = format!("{{\"seq\":{sequence}}}");
            let answer = client.request("$JS.API.STREAM.MSG.GET.CIM_KEYS_EVENTS", body.into()).await.unwrap();
            if String::from_utf8_lossy(&answer.payload).contains("\"subject\":\"cim.keys.") {
                return sequence;
            }
            sequence -= 1;
        }
    })
}

#[test]
fn the_organisation_as_it_was() {
    let machine = Machine::with_server(NOBODY.to_owned());
    machine.ok(&["init", "acme", "--name", "Acme"]);
    machine.ok(&["organization", "add", "Acme Instruments", "--ledger", "acme"]);
    let checkpoint = machine.ok(&["log", "checkpoint", "--sign", "--ledger", "acme"]);
    std::fs::write(machine.path().join("then"), &checkpoint).unwrap();
    let size = checkpoint.lines().nth(1).unwrap().to_owned();
    machine.ok(&["unit", "add", "Optics", "--ledger", "acme"]);

    let now = machine.ok(&["state", "--ledger", "acme"]);
    assert!(now.contains("Optics") && now.contains("Acme Instruments"), "{now}");
    for then in ["then", size.as_str()] {
        let then = machine.ok(&["state", "--at", then, "--ledger", "acme"]);
        assert!(!then.contains("Optics") && then.contains("Acme Instruments"), "{then}");
    }
    let before = machine.ok(&["state", "--at", "2001-01-01", "--ledger", "acme"]);
    assert!(before.contains("position 0") && before.contains("There is nothing"), "{before}");
    let only = machine.ok(&["state", "--kind", "unit", "--ledger", "acme", "--output", "json"]);
    let lines: Vec<Value> = only.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["kind"], &lines[1]["name"]), (2, &"unit".into(), &"Optics".into()));

    let diff = machine.ok(&["diff", "then", "--ledger", "acme"]);
    assert!(diff.contains("+ unit Optics"), "{diff}");
    let same = machine.ok(&["diff", "then", &size, "--ledger", "acme"]);
    assert!(same.contains("Nothing changed"), "{same}");
    let back = machine.ok(&["diff", "9999-12-31", "then", "--ledger", "acme", "--output", "json"]);
    assert!(back.contains("\"change\":\"removed\""), "{back}");
    machine.fails(2, &["state", "--at", "4711", "--ledger", "acme"]);
    machine.fails(2, &["state", "--at", "yesterday", "--ledger", "acme"]);
    machine.fails(2, &["state", "--kind", "unicorn", "--ledger", "acme"]);
}
