//! No hint holds text from outside, except as one quoted word.

use super::recipes::{self, Class};
use super::world::{Prepared, World};
use crate::support::machine::NOBODY;
use crate::support::run;

/// What stands in the place of each argument of each verb.
const HOSTILE: &str = "zzz; run sh -c marker";

#[test]
fn an_argument_is_never_shown_as_a_hint() {
    let Some(prepared) = Prepared::get() else { return };
    let (mut runs, mut errors) = (0, 0);
    for recipe in recipes::all().filter(|recipe| !matches!(recipe.class, Class::Watches | Class::Online)) {
        // Preparations that need a server are left out: what is wrong is reported before they would matter.
        if recipe.before.iter().chain([&recipe.args]).any(|args| args.contains("-url}")) {
            continue;
        }
        let Some(world) = World::of(&prepared, recipe, NOBODY) else { return };
        let (verb, args) = (recipe.verb.split_whitespace(), recipe.args.split_whitespace().collect::<Vec<_>>());
        for place in (0..args.len()).filter(|place| !args[*place].starts_with('-')) {
            let words = args.iter().enumerate().map(|(at, word)| if at == place { HOSTILE } else { *word });
            let mut command = world.command_of(recipe.ledger, verb.clone().chain(words));
            command.env("CIM_KEYS_OUTPUT", "json");
            let done = run(command, b"");
            runs += 1;
            for line in done.stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
                errors += usize::from(line.get("error").is_some());
                let hints = line["error"]["hints"].as_array().cloned().unwrap_or_default();
                for hint in hints.iter().filter_map(|hint| hint.as_str()) {
                    let bare = hint.replace(&format!("'{HOSTILE}'"), "");
                    assert!(!bare.contains("marker"), "{} with argument {place}: {hint}", recipe.verb);
                }
            }
        }
        recipe.after.iter().for_each(|args| drop(world.run_on(recipe.ledger, args)));
    }
    println!("{runs} runs, {errors} of them end with an error of ours");
    assert!(errors > 50, "{errors} of {runs}");
}
