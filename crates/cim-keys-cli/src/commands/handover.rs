//! `handover`: moves the right to write to this copy of a ledger.

use cim_keys::act::Intent;
use cim_keys::app::handover;
use cim_keys::session::Place;
use cim_keys::text::Note;
use clap::Args;
use serde_json::json;

use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct HandoverArgs {
    /// Why, and from where to where
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
}

pub(crate) fn run(args: &HandoverArgs, global: &Global, ui: Ui) -> Result {
    ledger::nobody_signs_yet(global)?;
    let place = Place::new(place::ledger(global)?, place::state_folder()?);
    let question = "Take over the right to write? Nothing may write to any other copy of this ledger from then on.";
    if !ui.confirm(question)? {
        return Err(CliError::refused("nothing was changed"));
    }
    let intent = Intent { accept_clock: global.accept_clock, ..Intent::new(ledger::system_actor()) };
    let session = handover::take_over(place, &intent, &args.reason)?;
    let store = session.store();
    ui.object(&json!({ "ledger_id": store.identity().ledger_id, "position": store.end()? }))?;
    ui.done("This copy is the one that is written to from now on; that is recorded.")?;
    Acting::on(session, &global.passphrases, ui)?.publish()
}
