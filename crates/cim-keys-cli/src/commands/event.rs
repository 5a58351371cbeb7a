//! `event`: the events that are recorded.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use cim_keys::app::describe;
use cim_keys::app::log::Disclose;
use cim_keys::app::revocation::revocation;
use cim_keys::session::Session;
use cim_keys::store::{Listing, Recorded, Which};
use cim_keys::text::{SubjectPrefix, visible};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::recorded::subject_prefix;
use super::signatures::{self, AttestArgs, Vouched};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// List events, the newest first
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show one event
    Show(ShowArgs),
    /// Show events as they are recorded, until interrupted
    Watch(WatchArgs),
    /// Check one event: its content identifier, its canonical form, its place in the log
    Verify(ShowArgs),
    /// Sign an event that is recorded already, as the person that --as names
    Attest(AttestArgs),
    /// List the types of events, and which of them must be signed
    Types,
    /// Prove what one event says and when, in one file that `log check` verifies without a ledger
    ProofOf(ProofOfArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProofOfArgs {
    /// A content identifier, the beginning of one, or a position
    #[arg(required_unless_present = "revocation")]
    event: Option<String>,
    /// The revocation of this: a key, a person with one revoked key, or a NATS user as ACCOUNT/USER
    #[arg(long, value_name = "WHAT", conflicts_with = "event")]
    revocation: Option<String>,
    /// Add what proves which servers hold the revocation of a NATS user: the tokens that carry it, and the push receipts
    #[arg(long)]
    with_push: bool,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// At most so many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: usize,
    /// From this position on, the oldest first
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
    /// Only of this type, such as PersonCreated
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only what one command did: its correlation id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A content identifier, the beginning of one, or a position
    event: String,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Begin at this position instead of the end
    #[arg(long, value_name = "POSITION")]
    from: Option<u64>,
}

pub(crate) fn run(command: EventCommand, global: &Global, ui: Ui) -> Result {
    if let EventCommand::Attest(args) = &command {
        return signatures::attest(args, global, ui);
    }
    let session = ledger::read(global)?;
    let prefix = subject_prefix(session.place().folder());
    match command {
        EventCommand::List(args) => list(&args, &session, &prefix, ui),
        EventCommand::Show(args) => show(&args, &session, &prefix, ui),
        EventCommand::Watch(args) => watch(&args, &session, &prefix, ui),
        EventCommand::Verify(args) => verify(&args, &session, ui),
        EventCommand::Attest(_) => Ok(()),
        EventCommand::Types => signatures::types(&session, ui),
        EventCommand::ProofOf(args) => {
            let event = match (&args.event, &args.revocation) {
                (Some(event), _) => event.clone(),
                (None, what) => {
                    let what = what.as_deref().unwrap_or_default();
                    revocation(session.store(), what)?.to_string()
                }
            };
            match args.with_push {
                true => super::log::write_pushed(&session, &event, args.out.as_deref(), Some(global), ui),
                false => {
                    super::log::write_proof(&session, &event, Disclose::Event, args.out.as_deref(), Some(global), ui)
                }
            }
        }
    }
}

/// How many events are read at a time.
const PAGE: usize = 256;

fn list(args: &ListArgs, session: &Session, prefix: &SubjectPrefix, ui: Ui) -> Result {
    let filtered = args.event_type.is_some() || args.correlation.is_some();
    let page = if filtered { PAGE } else { args.limit.min(PAGE) };
    let mut listing = match args.from {
        Some(from) => Listing::from(from.max(1), page),
        None => Listing::newest(page),
    };
    let mut left = args.limit;
    while left > 0 {
        let events = session.store().events(listing)?;
        let Some(last) = events.last().map(|event| event.position) else { break };
        for event in events {
            if left > 0 && wanted(args, &event)? {
                left -= 1;
                tell(&event, prefix, ui)?;
            }
        }
        if listing.newest_first {
            if last <= 1 {
                break;
            }
            listing.to = last - 1;
        } else {
            listing.from = last + 1;
        }
    }
    if left == args.limit && args.limit > 0 {
        ui.line("No such event is recorded.")?;
    }
    Ok(())
}

fn wanted(args: &ListArgs, event: &Recorded) -> Result<bool> {
    if args.event_type.is_none() && args.correlation.is_none() {
        return Ok(true);
    }
    let envelope = event.envelope()?;
    let of_type = args.event_type.as_ref().is_none_or(|wanted| envelope.event_type.eq_ignore_ascii_case(wanted));
    let of_command = args.correlation.as_ref().is_none_or(|wanted| envelope.correlation_id == wanted);
    Ok(of_type && of_command)
}

/// One event on a line.
fn tell(event: &Recorded, prefix: &SubjectPrefix, ui: Ui) -> Result {
    if ui.is_json() {
        return ui.object(&describe::recorded(event, prefix)?);
    }
    let envelope = event.envelope()?;
    let time = envelope.occurred_at.get(..19).unwrap_or(envelope.occurred_at);
    let (event_type, name) = (visible(envelope.event_type), subject_of(event));
    let line =
        format!("{:>6}  {}Z  {event_type:<28}  {}  {}", event.position, visible(time), event.cid, visible(&name));
    ui.line(line.trim_end())
}

/// What an event is about, in a few words: the name in its data, where there is one.
fn subject_of(event: &Recorded) -> String {
    let text = cim_keys::ipld_support::to_dag_json(&event.block).unwrap_or_default();
    let block: Value = serde_json::from_str(&text).unwrap_or_default();
    block["data"]["name"].as_str().map(ToOwned::to_owned).unwrap_or_default()
}

fn find(args: &ShowArgs, session: &Session) -> Result<Recorded> {
    let which: Which = args.event.parse()?;
    Ok(session.store().event(&which)?)
}

fn show(args: &ShowArgs, session: &Session, prefix: &SubjectPrefix, ui: Ui) -> Result {
    let event = find(args, session)?;
    let mut object = describe::recorded(&event, prefix)?;
    let vouched = Vouched::of(session, &event)?;
    vouched.add_to(&mut object);
    ui.object(&object)?;
    if ui.is_json() {
        return Ok(());
    }
    let mut facts = Vec::new();
    for name in ["position", "cid", "id", "type", "subject", "occurred_at", "actor", "correlation_id"] {
        let value = plain(&object[name]);
        facts.push((name, if name == "actor" { format!("{value} ({})", vouched.standing()) } else { value }));
    }
    let causes = object["causes"].as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
    facts.push(("causes", if causes.is_empty() { "none".into() } else { causes.join("\n") }));
    facts.push((
        "verified",
        if event.verify() { "yes: the content identifier is that of the block" } else { "NO" }.into(),
    ));
    let lines = vouched.lines();
    if !lines.is_empty() {
        facts.push(("signed by", lines));
    }
    ui.facts(&facts)?;
    ui.line("")?;
    let data = serde_json::to_string_pretty(&object["data"]).unwrap_or_default();
    for line in data.lines() {
        ui.line(visible(line))?;
    }
    if event.verify() { Ok(()) } else { Err(not_its_content(&event)) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn not_its_content(event: &Recorded) -> CliError {
    CliError::verification(format!("position {} is not what {} names", event.position, event.cid))
        .hint("run `cim-keys verify` to see what else is not as it was recorded, and go back to a backup")
}

fn verify(args: &ShowArgs, session: &Session, ui: Ui) -> Result {
    let event = find(args, session)?;
    let mut problems = Vec::new();
    if !event.verify() {
        problems.push("the content identifier is not that of the block".to_owned());
    }
    if let Err(error) = cim_keys::ipld_support::validate_event(&event.block) {
        problems.push(format!("the block is not canonical: {error}"));
    }
    if let Err(error) = event.event() {
        problems.push(error.to_string());
    }
    for cause in event.envelope()?.causes.iter() {
        match session.store().event(&Which::Cid(cause)) {
            Ok(earlier) if earlier.position >= event.position => {
                problems.push(format!("its cause {cause} is recorded later"));
            }
            Ok(_) => {}
            Err(error) => problems.push(format!("its cause {cause}: {error}")),
        }
    }
    let cid = event.cid.to_string();
    ui.object(&json!({ "ok": problems.is_empty(), "position": event.position, "cid": cid, "problems": problems }))?;
    if problems.is_empty() {
        ui.done(format_args!("Position {} is what {cid} names.", event.position))?;
        return ui.line(format_args!(
            "{} bytes of canonical DAG-CBOR; the causes are recorded before it.",
            event.block.len()
        ));
    }
    Err(problems.into_iter().fold(not_its_content(&event), CliError::detail))
}

fn watch(args: &WatchArgs, session: &Session, prefix: &SubjectPrefix, ui: Ui) -> Result {
    let mut next = match args.from {
        Some(from) => from.max(1),
        None => session.store().end()? + 1,
    };
    if args.from.is_none() {
        ui.note(format_args!("Waiting for events from position {next} on; Ctrl-C ends it."));
    }
    loop {
        let events = session.store().events(Listing::from(next, PAGE))?;
        if events.is_empty() {
            thread::sleep(Duration::from_millis(250));
        }
        for event in events {
            next = event.position + 1;
            tell(&event, prefix, ui)?;
        }
        ui.flush()?;
    }
}
