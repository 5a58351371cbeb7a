//! Long random ways through the simulated world, many thousands of them.

use cim_keys_testkit::simulator::{Mutant, run_seed};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn every_schedule_delivers_everything_once_and_in_order() {
    let from = number("CIM_KEYS_SIMULATE_FROM", 0);
    let seeds = number("CIM_KEYS_SIMULATE_SEEDS", 20_000);
    for seed in from..from.saturating_add(seeds) {
        if let Err(report) = run_seed(seed, None) {
            panic!("{report}");
        }
    }
}

#[test]
fn every_mistake_of_a_driver_is_noticed() {
    for mutant in [
        Mutant::SkipsTail,
        Mutant::ReadsStaleHead,
        Mutant::ExpectsNothing,
        Mutant::ForgetsLastSequence,
        Mutant::ComparesNothing,
        Mutant::ParksWhenFull,
        Mutant::TrustsItself,
        Mutant::ForgetsParked,
        Mutant::OpensWithoutHead,
        Mutant::TiesNothing,
        Mutant::ForgetsEarlier,
        Mutant::TrustsEarlier,
        Mutant::HidesSuccessor,
    ] {
        let found = (0..40_000).find_map(|seed| run_seed(seed, Some(mutant)).err());
        let report = found.unwrap_or_else(|| panic!("{mutant:?} goes unnoticed"));
        println!("{mutant:?} is noticed at seed {}: {}", report.seed, report.problem);
    }
}
