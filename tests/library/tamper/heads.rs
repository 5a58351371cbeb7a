//! Heads and their signatures: in the ledger, given beside it, and under proofs.

use cim_keys::app::log::{self, Disclose, Requirements};
use cim_keys::log::{Checkpoint, KeyKind, KeyName, SignedCheckpoint, VerifierKey};
use cim_keys::store::{Demands, Extent, Which};
use rusqlite::Connection;

use super::history::{History, content, secret, signer};
use super::random::Random;
use super::{Outcome, Told};

pub(crate) fn mutate(history: &History, random: &mut Random) -> Told {
    for _ in 0..200 {
        let told = match random.below(4) {
            0 => given(history, random),
            1 => proof(history, random),
            _ => kept(history, random),
        };
        if let Some(told) = told {
            return told;
        }
    }
    Told { what: "heads".into(), outcome: Err("no act has any effect".into()) }
}

/// The heads that the ledger keeps.
fn kept(history: &History, random: &mut Random) -> Option<Told> {
    let connection = history.tamper();
    let notes = notes(&connection);
    let at = random.below(notes.len());
    let (size, note) = notes[at].clone();
    let write = |size: u64, note: &str| {
        connection.execute("UPDATE checkpoint SET note = ?2 WHERE size = ?1", (size, note)).unwrap();
    };
    let what = if random.below(5) == 0 {
        let (one, other) = random.two(notes.len());
        write(notes[one].0, &notes[other].1);
        write(notes[other].0, &notes[one].1);
        "swap two heads"
    } else if random.below(5) == 0 {
        let other = size ^ (1 << random.below(8));
        let copied = connection.execute("INSERT INTO checkpoint (size, note) VALUES (?1, ?2)", (other, &note));
        copied.ok()?;
        "duplicate a head under another size"
    } else {
        let (what, changed) = changed(history, &note, random)?;
        write(size, &changed);
        what
    };
    let same = content(&connection).is_ok_and(|content| content == history.content);
    drop(connection);
    if same {
        return None;
    }
    let outcome = match history.verify() {
        Ok(report) if report.ok() => Err("it passes".into()),
        Ok(report) => {
            let named: Vec<_> = report.problems.iter().map(|problem| problem.layer.as_str()).collect();
            match named.iter().any(|name| ["checkpoint", "signature", "policy"].contains(name)) {
                true => Ok(Outcome::Found(named)),
                false => Err(format!("it is found in {named:?} only")),
            }
        }
        Err(error) => Ok(Outcome::Refused(error)),
    };
    Some(Told { what: format!("heads: {what}"), outcome })
}

/// A checkpoint that the auditor brings along.
fn given(history: &History, random: &mut Random) -> Option<Told> {
    drop(history.tamper());
    let note = history.newest.to_string();
    let (what, changed) = changed(history, &note, random)?;
    let what = format!("given checkpoint: {what}");
    let outcome = match changed.parse::<SignedCheckpoint>() {
        Err(error) => Ok(Outcome::Refused(error.to_string())),
        Ok(against) => {
            let demands = Demands { extent: Extent::Events, against: Some(&against), policy: None };
            match history.verify_against(&demands) {
                // The witness's line is no part of what it is compared with: head and signature are the ledger's.
                Ok(report) if report.ok() => match against.verify(&history.key) {
                    Ok(()) if against.checkpoint() == history.newest.checkpoint() => Ok(Outcome::Nothing),
                    _ => Err("it passes".into()),
                },
                Ok(report) => {
                    Ok(Outcome::Found(report.problems.iter().map(|problem| problem.layer.as_str()).collect()))
                }
                Err(error) => Ok(Outcome::Refused(error)),
            }
        }
    };
    Some(Told { what, outcome })
}

/// A proof of an event, as somebody shows it.
fn proof(history: &History, random: &mut Random) -> Option<Told> {
    drop(history.tamper());
    let store = history.open();
    let position = 1 + random.below(history.events.len()) as u64;
    let proof = log::prove(&store, &Which::Position(position), Disclose::Event).unwrap().to_string();
    let requirements = Requirements {
        key: history.key.clone(),
        witnesses: Vec::new(),
        policy: Some(history.policy.clone()),
        before: None,
        from: None,
    };
    let whole = log::check(&proof, &requirements).unwrap();
    let lines: Vec<&str> = proof.split_inclusive('\n').collect();
    let (what, changed) = match random.below(5) {
        0 => ("drop a line", without(&lines, random.below(lines.len()))),
        1 => {
            let (one, other) = random.two(lines.len());
            let mut lines = lines;
            lines.swap(one, other);
            ("swap two lines", lines.concat())
        }
        2 => {
            let at = random.below(lines.len());
            ("duplicate a line", lines[..=at].iter().chain(&lines[at..]).copied().collect())
        }
        3 => ("truncate", cut(&proof, random)),
        _ => ("flip a bit", flipped(&proof, random)?),
    };
    if changed == proof {
        return None;
    }
    let outcome = match log::check(&changed, &requirements) {
        Err(error) => Ok(Outcome::Refused(error.to_string())),
        Ok(checked) if checked == whole => Ok(Outcome::Nothing),
        Ok(checked) => Err(format!("it passes, and proves something else: {checked:?}")),
    };
    Some(Told { what: format!("proof: {what}"), outcome })
}

/// A note that is otherwise than it was signed, or signed by somebody else.
fn changed(history: &History, note: &str, random: &mut Random) -> Option<(&'static str, String)> {
    let signed: SignedCheckpoint = note.parse().unwrap();
    let lines: Vec<&str> = note.split_inclusive('\n').collect();
    let (what, changed) = match random.below(8) {
        0 => ("drop a line", without(&lines, random.below(lines.len()))),
        1 => ("truncate", cut(note, random)),
        2 => {
            // In the ledger's name, with a key that is not its own.
            let intruder = secret("an intruder");
            let head = signed.checkpoint();
            let key = VerifierKey::new(head.origin.clone(), KeyKind::Ledger, intruder.verifying_key());
            ("re-sign with another key", head.sign(&key, &*signer(&intruder)).unwrap().to_string())
        }
        3 => {
            // The ledger's own key, under a head that is not that of the events.
            let second = secret("the second key");
            let root = [random.below(256) as u8; 32];
            let head = Checkpoint { root, ..signed.checkpoint().clone() };
            ("re-sign another root", head.sign(&history.key, &*signer(&second)).unwrap().to_string())
        }
        4 => {
            let second = secret("the second key");
            let head = Checkpoint { size: signed.size() + 1, ..signed.checkpoint().clone() };
            ("re-sign another size", head.sign(&history.key, &*signer(&second)).unwrap().to_string())
        }
        5 => {
            let intruder = secret("an intruder");
            let name = KeyName::new("vault.example/witness").unwrap();
            let key = VerifierKey::new(name, KeyKind::Witness, intruder.verifying_key());
            let mut forged = signed.checkpoint().sign(&history.key, &*signer(&secret("the second key"))).unwrap();
            forged.add_signature(&key, &*signer(&intruder), "2026-03-01T00:00:00.000000Z".parse().unwrap()).unwrap();
            ("re-sign in the witness's name", forged.to_string())
        }
        _ => ("flip a bit", flipped(note, random)?),
    };
    // A head without a witness, signed by the ledger again, is the very same.
    (changed != note).then_some((what, changed))
}

fn notes(connection: &Connection) -> Vec<(u64, String)> {
    let mut statement = connection.prepare("SELECT size, note FROM checkpoint ORDER BY size").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn without(lines: &[&str], at: usize) -> String {
    lines[..at].iter().chain(&lines[at + 1..]).copied().collect()
}

fn cut(text: &str, random: &mut Random) -> String {
    String::from_utf8_lossy(&text.as_bytes()[..random.below(text.len())]).into_owned()
}

fn flipped(text: &str, random: &mut Random) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    random.flip(&mut bytes);
    String::from_utf8(bytes).ok()
}
