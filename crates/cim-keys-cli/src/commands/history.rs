//! `history`: who changed something, when and how, back to its creation.

use cim_keys::app::history::{self, Entry, HistoryError, Leaf};
use cim_keys::text::visible;
use clap::Args;
use serde_json::{Value, json};

use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cim-keys history ORDERS/ann\n  cim-keys history person:ada@acme.example\n  \
    cim-keys history account:ORDERS --since 2026-01-01 --output json")]
pub(crate) struct HistoryArgs {
    /// What: a name, ACCOUNT/USER, a public key or an identifier; KIND:NAME where several kinds of things have the name
    which: String,
    /// Only from this time on, such as 2026-03-01 or 2026-03-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = cim_keys::time::Timestamp::parse_lenient)]
    since: Option<cim_keys::time::Timestamp>,
    /// Show at most so many, the newest
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
}

pub(crate) fn run(args: &HistoryArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let entity = session.store().view(|view| history::find(view, &args.which))??;
    let bar = ui.progress("reading events", session.store().end()?);
    let entries = history::history(session.store(), &entity, &mut |position| bar.set_position(position));
    bar.finish_and_clear();
    let mut entries = entries?;
    entries.retain(|entry| args.since.is_none_or(|since| entry.at >= since));
    if let Some(limit) = args.limit {
        entries.drain(..entries.len().saturating_sub(limit));
    }
    if entries.is_empty() {
        return ui.line("Nothing was recorded about it in this time.");
    }
    entries.iter().rev().try_for_each(|entry| tell(entry, ui))
}

fn tell(entry: &Entry, ui: Ui) -> Result {
    ui.object(&json!({
        "position": entry.position, "cid": entry.cid.to_string(), "at": entry.at, "actor": entry.actor,
        "type": entry.event_type, "done": entry.done, "kind": entry.kind.as_str(), "reason": entry.reason,
        "changes": entry.changes.iter().map(object).collect::<Vec<_>>(), "signed_by": entry.signed_by,
    }))?;
    let signed = match entry.signed_by.as_slice() {
        [] => "not signed".to_owned(),
        names => format!("signed by {}", names.join(", ")),
    };
    let at = entry.at.to_string();
    let at = at.get(..19).unwrap_or(&at).replace('T', " ");
    let line = format!("{} {} the {}, {signed}", entry.actor, entry.done, entry.kind);
    ui.line(format_args!("{at}  {}", visible(&line)))?;
    if ui.is_verbose() {
        ui.line(format_args!("  event {}: {} {}", entry.position, entry.event_type, entry.cid))?;
    }
    if let Some(reason) = &entry.reason {
        ui.line(format_args!("  reason: {}", visible(reason)))?;
    }
    entry.changes.iter().try_for_each(|leaf| {
        let (from, to) = (shown(leaf.from.as_ref()), shown(leaf.to.as_ref()));
        ui.line(format_args!("  {}: {} -> {}", visible(&leaf.name), visible(&from), visible(&to)))
    })
}

fn object(leaf: &Leaf) -> Value {
    json!({ "attribute": leaf.name, "from": leaf.from, "to": leaf.to })
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

impl From<HistoryError> for CliError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::View(error) => Self::failed("cannot read the ledger").because(&error),
            HistoryError::Nats(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}
