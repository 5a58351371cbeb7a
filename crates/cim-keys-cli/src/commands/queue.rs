//! `queue`: the events that wait for publication.

use cim_keys::app::publishing::{answering_server, running_sync};
use cim_keys::app::queue;
use cim_keys::text::visible;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::Result;
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Show how many events wait, how many are parked, and whether a server lets the publisher in
    Status,
    /// List the events that wait, and those that are parked with the reason
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Publish what waits, and come back when it is done
    Flush(super::publish::ServerArgs),
    /// Try parked events again with the next publication
    Retry(RetryArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Show at most so many that wait
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Show only parked events
    #[arg(long)]
    parked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Their positions
    #[arg(required_unless_present = "all")]
    positions: Vec<u64>,
    /// All that are parked
    #[arg(long, conflicts_with = "positions")]
    all: bool,
}

pub(crate) fn run(command: QueueCommand, global: &Global, ui: Ui) -> Result {
    match command {
        QueueCommand::Status => status(global, ui),
        QueueCommand::List(args) => list(&args, global, ui),
        QueueCommand::Flush(server) => super::publish::flush(&server, global, ui),
        QueueCommand::Retry(args) => retry(&args, global, ui),
    }
}

fn status(global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let configuration = place::config(Some(session.place().folder()))?;
    let (named, config) = (configuration.named_servers().is_some(), configuration.config.nats);
    let standing = queue::standing(session.store(), queue::stream(&config))?;
    let answers = if config.enabled { answering_server(&config) } else { None };
    let refused = answers.as_ref().and_then(|_| super::publish::log_in(&config).err());
    let connected = answers.is_some() && refused.is_none();
    let server = answers.unwrap_or_else(|| config.url.to_string());
    ui.object(&json!({
        "connected": connected,
        "server": server,
        "queued": standing.queued,
        "parked": standing.parked,
        "last_published": standing.last_published,
    }))?;
    let state = match (config.enabled, &refused) {
        (false, _) => "publishing is off (nats.enabled = false)".to_owned(),
        (true, Some(error)) => format!("answers, and no connection comes about: {}", visible(&error.to_string())),
        (true, None) if connected => "connected".to_owned(),
        (true, None) => "does not answer".to_owned(),
    };
    // `sync` uses the default address, and acts do not.
    let state =
        if named || !config.enabled { state } else { format!("{state}; the default, since nats.url is not set") };
    let last = standing.last_published.map_or("nothing yet".into(), |position| format!("position {position}"));
    ui.facts(&[
        ("server", format!("{server}: {state}")),
        ("queued", standing.queued.to_string()),
        ("parked", standing.parked.to_string()),
        ("last published", last),
    ])?;
    if let Some(sync) = running_sync(session.store()) {
        return ui.line(format_args!("`cim-keys sync` is running{}.", sync.in_brackets()));
    }
    match (standing.queued, standing.parked) {
        (0, 0) => Ok(()),
        (0, _) => ui.line("`cim-keys queue list --parked` says why; `cim-keys queue retry` tries again."),
        _ => ui.line("`cim-keys sync` publishes what waits, whenever a server can be reached."),
    }
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let config = place::config(Some(session.place().folder()))?.config.nats;
    let parked = queue::parked(session.store())?;
    let mut rows = Vec::new();
    for it in &parked {
        let (cid, since) = (it.cid.to_string(), it.since.to_string());
        ui.object(&json!({
            "position": it.position, "cid": cid, "state": "parked", "reason": it.reason, "since": since,
        }))?;
        rows.push(vec![it.position.to_string(), "parked".into(), cid, it.reason.clone()]);
    }
    if !args.parked {
        for it in queue::waiting(session.store(), queue::stream(&config), args.limit)? {
            let cid = it.cid.to_string();
            ui.object(&json!({
                "position": it.position, "cid": cid, "state": "queued", "type": it.event_type,
            }))?;
            rows.push(vec![it.position.to_string(), "queued".into(), cid, it.event_type]);
        }
    }
    if rows.is_empty() {
        return ui.line(if args.parked { "No event is parked." } else { "The queue is empty." });
    }
    ui.table(&["POSITION", "STATE", "CID", "TYPE OR REASON"], &rows)?;
    let standing = queue::standing(session.store(), queue::stream(&config))?;
    if !args.parked && standing.queued > args.limit as u64 {
        ui.line(format_args!("and {} more that wait; --limit shows more.", standing.queued - args.limit as u64))?;
    }
    Ok(())
}

fn retry(args: &RetryArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::write(global)?;
    let positions = (!args.all).then_some(args.positions.as_slice());
    let asked = queue::retry(session.store(), positions)?;
    ui.object(&json!({ "retry": asked }))?;
    match asked.as_slice() {
        [] => ui.line("No event is parked."),
        [one] => ui.line(format_args!("Position {one} is tried again with the next `cim-keys sync`.")),
        many => ui.line(format_args!(
            "{} events are tried again with the next `cim-keys sync`.",
            visible(&many.len().to_string())
        )),
    }
}
