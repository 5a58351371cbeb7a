//! `state` and `diff`: the organisation as it was at some moment, and what changed between two.

use std::path::Path;

use cim_keys::app::state::{self, Difference, Moment, StateAt, StateError};
use cim_keys::store::Store;
use cim_keys::time::Timestamp;
use clap::Args;
use serde_json::{Value, json};

use super::input::read_checkpoint;
use super::log::told as log_told;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

const MOMENT: &str = "a position, a date (2026-03-01) or time (RFC 3339), or the file of a signed checkpoint";

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// When: a position, a date or time, or the file of a signed checkpoint; without it, now
    #[arg(long, value_name = "DATE|POSITION|CHECKPOINT")]
    at: Option<String>,
    /// Only this kind: person, key, role, nats_account, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Also what had ended by then
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The earlier moment: a position, a date or time, or the file of a signed checkpoint
    #[arg(value_name = "A")]
    from: String,
    /// The later one; without it, now
    #[arg(value_name = "B")]
    to: Option<String>,
}

pub(crate) fn run(args: &StateArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let at = at(session.store(), args.at.as_deref())?;
    let wanted = |kind: &str| args.kind.as_deref().is_none_or(|wanted| wanted == kind);
    if let Some(kind) = &args.kind
        && cim_keys::ledger::Kind::from_word(kind).is_none()
    {
        let known: Vec<_> = cim_keys::ledger::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(
            CliError::usage(format!("there is no kind \"{kind}\"")).hint(format!("one of {}", known.join(", ")))
        );
    }
    let mut rows = Vec::new();
    ui.object(&json!({ "position": at.position, "time": at.time.map(|time| time.to_string()) }))?;
    for (reference, entity) in at.state.entities() {
        if !wanted(reference.kind.as_str()) || !args.all && !entity.is_active() {
            continue;
        }
        let object = cim_keys::app::describe::entity(entity);
        ui.object(&object)?;
        rows.push(vec![
            reference.kind.as_str().to_owned(),
            name_of(&object),
            text(&object["status"]),
            text(&object["changed_at"]),
            reference.id.to_string(),
        ]);
    }
    ui.heading(format_args!("After position {}{}", at.position, time_of(&at)))?;
    if rows.is_empty() {
        return ui.line("There is nothing.");
    }
    ui.table(&["KIND", "NAME", "STATUS", "CHANGED", "ID"], &rows)
}

pub(crate) fn diff(args: &DiffArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let before = at(session.store(), Some(&args.from))?;
    let after = at(session.store(), args.to.as_deref())?;
    let differences = state::differences(&before.state, &after.state);
    ui.object(&json!({ "from": before.position, "to": after.position }))?;
    ui.heading(format_args!(
        "From position {}{} to position {}{}",
        before.position,
        time_of(&before),
        after.position,
        time_of(&after)
    ))?;
    for difference in &differences {
        let (sign, entity, fields) = match difference {
            Difference::Added(entity) => ("+", entity, None),
            Difference::Removed(entity) => ("-", entity, None),
            Difference::Changed { after, fields } => ("~", after, Some(fields)),
        };
        let word = match sign {
            "+" => "added",
            "-" => "removed",
            _ => "changed",
        };
        let mut object = json!({ "change": word, "entity": entity });
        if let Some(fields) = fields {
            let pairs = fields.iter().map(|(name, (from, to))| (name.clone(), json!({ "from": from, "to": to })));
            object["fields"] = Value::Object(pairs.collect());
        }
        ui.object(&object)?;
        let line = format!("{sign} {} {} ({})", text(&entity["kind"]), name_of(entity), text(&entity["id"]));
        ui.line(cim_keys::text::visible(&line))?;
        for (name, (from, to)) in fields.into_iter().flatten() {
            let line = format!("    {name}: {} -> {}", text(from), text(to));
            ui.line(cim_keys::text::visible(&line))?;
        }
    }
    if differences.is_empty() { ui.line("Nothing changed.") } else { Ok(()) }
}

fn at(store: &Store, what: Option<&str>) -> Result<StateAt> {
    let moment = what.map_or(Ok(Moment::Now), moment)?;
    state::state_at(store, &moment).map_err(|error| match error {
        StateError::Read(error) => error.into(),
        StateError::Checkpoint(error) => log_told(&error),
        StateError::Beyond { .. } => CliError::explain(&error),
        error => CliError::failed("the events could not be replayed").because_of(&error),
    })
}

fn moment(what: &str) -> Result<Moment> {
    if let Ok(position) = what.parse() {
        return Ok(Moment::Position(position));
    }
    // What a day is called by ends with it.
    let day = (what.len() == 10).then(|| format!("{what}T23:59:59.999999Z").parse::<Timestamp>().ok()).flatten();
    if let Some(time) = day.or_else(|| Timestamp::parse_lenient(what).ok()) {
        return Ok(Moment::Time(time));
    }
    if Path::new(what).is_file() {
        return Ok(Moment::Checkpoint(Box::new(read_checkpoint(Path::new(what))?)));
    }
    Err(CliError::usage(format!("\"{}\" is not a point in time", cim_keys::text::visible(what)))
        .hint(format!("give {MOMENT}")))
}

fn time_of(at: &StateAt) -> String {
    at.time.map_or_else(String::new, |time| format!(", of {time}"))
}

fn name_of(entity: &Value) -> String {
    text(&entity["name"])
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
