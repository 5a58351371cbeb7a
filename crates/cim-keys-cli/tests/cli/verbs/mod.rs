//! What holds of every verb: each is run in a world of its own, as the program lists them, and none is left out.
//!
//! `CIM_KEYS_VERB=TEXT` runs only those whose name contains the text.

mod hints;
mod kills;
mod listed;
mod publishing;
mod recipes;
mod world;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cim_keys_testkit::NatsServer;
use recipes::{Class, Recipe};
use world::{Prepared, World};

use crate::support::machine::NOBODY;

#[test]
fn every_verb_has_a_recipe_and_every_recipe_a_verb() {
    let verbs = listed::all();
    let recipes: Vec<_> = recipes::all().map(|recipe| recipe.verb.to_owned()).collect();
    let known: BTreeSet<_> = recipes.iter().cloned().collect();
    assert_eq!(recipes.len(), known.len(), "a verb has two recipes");
    let without: Vec<_> = verbs.difference(&known).collect();
    let unknown: Vec<_> = known.difference(&verbs).collect();
    assert!(without.is_empty(), "these verbs have no recipe in tests/cli/verbs/recipes: {without:?}");
    assert!(unknown.is_empty(), "these recipes are of verbs that the program has not: {unknown:?}");
    println!("{} verbs, {} of them record", verbs.len(), recipes::recording().count());
}

#[test]
fn what_is_not_said_to_record_records_nothing() {
    let Some(prepared) = Prepared::get() else { return };
    let Some(server) = NatsServer::run() else { return };
    let others = recipes::all().filter(|recipe| recipe.class != Class::Records);
    each(others, |recipe| {
        publishing::forget(&server);
        let url = if recipe.class == Class::Online { server.url() } else { NOBODY.to_owned() };
        let Some(world) = World::of(&prepared, recipe, &url) else { return Ok(()) };
        let _end = End(&world, recipe);
        let recorded = || ["acme", "own", "new", "copy", "restored"].map(|ledger| world.events(ledger).len());
        let before = recorded();
        let done = match recipe.class {
            Class::Watches => watch(recipe, &world),
            _ => {
                let run = world.run_on(recipe.ledger, &recipe.command());
                if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
            }
        };
        done?;
        if recorded() == before { Ok(()) } else { Err(format!("it records: {before:?} to {:?}", recorded())) }
    });
}

/// Ends what a verb leaves running, whatever comes of the test.
struct End<'w>(&'w World, &'w Recipe);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let Self(world, recipe) = self;
        recipe.after.iter().for_each(|args| drop(world.run_on(recipe.ledger, args)));
    }
}

/// Starts what goes on by itself, waits for its first line, and ends it.
fn watch(recipe: &Recipe, world: &World) -> Result<(), String> {
    let mut command = world.command_on(recipe.ledger, &recipe.command());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    if line.is_empty() { Err("it says nothing".to_owned()) } else { Ok(()) }
}

/// Tries each verb, one after another, and fails with everything that does not hold.
#[track_caller]
fn each<'r>(recipes: impl Iterator<Item = &'r Recipe>, check: impl Fn(&'r Recipe) -> Result<(), String> + Sync) {
    each_at_once(1, recipes, check);
}

/// The same, several at once.
#[track_caller]
fn each_at_once<'r>(
    workers: usize,
    recipes: impl Iterator<Item = &'r Recipe>,
    check: impl Fn(&'r Recipe) -> Result<(), String> + Sync,
) {
    let only = std::env::var("CIM_KEYS_VERB").unwrap_or_default();
    let recipes: Vec<_> = recipes.filter(|recipe| recipe.verb.contains(&only)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(recipe) = recipes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = catch_unwind(AssertUnwindSafe(|| check(recipe)));
                    // A helper that can't go on has said so on standard error.
                    let Err(why) = checked.unwrap_or_else(|_| Err("the check panicked, see above".to_owned())) else {
                        continue;
                    };
                    failures.lock().unwrap().push(format!("{}: {why}", recipe.verb));
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} verbs:\n{}", failures.len(), recipes.len(), failures.join("\n"));
}
