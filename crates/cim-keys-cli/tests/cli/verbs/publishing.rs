//! After a verb has recorded, either everything is published or its answer says how many events wait; its exit code is the
//! same either way.

use cim_keys_testkit::NatsServer;

use super::each;
use super::recipes;
use super::world::{Prepared, World};
use crate::support::machine::NOBODY;
use crate::support::{Run, STREAM};

/// Deletes the stream, so that the next world finds a server on which nothing was published.
pub(crate) fn forget(server: &NatsServer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        // There is none yet for the first.
        let _ = client.request(format!("$JS.API.STREAM.DELETE.{STREAM}"), "".into()).await.unwrap();
    });
}

/// How many events wait, as a verb's answer says it: `1 event waits`, `7 events wait`.
fn said_to_wait(run: &Run) -> Option<u64> {
    let said = format!("{}\n{}", run.stdout, run.stderr);
    let words: Vec<&str> = said.split_whitespace().collect();
    words.windows(3).find_map(|words| match words {
        [count, "event" | "events", verb] if verb.starts_with("wait") => count.parse().ok(),
        _ => None,
    })
}

/// Runs a verb, which has to record and to succeed; then nothing waits that it has not reported.
fn run(world: &World, recipe: &recipes::Recipe) -> Result<(Run, u64), String> {
    let before = world.events(recipe.ledger).len();
    let run = world.run_on(recipe.ledger, &recipe.command());
    if run.code != 0 {
        return Err(format!("exit code {}: {}", run.code, run.stderr.trim()));
    }
    if world.events(recipe.ledger).len() <= before {
        return Err(format!("it records nothing: {}", run.stdout.trim()));
    }
    let (queued, said) = (world.queued(recipe.ledger), said_to_wait(&run));
    match said {
        None if queued > 0 => Err(format!("{queued} events wait, and it does not say so")),
        Some(said) if said != queued => Err(format!("{queued} events wait, and it says {said}")),
        _ => Ok((run, queued)),
    }
}

#[test]
fn after_a_verb_records_with_a_server_nothing_waits_unreported() {
    let Some(prepared) = Prepared::get() else { return };
    let Some(server) = NatsServer::run() else { return };
    each(recipes::recording(), |recipe| {
        forget(&server);
        let Some(world) = World::of(&prepared, recipe, &server.url()) else { return Ok(()) };
        run(&world, recipe).map(drop)
    });
}

#[test]
fn a_verb_records_without_a_server_and_says_what_waits() {
    let Some(prepared) = Prepared::get() else { return };
    each(recipes::recording(), |recipe| {
        let Some(world) = World::of(&prepared, recipe, NOBODY) else { return Ok(()) };
        match run(&world, recipe)? {
            (_, 0) => Err("nothing waits, although nothing can be published".to_owned()),
            _ => Ok(()),
        }
    });
}
