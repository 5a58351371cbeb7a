//! The tamper suite: seeded mutations at every layer of what is kept, each of which is found and named, or provably changes
//! nothing that a ledger says.
//!
//! `CIM_KEYS_TAMPER_SEEDS` says how many, `CIM_KEYS_TAMPER_FROM` from which on: `cargo xtask tamper --from SEED --seeds 1`
//! repeats a failure. Everything is made from constants and the seed, so that a seed is the same mutation everywhere.

mod archives;
mod heads;
mod history;
mod pages;
mod random;
mod rows;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;
use random::Random;

/// What became of a mutation.
enum Outcome {
    /// It is found, and told with these layers.
    Found(Vec<&'static str>),
    /// It is found when the file is opened or read, with this error.
    Refused(String),
    /// Nothing that a ledger says is changed, as a comparison of all that it says shows.
    Nothing,
}

/// What was done, and what became of it.
struct Told {
    /// The layer and the act, such as "rows: flip log.block".
    what: String,
    outcome: Result<Outcome, String>,
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn mutate(history: &History, seed: u64) -> Told {
    let mut random = Random::new(seed);
    match random.below(20) {
        0..8 => rows::mutate(history, &mut random),
        8..12 => pages::mutate(history, &mut random),
        12..16 => archives::mutate(history, &mut random),
        _ => heads::mutate(history, &mut random),
    }
}

#[test]
fn what_nobody_touched_holds() {
    let history = History::new();
    let report = history.verify().unwrap();
    assert!(report.ok(), "{report:#?}");
    assert_eq!(report.events, history.events.len() as u64);
    let (report, verified) = history.verify_archive(&history.archive);
    assert!(report.ok() && verified, "{report:#?}");
}

#[test]
fn every_mutation_is_found_and_named_or_changes_nothing() {
    let from = number("CIM_KEYS_TAMPER_FROM", 0);
    let until = from.saturating_add(number("CIM_KEYS_TAMPER_SEEDS", 10_000));
    let next = AtomicU64::new(from);
    let counts: Mutex<BTreeMap<String, [u64; 3]>> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let history = History::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until || failures.lock().unwrap().len() > 10 {
                        return;
                    }
                    let told = catch_unwind(AssertUnwindSafe(|| mutate(&history, seed)));
                    let Ok(Told { what, outcome }) = told else {
                        failures.lock().unwrap().push(format!("seed {seed}: it panics"));
                        continue;
                    };
                    if until - from == 1 {
                        println!("seed {seed}: {what}: {}", describe(&outcome));
                    }
                    let column = match outcome {
                        Ok(Outcome::Found(layers)) if !layers.is_empty() => 0,
                        Ok(Outcome::Refused(error)) if !error.is_empty() => 1,
                        Ok(Outcome::Nothing) => 2,
                        Ok(_) => {
                            failures.lock().unwrap().push(format!("seed {seed}: {what}: it is found and not named"));
                            continue;
                        }
                        Err(why) => {
                            failures.lock().unwrap().push(format!("seed {seed}: {what}: {why}"));
                            continue;
                        }
                    };
                    counts.lock().unwrap().entry(what).or_default()[column] += 1;
                }
            });
        }
    });
    println!("{:<44} {:>7} {:>7} {:>7}", "", "found", "refused", "nothing");
    for (what, [found, refused, nothing]) in counts.into_inner().unwrap() {
        println!("{what:<44} {found:>7} {refused:>7} {nothing:>7}");
    }
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} mutations pass; each repeats with `cargo xtask tamper --seeds 1 --from SEED`:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn describe(outcome: &Result<Outcome, String>) -> String {
    match outcome {
        Ok(Outcome::Found(layers)) => format!("found in {}", layers.join(", ")),
        Ok(Outcome::Refused(error)) => format!("refused: {error}"),
        Ok(Outcome::Nothing) => "changes nothing".into(),
        Err(why) => format!("PASSES: {why}"),
    }
}
