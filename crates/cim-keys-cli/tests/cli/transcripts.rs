//! Transcripts of the command line (`tests/cli/cmd/*.trycmd`), and what transcripts can't show: exit codes of signals,
//! and output that other programs read.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cim_keys_testkit::again;

use crate::support::program;

/// What every run sees of the environment, whoever runs the tests.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("CIM_KEYS_STATE", "state"),
    ("CIM_KEYS_LEDGER", ""),
    ("CIM_KEYS_OUTPUT", "text"),
    ("CIM_KEYS_ACTOR", ""),
    ("CIM_KEYS_LOG", "off"),
    ("CIM_KEYS_PASSPHRASE", ""),
    ("CIM_KEYS_NATS_URL", "nats://127.0.0.1:1"),
    ("USER", "tester"),
    ("HOME", "/nonexistent"),
    ("XDG_CONFIG_HOME", "/nonexistent/config"),
    ("XDG_STATE_HOME", "/nonexistent/state"),
    ("NO_COLOR", "1"),
    ("COLUMNS", "100"),
];

#[test]
fn transcripts() {
    // Variables of whoever runs the tests would count: without them, in a process of its own.
    let foreign: Vec<_> =
        std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CIM_KEYS_")).collect();
    if !foreign.is_empty() {
        let mut again = again(module_path!(), "transcripts");
        for (key, _) in foreign {
            again.env_remove(key);
        }
        let output = again.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let cases = trycmd::TestCases::new();
    for (key, value) in ENVIRONMENT {
        cases.env(*key, *value);
    }
    cases.case("tests/cli/cmd/*.trycmd").timeout(Duration::from_secs(120));
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = program(dir, args);
    command.envs(ENVIRONMENT.iter().copied()).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

fn ledger() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let made = run(dir.path(), &["init", "acme", "--show-passphrase", "--work-factor", "10"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    dir
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn json_keys_are_stable() {
    let dir = ledger();
    let json = |args: &[&str]| {
        let output = run(dir.path(), &[&["--ledger", "acme", "--output", "json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        lines(&output)
    };
    let event =
        ["position", "cid", "id", "type", "subject", "occurred_at", "actor", "correlation_id", "causes", "data"];
    let listed = json(&["event", "list"]);
    assert_eq!(listed.len(), 4);
    let mut added = json(&["organization", "add", "Acme"]);
    let publication = added.pop().unwrap();
    for value in listed.iter().chain(&added) {
        assert_eq!(keys(value), event);
    }
    assert_eq!((keys(&publication), added.len()), (vec!["publication"], 1));
    assert_eq!(keys(&publication["publication"]), ["state", "events", "reason", "detail"]);
    let shown = [&event[..], &["actor_signed", "signatures"]].concat();
    assert_eq!(keys(&json(&["event", "show", "1"])[0]), shown);
    assert_eq!(keys(&json(&["queue", "status"])[0]), ["connected", "server", "queued", "parked", "last_published"]);
    assert_eq!(keys(&json(&["verify"])[0])[..3], ["ok", "events", "problems"]);
    assert_eq!(
        keys(&json(&["organization", "list"])[0]),
        ["kind", "id", "status", "name", "created_at", "changed_at", "last_event"]
    );
    // What was recorded and what is shown of it are the same.
    let shown = json(&["event", "show", "5"]);
    let cid = shown[0]["cid"].as_str().unwrap();
    assert_eq!(json(&["event", "show", cid]), shown);
    assert_eq!(json(&["event", "show", &cid[..24]]), shown);
}

#[test]
fn the_queues_status_tells_a_server_that_lets_nobody_in_from_one_that_does() {
    let users = "authorization { user: publisher, password: right }";
    let Some(server) = cim_keys_testkit::ServerOptions::default().conf(users).start() else { return };
    let dir = tempfile::tempdir().unwrap();
    assert!(run(dir.path(), &["init", ".", "--work-factor", "10", "--show-passphrase"]).status.success());
    let status = |password: &str, output: &str| {
        let url = format!("nats://publisher:{password}@{}", server.address());
        let mut command = command(dir.path(), &["queue", "status", "--output", output]);
        let output = command.env("CIM_KEYS_NATS_URL", url).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(status("right", "json").contains("\"connected\":true"));
    assert!(status("wrong", "json").contains("\"connected\":false"));
    let refused = status("wrong", "text");
    assert!(refused.contains("refuses these credentials") && !refused.contains("wrong@"), "{refused}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(dir.path(), &["completions", shell]);
        assert!(output.status.success() && output.stdout.len() > 1_000, "{shell}");
    }
    let page = run(dir.path(), &["man"]);
    assert!(page.status.success() && page.stdout.starts_with(b".ie"), "{page:?}");
    assert!(run(dir.path(), &["man", "--out", "pages"]).status.success());
    for page in ["cim-keys.1", "cim-keys-apply.1", "cim-keys-event-show.1", "cim-keys-sync.1"] {
        assert!(dir.path().join("pages").join(page).is_file(), "{page}");
    }
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    let dir = ledger();
    for args in [["event", "list"], ["person", "list"], ["config", "show"]] {
        let output = run(dir.path(), &[&["--ledger", "acme"][..], &args].concat());
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let dir = ledger();
    let mut child = command(dir.path(), &["config", "example"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_clock_that_jumped_is_asked_about() {
    use cim_keys::act::{Intent, Pipeline};
    use cim_keys::events::Actor;
    use cim_keys::policy;
    use cim_keys::session::Place;
    use cim_keys::store::Store;
    use cim_keys::time::Timestamp;
    let dir = ledger();
    let place = Place::new(dir.path().join("acme"), dir.path().join("state"));
    let days = |days: i64| Timestamp::from_unix_micros(Timestamp::now().unix_micros() + days * 86_400_000_000).unwrap();
    let store = Store::open(place.options().with_clock(move || days(3))).unwrap();
    let actor: Actor = "system:test".parse().unwrap();
    let intent = Intent { accept_clock: true, ..Intent::new(actor) };
    let organization = cim_keys::app::organizations::add("Acme".parse().unwrap(), None, None);
    let mut pipeline = Pipeline::new(&store, policy::built_in());
    let outcome = pipeline.act(&intent, |draft| draft.command(organization.clone())).unwrap();
    drop(pipeline);
    assert_eq!(outcome.events.len(), 1);
    store.close().unwrap();
    let asked = run(dir.path(), &["--ledger", "acme", "--yes", "unit", "add", "One"]);
    let text = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() == Some(3) && text.contains("--accept-clock"), "{text}");
    assert!(run(dir.path(), &["--ledger", "acme", "--accept-clock", "unit", "add", "One"]).status.success());
    assert!(run(dir.path(), &["--ledger", "acme", "verify"]).status.success());
}

#[test]
fn a_passphrase_is_in_no_output() {
    let dir = tempfile::tempdir().unwrap();
    let passphrase = "correct horse battery staple";
    let mut made = command(dir.path(), &["init", "two", "--work-factor", "10", "-vv"]);
    let made = made.env("CIM_KEYS_PASSPHRASE", passphrase).output().unwrap();
    assert!(made.status.success());
    for bytes in [&made.stdout, &made.stderr] {
        assert!(!String::from_utf8_lossy(bytes).contains(passphrase));
    }
}

#[test]
fn text_from_outside_is_shown_harmless() {
    let dir = ledger();
    let file = "format = \"cim-keys/1\"\n[organization]\nname = \"a\\u001b[31mb\\u202ec\"\n\"\\u001b]0;x\" = 1\n";
    std::fs::write(dir.path().join("evil.toml"), file).unwrap();
    let evil = "\u{1b}[31m\u{202e}";
    for args in [
        &["--ledger", "acme", "apply", "evil.toml"][..],
        &["--ledger", "acme", "apply", "evil.toml", "--output", "json"],
        &["--ledger", "acme", "person", "show", evil],
        &["--ledger", "acme", "event", "show", evil],
        &["--ledger", "acme", "organization", "add", "Acme", "--actor", evil],
        &["--ledger", evil, "verify"],
        &["apply", evil],
    ] {
        let output = run(dir.path(), args);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{args:?}: {output:?}");
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{args:?}: {text:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn sync_ends_when_it_is_interrupted() {
    let dir = ledger();
    for signal in ["INT", "TERM"] {
        let mut child = command(dir.path(), &["--ledger", "acme", "sync"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let waiting = lines.by_ref().map(Result::unwrap).find(|line| line.contains("Waiting: "));
        assert!(waiting.is_some(), "it ended before it was told to");
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "sync goes on after SIG{signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert!(rest.iter().any(|line| line.contains("Stopped: 0 events published, 4 events wait.")), "{rest:?}");
    }
}

#[test]
fn a_folder_that_was_copied_is_not_written_to() {
    let dir = ledger();
    let copied = Command::new("cp").args(["-a", "acme", "copy"]).current_dir(dir.path()).status().unwrap();
    assert!(copied.success());
    let refused = run(dir.path(), &["--ledger", "copy", "organization", "add", "Acme"]);
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cim-keys handover"));
    assert!(run(dir.path(), &["--ledger", "copy", "verify"]).status.success());
    let args = ["--ledger", "copy", "--yes", "handover", "--reason", "the original is lost"];
    assert!(run(dir.path(), &args).status.success());
    assert!(run(dir.path(), &["--ledger", "copy", "organization", "add", "Acme"]).status.success());
    assert_eq!(run(dir.path(), &["--ledger", "acme", "organization", "add", "Acme"]).status.code(), Some(3));
}

#[test]
fn damage_is_found_and_named() {
    let dir = ledger();
    let path = dir.path().join("acme/ledger.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(13).position(|window| window == b"LedgerCreated").unwrap();
    let more: Vec<usize> = bytes.windows(9).enumerate().filter(|(_, w)| *w == b"ledger_id").map(|(i, _)| i).collect();
    bytes[more.first().copied().unwrap_or(place)] ^= 0x20;
    std::fs::write(&path, bytes).unwrap();
    let output = run(dir.path(), &["--ledger", "acme", "verify"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run(dir.path(), &["--ledger", "acme", "verify", "--output", "json"]);
    assert_eq!((output.status.code(), lines(&output)[0]["ok"].as_bool()), (Some(4), Some(false)));
}
