//! Prompts, on a real terminal.

use crate::support::{self, Place, ROOT, Run};

/// Nothing where there is no Python.
fn on_a_terminal(place: &Place, args: &[&str], answers: &[&str]) -> Option<Run> {
    let mut ours = place.command(args);
    ours.env("CIM_KEYS_OUTPUT", "text");
    let command = cim_keys_testkit::terminal::on_a_terminal(&ours, answers)?;
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
