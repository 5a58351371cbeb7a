//! `agent`: an issuer that stays at hand for a while, and signs short-lived users for whoever asks on its socket.

mod args;
mod client;
mod detach;
mod serve;
mod socket;

use std::path::Path;

use cim_keys::authority::nats::agent::{self, Agent, Answer, Request, StartError};
use cim_keys::authority::nats::issuer::{self, IssueError};
use cim_keys::custody::{NoPassphrases, Ring};
use cim_keys::events::Actor;
use cim_keys::text::{Label, visible};
use cim_keys::time::Timestamp;
use serde_json::json;

pub(crate) use args::{AgentCommand, SocketArgs};
pub(crate) use client::ask;

use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::Passphrases;
use crate::ui::Ui;
use args::StartArgs;
use serve::End;
use socket::Claimed;

pub(crate) fn run(command: AgentCommand, global: &Global, ui: Ui) -> Result {
    match command {
        AgentCommand::Start(args) => start(&args, global, ui),
        AgentCommand::Status(args) => status(&args, ui),
        AgentCommand::Stop(args) => stop(&args, ui),
    }
}

fn start(args: &StartArgs, global: &Global, ui: Ui) -> Result {
    if global.signer.as_ref().is_some_and(|who| !who.is_empty()) {
        return Err(CliError::usage("--as opens a person's compartment, and an agent opens one alone")
            .hint("leave it out; --actor names who acts, unsigned"));
    }
    if args.detached {
        detach::leave_terminal();
    }
    let mut session = ledger::write(global)?;
    if global.actor.as_ref().is_none_or(String::is_empty) {
        session.act_as(Actor::Service(Label::new("agent")?));
    }
    // What would be refused is refused before anybody is asked for a passphrase.
    agent::roles(&session, &args.compartment).map_err(issue_told)?;
    let socket = socket::path(&args.socket)?;
    let place = Claimed::at(&socket)?;
    let custody = session.custody()?;
    if args.detach {
        let passphrase = Passphrases::new(&global.passphrases)?.existing(&args.compartment)?;
        let folder = session.place().folder().to_owned();
        // The one in the background claims the place for itself.
        drop((session, place));
        return detach::start(args, global, (&folder, &socket), passphrase, ui);
    }
    let unlocked = Passphrases::new(&global.passphrases)?.unlock(&custody, &args.compartment)?;
    let lives = i64::try_from(args.ttl).ok().and_then(|secs| secs.checked_mul(1_000_000));
    let ends_at = lives.and_then(|micros| Timestamp::now().unix_micros().checked_add(micros));
    let ends_at = ends_at
        .and_then(Timestamp::from_unix_micros)
        .ok_or_else(|| CliError::usage("an agent does not live beyond the year 9999").hint("give a shorter --ttl"))?;
    let keys = Ring::of(custody, NoPassphrases).with_open(unlocked);
    let compartment = args.compartment.clone();
    let mut agent = Agent::new(session, compartment, keys, args.max_ttl, ends_at).map_err(start_told)?;

    let end = serve::serve(&mut agent, place, |agent, path| ready(agent, path, args.detached, ui))?;
    let issued = agent.issued();
    ui.object(&json!({ "event": "stopped", "reason": end.word(), "issued": issued }))?;
    let why = match end {
        End::Time => "its time is over",
        End::Signal => "it was told to end",
        End::Asked => "it was asked to end",
    };
    ui.line(format_args!("Stopped: {why}; {issued} users were issued."))
}

/// Says where the agent is, for people and for whoever waits for it.
fn ready(agent: &Agent, path: &Path, detached: bool, ui: Ui) -> Result {
    let shown = visible(&path.to_string_lossy()).into_owned();
    let standing = agent.status().map_err(issue_told)?;
    let listening = json!({ "event": "listening", "socket": shown, "status": standing });
    if detached {
        return detach::say_ready(&listening);
    }
    ui.object(&listening)?;
    let roles = standing.roles.iter().map(|role| visible(&role.role).into_owned()).collect::<Vec<_>>().join(", ");
    ui.line(format_args!("Issuing users of {roles} until {}, at {shown}.", agent.ends_at()))?;
    ui.line(format_args!("  export CIM_KEYS_AGENT={shown}"))?;
    ui.flush()
}

fn status(args: &SocketArgs, ui: Ui) -> Result {
    let Answer::Status(it) = ask(args, &Request::Status)? else { return Err(client::not_an_answer()) };
    ui.object(&it)?;
    let mut facts = vec![
        ("process", it.pid.to_string()),
        ("ledger", it.ledger),
        ("compartment", it.compartment.to_string()),
        ("since", it.started_at.to_string()),
        ("until", it.ends_at.to_string()),
        ("users", format!("{} issued, each for at most {} seconds", it.issued, it.max_ttl_secs)),
    ];
    facts.extend(it.roles.iter().map(|role| ("role", format!("{}  {}", role.role, role.public_key))));
    ui.facts(&facts)
}

fn stop(args: &SocketArgs, ui: Ui) -> Result {
    let path = socket::path(args)?;
    match ask(args, &Request::Stop)? {
        Answer::Stopping => {}
        _ => return Err(client::not_an_answer()),
    }
    socket::wait_until_free(&path)?;
    let shown = visible(&path.to_string_lossy()).into_owned();
    ui.object(&json!({ "event": "stopped", "socket": shown }))?;
    ui.done(format_args!("The agent at {shown} has ended."))
}

fn start_told(error: StartError) -> CliError {
    match error {
        StartError::Issuer(error) => issue_told(error),
        other => CliError::failed("the agent could not start").because_of(&other),
    }
}

fn issue_told(error: IssueError) -> CliError {
    match error {
        issuer::IssueError::Nats(error) => error.into(),
        other => CliError::explain(&other),
    }
}
