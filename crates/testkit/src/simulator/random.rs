//! Long random ways through a world, each from one number.

use std::collections::BTreeSet;
use std::fmt;

use cim_keys::delivery::{Mode, Rules};

use super::{Action, Budget, Mutant, Scenario, World};

/// What went wrong on one way.
#[derive(Debug, Clone)]
pub struct Report {
    /// The number that it began with.
    pub seed: u64,
    /// What did not hold.
    pub problem: String,
    /// The world's make.
    pub scenario: Scenario,
    /// What happened until then.
    pub actions: Vec<Action>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.problem)?;
        writeln!(f, "{:#?}", self.scenario)?;
        for action in &self.actions {
            writeln!(f, "  {action:?}")?;
        }
        write!(f, "to see it again: cargo xtask simulate --seeds 1 --from {}", self.seed)
    }
}

/// Goes one way and looks at what must hold, after every step and in the end.
///
/// # Errors
/// With what did not hold, and how it came to that.
pub fn run_seed(seed: u64, mutant: Option<Mutant>) -> Result<(), Box<Report>> {
    let mut random = Random(seed);
    let scenario = scenario(&mut random, mutant);
    let mut world = World::new(scenario.clone());
    let mut taken = Vec::new();
    let report = |problem, actions| Box::new(Report { seed, problem, scenario: scenario.clone(), actions });
    for _ in 0..random.below(120) {
        let actions = world.actions();
        // Faults are many kinds and progress few: half of the steps are progress, so that runs get somewhere.
        let progress = world.progress();
        let from = if random.below(2) == 0 && !progress.is_empty() { &progress } else { &actions };
        if from.is_empty() {
            break;
        }
        let action = from[random.below(from.len() as u64) as usize];
        taken.push(action);
        world.act(action);
        if let Err(problem) = world.check() {
            return Err(report(problem, taken));
        }
    }
    world.settle().map(drop).map_err(|problem| report(problem, taken))
}

fn scenario(random: &mut Random, mutant: Option<Mutant>) -> Scenario {
    let mode = match random.below(4) {
        0 => Mode::Classic,
        1 => Mode::Atomic,
        _ => Mode::Fast,
    };
    let length = random.below(8);
    let mut logs = vec![length];
    let mut forks_at = None;
    let mut drainers = vec![0];
    // What only shows where two drainers and a stranger meet is looked for there, among many small batches.
    let meeting = mutant == Some(Mutant::OpensWithoutHead);
    match if meeting { 0 } else { random.below(6) } {
        // A second drainer of the same log. An older server gets one drainer only.
        0 | 1 if mode != Mode::Classic => drainers.push(0),
        // A copy that is behind, or that went its own way.
        2 => {
            let copied = random.below(length + 1);
            logs.push(copied);
            forks_at = (random.below(2) == 0).then(|| random.below(copied + 1) + 1);
            // A copy that goes on growing by itself has to differ from the original: two machines make two events.
            drainers.push(1);
        }
        _ => {}
    }
    let alone = logs.len() == 1;
    let single = drainers.len() == 1;
    let poison = if alone && random.below(3) == 0 {
        (0..=random.below(2)).map(|_| 1 + random.below(8)).collect()
    } else {
        BTreeSet::new()
    };
    let mut some = |of: u64| u8::try_from(random.below(of + 1)).unwrap_or(0);
    let mut budget = Budget {
        cuts: some(3),
        silences: some(2),
        tears: some(2),
        parts: some(4),
        restarts: some(2),
        losses: some(3),
        others: some(3),
        crashes: some(2),
        refusals: some(2),
        retries: some(2),
        ..Budget::default()
    };
    // Faults after which the stream can't tell everything are for worlds without those that lose what it has told.
    match if meeting { 3 } else { some(7) } {
        0 => budget = Budget { head_purges: 2, losses: 0, ..budget },
        1 if single => budget = Budget { purges: 1, losses: 0, ..budget },
        2 if alone => budget = Budget { recreations: 1, ..budget },
        // A stream that others fill all the time.
        3 | 4 if single => budget = Budget { others: 20, ..budget },
        3 | 4 => budget = Budget { others: 30, tears: 0, parts: 30, ..budget },
        _ => {}
    }
    if !single && budget.tears > 0 {
        // Where others keep moving the stream's last sequence it is not expected any more, and then two drainers of one log
        // can't tell a batch of the other that tore a moment ago.
        budget.others = 0;
    }
    let grow_to = length + if forks_at.is_none() && !alone { 0 } else { random.below(6) };
    let max_events = 1 + random.below(6) as usize;
    let max_retries = 1 + random.below(3) as u32;
    let fast_from = 1 + random.below(2) as usize;
    let pace_us = if random.below(4) == 0 { 1_000 } else { 0 };
    let fast_times = if meeting { 1 } else { 1 + random.below(4) as usize };
    let rules = Rules { max_events, fast_from, fast_times, max_retries, ..Rules::default() };
    let mut old_stays = false;
    let keyed = matches!(mutant, Some(Mutant::ForgetsEarlier | Mutant::TrustsEarlier | Mutant::HidesSuccessor));
    // What is purged can't be found again under the key before, and what is parked may be retried under either.
    if !meeting && alone && poison.is_empty() && budget.purges == 0 && (keyed || random.below(4) == 0) {
        budget.recoveries = 1;
        // To the old machine the new one is another writer.
        old_stays = (single || budget.tears == 0) && random.below(3) == 0;
    }
    Scenario { mode, logs, forks_at, drainers, grow_to, poison, budget, old_stays, rules, pace_us, mutant }
}

/// SplitMix64: the same numbers from the same seed in every release of every library.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
