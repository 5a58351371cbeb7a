//! The repository's own commands: `cargo xtask test|nightly|tools|tidy|features|bench|simulate|tamper|fuzz`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod features;
mod fuzz;
mod shell;
mod test;
mod tidy;
mod tools;

/// What any of the commands returns: nothing, or a sentence for the person who ran it.
type Result<T = ()> = std::result::Result<T, String>;

/// The repository's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch what the tests need, and run all of them
    Test {
        /// Passed on to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the tests, and what they take by seed in full: a kill at every write, long simulations and fuzzing; hours
    Nightly,
    /// Fetch what the tests need, and print the environment that names it
    Tools,
    /// Check the rules of this repository
    Tidy,
    /// Check every set of features, and what the lean build pulls in
    Features {
        /// Run clippy with warnings as errors, and not only the compiler
        #[arg(long)]
        clippy: bool,
    },
    /// Run the benches, all of them or one
    Bench {
        /// The bench's name, as in `benches/`
        name: Option<String>,
        /// Passed on to the bench
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run the publisher's state machine over random schedules
    Simulate {
        /// How many schedules
        #[arg(long, default_value_t = 20_000)]
        seeds: u64,
        /// The first seed; with `--seeds 1` a failure is repeated
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Tamper with ledgers, archives and heads at random, and see that each change is found
    Tamper {
        /// How many mutations
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// The first seed; with `--seeds 1` a failure is repeated
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Feed the decoders random input, each fuzz target for a while
    Fuzz {
        /// For how long, each
        #[arg(long, default_value_t = 20)]
        seconds: u32,
        /// Only this target
        target: Option<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Task::Test { arguments } => test::test(&arguments),
        Task::Nightly => test::nightly(),
        Task::Tools => tools::fetch().map(|tools| tools.print()),
        Task::Tidy => tidy::tidy(),
        Task::Features { clippy } => features::features(clippy),
        Task::Bench { name, arguments } => test::bench(name.as_deref(), &arguments),
        Task::Simulate { seeds, from } => test::simulate(seeds, from),
        Task::Tamper { seeds, from } => test::tamper(seeds, from),
        Task::Fuzz { seconds, target } => fuzz::fuzz(seconds, target.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
