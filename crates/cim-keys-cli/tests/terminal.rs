//! Prompts, on a real terminal.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use cim_keys_testkit::tools::{PYTHON, tool};
use support::{Place, ROOT, Run};

/// Runs a command on a terminal of its own, gives the answers one by one where a line ends with a colon or a bracket and
/// waits, and prints what was shown.
const ON_A_TERMINAL: &str = r#"
import json, os, pty, sys, termios, time
answers, command = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execve(command[0], command, dict(os.environ))
shown, asked = b"", 0
while True:
    try:
        chunk = os.read(terminal, 1024)
    except OSError:
        chunk = b""
    if not chunk:
        break
    shown += chunk
    if shown[asked:].endswith((b": ", b"] ")) and answers:
        # A person does not type a secret before the terminal hides it, which comes just after the prompt.
        deadline = time.monotonic() + 10
        while shown.endswith(b": ") and termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
            time.sleep(0.005)
        os.write(terminal, answers.pop(0).encode() + b"\n")
        asked = len(shown)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// Nothing where there is no Python.
fn on_a_terminal(place: &Place, args: &[&str], answers: &[&str]) -> Option<Run> {
    let ours = place.command(args);
    let mut command = Command::new(tool(PYTHON)?);
    command.args(["-c", ON_A_TERMINAL, &serde_json::to_string(answers).unwrap()]).arg(ours.get_program());
    command.args(ours.get_args()).env_clear().env("TERM", "dumb").current_dir(place.dir.path());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("CIM_KEYS_OUTPUT", "text");
    Some(support::run(command, b""))
}

#[test]
fn a_passphrase_is_asked_for_and_asked_for_again() {
    let place = Place::new();
    let Some(run) = on_a_terminal(&place, &["custody", "test", "root"], &["wrong", ROOT]) else { return };
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("Passphrase of compartment root: ") && run.stdout.contains("opens compartment root"));
    assert!(run.stdout.contains("not its passphrase") && !run.stdout.contains(ROOT), "{run:?}");
    let run = on_a_terminal(&place, &["custody", "test", "root"], &["one", "two", "three"]).unwrap();
    assert!(run.code == 1 && run.stdout.contains("wrong passphrase"), "{run:?}");
}

#[test]
fn a_new_passphrase_is_typed_twice_or_generated() {
    let place = Place::new();
    let change = ["custody", "passphrase", "root"];
    let Some(run) = on_a_terminal(&place, &change, &[ROOT, "a new passphrase", "a nwe passphrase"]) else { return };
    assert!(run.code == 2 && run.stdout.contains("differ"), "{run:?}");
    let run = on_a_terminal(&place, &change, &[ROOT, "a new passphrase", "a new passphrase"]).unwrap();
    assert!(run.code == 0 && !run.stdout.contains("a new"), "{run:?}");
    let run = on_a_terminal(&place, &change, &["a new passphrase", ""]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let generated = run.stdout.lines().find_map(|line| line.trim().strip_prefix("root: ")).unwrap().to_owned();
    let run = on_a_terminal(&place, &["custody", "test", "root"], &[generated.trim()]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn generated_passphrases_are_shown_on_a_terminal_unasked() {
    let place = Place::empty();
    let Some(run) = on_a_terminal(&place, &["init", "--work-factor", "10"], &[]) else { return };
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("root: ") && run.stdout.contains("issuing: "), "{run:?}");
    // Without a terminal it has to be wanted.
    let other = Place::empty();
    other.run(&["init", "--work-factor", "10"]).fails(2, &["--show-passphrase"]);
    assert!(!other.ledger().exists());
}
