//! Each recording verb is killed at system calls that change the disk. No half-finished act is visible then, and the same verb,
//! run again, completes and leaves no residue.
//!
//! `CIM_KEYS_KILL_SEED=N` chooses other calls, `CIM_KEYS_KILL_ALL=1` takes all of them, `CIM_KEYS_KILL_AT=CALL:N` one; with
//! `CIM_KEYS_VERB=TEXT` only for the verbs whose name contains the text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cim_keys_testkit::kill_points::{self, KillPoint, KillPoints};
use cim_keys_testkit::tools::{STRACE, tool};
use serde_json::Value;

use super::each_at_once;
use super::recipes::{self, Recipe};
use super::world::{Prepared, World, names};
use crate::support::machine::NOBODY;

/// At how many points each verb is killed, unless all are asked for.
const POINTS: usize = 2;

/// How many verbs are killed at once: most of the time they wait for the disk.
const AT_ONCE: usize = 2;

/// The types of the events of one act, which have one correlation id.
type Act = Vec<String>;

/// The acts after the first `before` events of a ledger, in their order.
fn acts(events: &[Value], before: usize) -> Vec<Act> {
    let mut acts: Vec<(&Value, Act)> = Vec::new();
    for event in &events[before.min(events.len())..] {
        let (id, kind) = (&event["correlation_id"], event["type"].as_str().unwrap().to_owned());
        match acts.iter_mut().find(|(known, _)| *known == id) {
            Some((_, act)) => act.push(kind),
            None => acts.push((id, vec![kind])),
        }
    }
    acts.into_iter().map(|(_, act)| act).collect()
}

/// What an unkilled run leaves.
struct Whole {
    before: usize,
    acts: Vec<Act>,
    names: BTreeSet<PathBuf>,
}

/// What does not hold after a kill at one point.
fn kill(world: &World, recipe: &Recipe, whole: &Whole, points: &KillPoints, point: &KillPoint) -> Vec<String> {
    let mut wrong = Vec::new();
    let command = || world.command_on(recipe.ledger, &recipe.command());
    if !points.kill(point, &command()) {
        // It came to its end: threads take turns.
        return wrong;
    }
    let ledger = world.place.path(recipe.ledger).join("ledger.db").exists();
    let verified = world.run_on(recipe.ledger, "verify");
    // Before a ledger is made there is nothing to verify.
    let nothing_yet = whole.before == 0 && verified.code == 2;
    if verified.code != 0 && !nothing_yet {
        wrong.push(format!("verify: exit code {}: {}", verified.code, verified.stderr.trim()));
    }
    let listed = if ledger && !nothing_yet { world.try_events(recipe.ledger) } else { Ok(Vec::new()) };
    let there = acts(listed.as_deref().unwrap_or_default(), whole.before);
    if let Err(why) = &listed {
        wrong.push(format!("its events can't be listed: {}", why.trim()));
    }
    if !whole.acts.starts_with(&there) {
        wrong.push(format!("a half-finished act is visible: {there:?} of {:?}", whole.acts));
    }
    let again = world.run_on(recipe.ledger, &recipe.command());
    let done_before = there == whole.acts;
    // What is done already may be refused, as a second one of its name or the end of what has ended.
    let refused = done_before && matches!(again.code, 2 | 3) && !again.stderr.is_empty();
    if again.code != 0 && !refused {
        let done = if done_before { "all of it was recorded" } else { "not all of it was recorded" };
        wrong.push(format!("run again ({done}): exit code {}: {}", again.code, again.stderr.trim()));
    }
    if !done_before && again.code == 0 {
        let now = acts(&world.events(recipe.ledger), whole.before);
        let flat = |acts: &[Act]| {
            let mut types: Vec<String> = acts.concat();
            types.sort();
            types
        };
        if flat(&now) != flat(&whole.acts) {
            wrong.push(format!("run again, it comes to {now:?} instead of {:?}", whole.acts));
        }
    }
    if done_before {
        // It may have found that before it opened the ledger for writing; whatever does that next tidies up.
        world.run_on(recipe.ledger, "unit add Afterwards");
    }
    let custody = world.run_on(recipe.ledger, "custody check");
    if custody.code != 0 {
        wrong.push(format!("custody check: exit code {}: {}", custody.code, custody.stderr.trim()));
    }
    let stray: Vec<_> = ours(world, recipe).into_iter().filter(|name| !whole.names.contains(name)).collect();
    if !stray.is_empty() {
        let code = again.code;
        wrong.push(format!("files are left over: {stray:?}; run again it ended with {code}: {}", again.stderr.trim()));
    }
    wrong
}

/// Kills a verb at the chosen points, each in a world of its own.
fn kills(prepared: &Prepared, recipe: &Recipe) -> Result<(), String> {
    let Some(world) = World::of(prepared, recipe, NOBODY) else { return Ok(()) };
    let before = world.events(recipe.ledger).len();
    let Some(points) = KillPoints::of(&world.command_on(recipe.ledger, &recipe.command())) else { return Ok(()) };
    let acts = acts(&world.events(recipe.ledger), before);
    let whole = Whole { before, acts, names: ours(&world, recipe).into_iter().collect() };
    let chosen = points.choose(POINTS, recipe.verb);
    println!("{}: killed at {} of {} points", recipe.verb, chosen.len(), points.all().len());
    let mut wrong = String::new();
    for point in &chosen {
        let Some(world) = World::of(prepared, recipe, NOBODY) else { return Ok(()) };
        let found = kill(&world, recipe, &whole, &points, point);
        if !found.is_empty() {
            // At once as well, because all points take a while.
            println!("{}, {point}: {}", recipe.verb, found.join("; "));
            wrong.push_str(&format!("\n  {point}\n    {}", found.join("\n").replace('\n', "\n    ")));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The files of the ledger and of the program's state; what the verb writes elsewhere is the user's.
fn ours(world: &World, recipe: &Recipe) -> Vec<PathBuf> {
    let (ledger, state) = (world.place.path(recipe.ledger), world.place.path("state"));
    let named = |folder: &PathBuf| {
        let name = folder.file_name().unwrap().to_owned();
        names(folder).into_iter().map(move |file| Path::new(&name).join(file))
    };
    [ledger, state].iter().filter(|folder| folder.exists()).flat_map(named).collect()
}

#[test]
fn a_killed_verb_leaves_nothing_half_done_and_completes_when_run_again() {
    if tool(STRACE).is_none() {
        return;
    }
    let Some(prepared) = Prepared::get() else { return };
    println!("CIM_KEYS_KILL_SEED={}; CIM_KEYS_KILL_ALL=1 takes all points", kill_points::seed());
    each_at_once(AT_ONCE, recipes::recording(), |recipe| kills(&prepared, recipe));
}
