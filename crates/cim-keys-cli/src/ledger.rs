//! Opening the ledger that is meant, in the name of whoever acts, and recording in it.

use std::sync::{Mutex, PoisonError};

use cim_keys::app::attest::{self, ActSecret};
use cim_keys::app::lookup::{self, LookupError};
use cim_keys::app::session::{Place, RecordError, Session};
use cim_keys::events::Actor;
use cim_keys::ledger::{Command, View};
use cim_keys::store::{AppendError, AppendedEvent};
use cim_keys::text::Label;
use cim_keys::time::Timestamp;
use indicatif::ProgressBar;

use crate::cli::Global;
use crate::error::{CliError, Result};
use crate::passphrase::Passphrases;
use crate::place;
use crate::ui::Ui;

/// The ledger that is meant, for reading.
pub(crate) fn read(global: &Global) -> Result<Session> {
    let folder = place::ledger(global)?;
    // Reading needs no right to write, so it works where there is no place for one.
    let tokens = place::state_folder().unwrap_or_else(|_| folder.clone());
    let mut session = Session::open_read_only(Place::new(folder, tokens), system_actor())?;
    let ui = Ui::new(global.output, global.yes);
    let bar = Mutex::new(None::<ProgressBar>);
    session.on_catch_up(move |done, all| {
        let mut bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        match done == all {
            true => bar.take().into_iter().for_each(|bar| bar.finish_and_clear()),
            false => bar.get_or_insert_with(|| ui.progress("making entities ready", all)).set_position(done),
        }
    });
    Ok(session)
}

/// The ledger that is meant, for writing.
pub(crate) fn write(global: &Global) -> Result<Session> {
    let mut session = as_actor(open(global)?, global)?;
    if let Some(secret) = secret(&session, global)? {
        session.sign_as(secret);
    }
    Ok(session)
}

/// The ledger that is meant, for publishing: where it is written, or a mirror, which publishes in its ledger's name.
pub(crate) fn publishing(global: &Global) -> Result<Session> {
    let session = Session::open(Place::new(place::ledger(global)?, place::state_folder()?), system_actor())?;
    if session.store().pinned_key()?.is_none() {
        session.store().writable().map_err(AppendError::from)?;
    }
    Ok(session)
}

/// As [`write`], and what whoever was named signs with: for commands whose events are signatures themselves.
pub(crate) fn write_and_secret(global: &Global) -> Result<(Session, Option<ActSecret>)> {
    let mut session = as_actor(open(global)?, global)?;
    let secret = secret(&session, global)?;
    if let Some(secret) = &secret {
        session.act_as(Actor::Person(secret.person()));
    }
    Ok((session, secret))
}

fn open(global: &Global) -> Result<Session> {
    let session = Session::open(Place::new(place::ledger(global)?, place::state_folder()?), system_actor())?;
    session.store().writable().map_err(AppendError::from)?;
    Ok(session)
}

/// The private key of whoever signs, out of custody. The passphrase is asked for before anything waits for it.
pub(crate) fn secret(session: &Session, global: &Global) -> Result<Option<ActSecret>> {
    let Some(who) = global.signer.as_ref().filter(|who| !who.is_empty()) else { return Ok(None) };
    let key = session.store().view(|view| attest::act_key(view, who, Timestamp::now()))??;
    let custody = session.custody()?;
    let unlocked = Passphrases::new(&global.passphrases)?.unlock(&custody, &key.compartment)?;
    let secret = key.reveal(&unlocked);
    secret.map(Some).map_err(|error| CliError::failed("the key can't be used").because(&error))
}

/// Refuses `--as` where a ledger is only being made or taken over: nobody can sign in it yet.
pub(crate) fn nobody_signs_yet(global: &Global) -> Result {
    match &global.signer {
        Some(who) if !who.is_empty() => {
            Err(CliError::usage("--as names who signs, and nobody can sign what makes a ledger or takes it over")
                .hint("leave it out here; `cim-keys person enroll` makes keys to sign later acts with"))
        }
        _ => Ok(()),
    }
}

/// A session in the name of whoever was named, unsigned.
pub(crate) fn as_actor(mut session: Session, global: &Global) -> Result<Session> {
    if let Some(text) = global.actor.as_ref().filter(|text| !text.is_empty()) {
        let actor = match text.parse::<Actor>() {
            Ok(actor) => actor,
            Err(error) if text.contains('@') => {
                let who = text.strip_prefix("person:").unwrap_or(text);
                let found = session.store().view(|view| lookup::person(view, who))?;
                Actor::Person(found.map_err(|_| CliError::from(error).detail("and no person has this address"))?)
            }
            Err(error) => return Err(error.into()),
        };
        if let Actor::Person(id) = &actor {
            session.store().view(|view| lookup::person(view, &id.to_string()))??;
        }
        session.act_as(actor);
    }
    if global.accept_clock {
        session.accept_clock();
    }
    Ok(session)
}

/// Whoever acts where nobody is named: the user of the operating system.
pub(crate) fn system_actor() -> Actor {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok();
    let label = user.and_then(|user| Label::new(&user).ok()).or_else(|| Label::new("cim-keys").ok());
    match label {
        Some(label) => Actor::System(label),
        None => unreachable!("a constant that is a label"),
    }
}

/// Records what `look` leads to. When the clock is far from the last event, whoever sits at the terminal is asked.
pub(crate) fn record(
    mut session: Session,
    ui: Ui,
    look: impl Fn(&dyn View) -> std::result::Result<Vec<Command>, LookupError>,
) -> Result<(Session, Vec<AppendedEvent>)> {
    match session.record(&look) {
        Err(RecordError::Append(error @ AppendError::TimeJump { .. })) => {
            confirm_clock(&mut session, ui, error)?;
            let events = session.record(&look)?;
            Ok((session, events))
        }
        answer => Ok((session, answer?)),
    }
}

/// Asks whether the clock is right, where somebody can answer.
pub(crate) fn confirm_clock(session: &mut Session, ui: Ui, jump: AppendError) -> Result {
    if !ui.can_ask() {
        return Err(jump.into());
    }
    let text = jump.to_string();
    let what = text.rsplit_once("; ").map_or(text.as_str(), |(what, _)| what);
    if !ui.ask(&format!("{what}. Is the clock right?"))? {
        return Err(CliError::refused("nothing was recorded").hint("set the clock right, and try again"));
    }
    session.accept_clock();
    Ok(())
}
