//! Running tests, benches and simulations, with the tools that they need named in their environment.

use crate::Result;
use crate::shell::{cargo, root, run};
use crate::{fuzz, tools};

/// The variable that names the folder of other people's test vectors.
const VECTORS: &str = "CIM_KEYS_VECTORS";

/// `cargo test --workspace`, and what a person adds to it.
pub(crate) fn test(arguments: &[String]) -> Result {
    let tools = tools::fetch()?;
    let mut command = cargo(&["test", "--workspace"]);
    tools.name_in(&mut command);
    if let Some(vectors) = vectors() {
        command.env(VECTORS, vectors);
    } else {
        eprintln!("the test vectors of other projects are those in tests/ only; {VECTORS} may name a folder of more");
    }
    let done = run(command.args(arguments));
    tools.remind();
    done
}

/// What runs by seed in the tests, in full: the tests once, a kill at every write of every verb, and long simulations.
pub(crate) fn nightly() -> Result {
    test(&[])?;
    let tools = tools::fetch()?;
    let mut command = cargo(&["test", "--package", "cim-keys-cli", "--test", "cli"]);
    tools.name_in(&mut command);
    run(command.env("CIM_KEYS_KILL_ALL", "1").args(["--", "--nocapture", "verbs::kills::"]))?;
    simulate(500_000, 0)?;
    tamper(100_000, 0)?;
    fuzz::fuzz(300, None)
}

/// `cargo bench` of one bench, or of all.
pub(crate) fn bench(name: Option<&str>, arguments: &[String]) -> Result {
    let tools = tools::fetch()?;
    // Those that run the program are its package's.
    let of_program = |name: &str| root().join("crates/cim-keys-cli/benches").join(name).with_extension("rs").exists();
    let mut command = match name {
        Some(name) if of_program(name) => cargo(&["bench", "--package", "cim-keys-cli", "--bench", name]),
        Some(name) => cargo(&["bench", "--package", "cim-keys", "--bench", name]),
        None => cargo(&["bench", "--package", "cim-keys", "--package", "cim-keys-cli", "--benches"]),
    };
    tools.name_in(&mut command);
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    run(&mut command)
}

/// The simulator's test, over as many seeds as asked for, optimised.
pub(crate) fn simulate(seeds: u64, from: u64) -> Result {
    let mut command = cargo(&["test", "--release", "--package", "cim-keys", "--test", "library"]);
    command.env("CIM_KEYS_SIMULATE_SEEDS", seeds.to_string()).env("CIM_KEYS_SIMULATE_FROM", from.to_string());
    run(command.args([
        "--",
        "--nocapture",
        "delivery_simulation::every_schedule_delivers_everything_once_and_in_order",
    ]))
}

/// The tamper suite, over as many mutations as asked for, optimised when there are many.
pub(crate) fn tamper(seeds: u64, from: u64) -> Result {
    let mut arguments = vec!["test", "--package", "cim-keys", "--test", "library"];
    if seeds > 10_000 {
        arguments.push("--release");
    }
    let mut command = cargo(&arguments);
    command.env("CIM_KEYS_TAMPER_SEEDS", seeds.to_string()).env("CIM_KEYS_TAMPER_FROM", from.to_string());
    run(command.args(["--", "--nocapture", "tamper::every_mutation_is_found_and_named_or_changes_nothing"]))
}

/// The folder of vectors: as the environment says, else the one that lies beside the repository.
fn vectors() -> Option<std::path::PathBuf> {
    if let Some(given) = std::env::var_os(VECTORS) {
        return Some(given.into());
    }
    let beside = root().parent()?.join("shared").join("vectors");
    beside.is_dir().then_some(beside)
}
