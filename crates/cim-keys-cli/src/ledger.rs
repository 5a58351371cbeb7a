//! Opening the ledger that is meant, in the name of the actor.

use std::sync::{Mutex, PoisonError};

use cim_keys::events::Actor;
use cim_keys::ledger::lookup;
use cim_keys::session::{Place, Session};
use cim_keys::store::AppendError;
use cim_keys::text::Label;
use indicatif::ProgressBar;

use crate::error::{CliError, Result};
use crate::global::Global;
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

/// The ledger that is meant, for writing, as the actor given, unsigned.
pub(crate) fn write(global: &Global) -> Result<Session> {
    let session = Session::open(Place::new(place::ledger(global)?, place::state_folder()?), system_actor())?;
    session.store().writable().map_err(AppendError::from)?;
    as_actor(session, global)
}

/// The ledger that is meant, for publishing: where it is written, or a mirror, which publishes in its ledger's name.
pub(crate) fn publishing(global: &Global) -> Result<Session> {
    let session = Session::open(Place::new(place::ledger(global)?, place::state_folder()?), system_actor())?;
    if session.store().pinned_key()?.is_none() {
        session.store().writable().map_err(AppendError::from)?;
    }
    Ok(session)
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

/// A session as the actor given, unsigned.
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
