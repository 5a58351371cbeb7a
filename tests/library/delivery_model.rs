//! Every state of small worlds: whatever can happen, in whatever order, as often as the budget allows.
//!
//! In each state that can be reached, what must hold at every moment is looked at; and from each, with all faults ended,
//! the world is run to its end and what must hold there is looked at. So the promise is checked for every interleaving of
//! a few events, cuts, lost answers, torn batches and restarts, by the code that talks to real servers.

use std::collections::BTreeSet;

use cim_keys::delivery::{Mode, Rules};
use cim_keys_testkit::simulator::{Action, Budget, Scenario, World};
use stateright::{Checker, Model, Property};

struct Bounded(Scenario);

impl Model for Bounded {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.0.clone())]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend(world.actions());
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing twice, in order, heads tell the truth", |_, world: &World| world.check().is_ok()),
            Property::always("nothing lost, and it ends", |_, world: &World| world.settle().is_ok()),
        ]
    }
}

fn scenario(mode: Mode, events: u64, drainers: usize, budget: Budget) -> Scenario {
    Scenario {
        mode,
        logs: vec![events],
        forks_at: None,
        drainers: vec![0; drainers],
        grow_to: events,
        poison: BTreeSet::new(),
        budget,
        old_stays: false,
        rules: Rules { max_events: 2, fast_from: 1, fast_times: 1, max_retries: 1, ..Rules::default() },
        pace_us: 0,
        mutant: None,
    }
}

fn check(name: &str, scenario: Scenario) {
    let checker = Bounded(scenario).checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states, {} deep", checker.unique_state_count(), checker.max_depth());
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        let last = path.last_state().clone();
        let problem = last.check().and_then(|()| last.settle().map(drop));
        panic!("{name}: \"{property}\" does not hold: {problem:?}\n{:#?}", path.into_actions());
    }
}

#[test]
fn a_batch_may_tear_and_be_completed() {
    let budget = Budget { cuts: 1, tears: 1, restarts: 1, others: 1, ..Budget::default() };
    check("atomic", scenario(Mode::Atomic, 3, 1, budget));
    let budget = Budget { cuts: 1, silences: 1, tears: 1, others: 1, ..Budget::default() };
    check("classic", scenario(Mode::Classic, 3, 1, budget));
}

#[test]
fn a_fast_batch_comes_in_parts_and_others_get_in_between() {
    let budget = Budget { cuts: 1, parts: 2, others: 1, ..Budget::default() };
    check("fast", scenario(Mode::Fast, 5, 1, budget));
    check("classic", scenario(Mode::Classic, 3, 1, budget));
    let budget = Budget { silences: 1, tears: 1, restarts: 1, ..Budget::default() };
    check("fast", scenario(Mode::Fast, 5, 1, budget));
    let budget = Budget { parts: 1, head_purges: 1, cuts: 1, ..Budget::default() };
    check("fast, heads purged", scenario(Mode::Fast, 5, 1, budget));
    let budget = Budget { parts: 1, crashes: 1, ..Budget::default() };
    check("fast, two drainers", scenario(Mode::Fast, 3, 2, budget));
    let budget = Budget { parts: 1, cuts: 1, retries: 1, ..Budget::default() };
    check("fast, refused", Scenario { poison: BTreeSet::from([4]), ..scenario(Mode::Fast, 5, 1, budget) });
}

#[test]
fn what_was_acknowledged_may_be_lost() {
    let budget = Budget { cuts: 1, silences: 1, restarts: 2, losses: 3, ..Budget::default() };
    check("atomic", scenario(Mode::Atomic, 3, 1, budget));
}

#[test]
fn two_drainers_share_a_log_and_one_dies() {
    let budget = Budget { tears: 1, crashes: 1, ..Budget::default() };
    check("atomic", scenario(Mode::Atomic, 2, 2, budget));
}

#[test]
fn an_event_that_is_refused_is_parked_and_retried() {
    let budget = Budget { cuts: 1, tears: 1, crashes: 1, retries: 1, ..Budget::default() };
    check("atomic", Scenario { poison: BTreeSet::from([2]), ..scenario(Mode::Atomic, 3, 1, budget) });
    check("classic", Scenario { poison: BTreeSet::from([2]), ..scenario(Mode::Classic, 3, 1, budget) });
}

#[test]
fn heads_are_purged_everything_is_purged_the_stream_is_made_anew() {
    let budget = Budget { cuts: 1, silences: 1, tears: 1, ..Budget::default() };
    check("heads", scenario(Mode::Atomic, 3, 1, Budget { head_purges: 1, ..budget }));
    check("all", scenario(Mode::Atomic, 3, 1, Budget { purges: 1, crashes: 1, silences: 0, ..budget }));
    check("anew", scenario(Mode::Atomic, 3, 1, Budget { recreations: 1, ..budget }));
}

#[test]
fn a_copied_log_is_behind_or_goes_its_own_way() {
    let budget = Budget { silences: 1, tears: 1, ..Budget::default() };
    let copied = Scenario { logs: vec![2, 1], drainers: vec![0, 1], ..scenario(Mode::Atomic, 2, 1, budget) };
    check("behind", copied.clone());
    check("forked", Scenario { forks_at: Some(2), logs: vec![2, 2], ..copied });
}

#[test]
fn a_recovered_ledger_goes_on_under_a_new_key_behind_what_stands_under_the_old_one() {
    let budget = Budget { recoveries: 1, cuts: 1, tears: 1, ..Budget::default() };
    check("atomic", scenario(Mode::Atomic, 2, 1, budget));
    let budget = Budget { recoveries: 1, parts: 1, ..Budget::default() };
    check("fast", scenario(Mode::Fast, 2, 1, budget));
    check("classic", scenario(Mode::Classic, 2, 1, budget));
    let budget = Budget { recoveries: 1, restarts: 1, losses: 2, ..Budget::default() };
    check("what was acknowledged is lost", scenario(Mode::Atomic, 2, 1, budget));
    let budget = Budget { recoveries: 1, head_purges: 1, ..Budget::default() };
    check("heads are purged", scenario(Mode::Atomic, 2, 1, budget));
    let budget = Budget { recoveries: 1, cuts: 1, ..Budget::default() };
    check("the old machine stays", Scenario { old_stays: true, ..scenario(Mode::Atomic, 2, 1, budget) });
}
