//! `carry`: what goes out of a ledger on removable media, and what comes back.

use std::path::{Path, PathBuf};

use cim_keys::app::archive::ExportError;
use cim_keys::app::carry::{self, CarryError, Taken};
use cim_keys::app::medium::MediumError;
use cim_keys::app::mirrors::From;
use cim_keys::session::heads;
use cim_keys::session::{Place, Session};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{export::Beginning, publication};
use super::{head_words, mirror};
use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::PassphraseArgs;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum CarryCommand {
    /// Write what is public, and the tokens that servers need, to a medium; shows the head's words, to be written down
    Out(OutArgs),
    /// Take in what a medium brings back: receipts and requests; checks the head that it carries
    In(InArgs),
}

#[derive(Debug, Args)]
pub(crate) struct OutArgs {
    /// The medium's folder
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
    /// Carry only what came after this position, or after the events of this checkpoint's file
    #[arg(long, value_name = "POSITION|CHECKPOINT")]
    since: Option<String>,
    /// Do not sign the head first: a mirror takes what the last signed head covers
    #[arg(long)]
    no_sign: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InArgs {
    /// The medium's folder
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
}

pub(crate) fn run(command: CarryCommand, global: &Global, ui: Ui) -> Result {
    match command {
        CarryCommand::Out(args) => out(&args, global, ui),
        CarryCommand::In(args) => take_in(&args, global, ui),
    }
}

fn out(args: &OutArgs, global: &Global, ui: Ui) -> Result {
    if !args.medium.is_dir() {
        // Nobody types a passphrase for a medium that is not there.
        return Err(CliError::usage(format!("there is no folder {}", args.medium.display()))
            .hint("mount the medium, or make the folder"));
    }
    let session = Session::open(Place::new(place::ledger(global)?, place::state_folder()?), ledger::system_actor())?;
    let head = heads::head(session.store()).map_err(|error| super::log::told(&error))?;
    if head.unsigned() > 0 && !args.no_sign && session.store().writable().is_ok() {
        super::log::sign(&session, &args.passphrases)?;
    }
    let beginning = Beginning::read(args.since.as_deref())?;
    let bar = ui.progress("carrying out", 0);
    let carried = carry::out(&session, beginning.since(), &args.medium, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let carried = carried.map_err(|error| told(&args.medium, &error))?;
    ui.object(&json!({
        "medium": args.medium.to_string_lossy(), "folder": carried.folder.to_string_lossy(),
        "first": carried.first, "last": carried.last, "unsigned": carried.unsigned, "tokens": carried.tokens,
        "bytes": carried.bytes, "head": head_words::object(Some(&carried.checkpoint)),
    }))?;
    ui.done(format_args!(
        "Carried out events {} to {} and {} tokens: {} bytes in {}.",
        carried.first,
        carried.last,
        carried.tokens,
        carried.bytes,
        carried.folder.display()
    ))?;
    if carried.unsigned > 0 {
        ui.warn(format_args!(
            "no signed head covers the last {} events, so a mirror will not take them",
            carried.unsigned
        ));
    }
    head_words::show(&carried.checkpoint, ui)?;
    ui.line("Write them down; `cim-keys mirror init` and `mirror update` show them on the other side.")?;
    let key = session.store().verifier_key().map_err(|error| CliError::failed(error.to_string()))?;
    ui.line(format_args!("A new mirror takes the ledger key: {key}"))
}

fn take_in(args: &InArgs, global: &Global, ui: Ui) -> Result {
    let folder = place::ledger(global)?;
    let session = Session::open(Place::new(&folder, place::state_folder()?), ledger::system_actor())?;
    if session.store().pinned_key()?.is_some() {
        drop(session);
        return update(&folder, &args.medium, ui);
    }
    session.store().writable().map_err(cim_keys::store::AppendError::from)?;
    let mut acting = Acting::on(ledger::as_actor(session, global)?, &global.passphrases, ui)?;
    let (mut pipeline, session) = acting.pipeline();
    let carried = carry::take_in(session, &mut pipeline, &args.medium).map_err(|error| told(&args.medium, &error))?;
    let parcels: Vec<_> = carried
        .parcels
        .iter()
        .map(|parcel| {
            let (state, events) = match &parcel.taken {
                Taken::Recorded(events) => ("recorded", *events),
                Taken::Known => ("known", 0),
                Taken::Waits(_) => ("waits", 0),
            };
            json!({ "file": parcel.path.to_string_lossy(), "kind": parcel.noun, "state": state, "events": events,
                "kept": parcel.kept.to_string_lossy() })
        })
        .collect();
    ui.object(&json!({ "medium": args.medium.to_string_lossy(), "parcels": parcels,
        "head": head_words::object(carried.head.as_ref()) }))?;
    for parcel in &carried.parcels {
        let file = cim_keys::text::visible(&parcel.path.to_string_lossy()).into_owned();
        ui.line(match &parcel.taken {
            Taken::Recorded(1) => format!("{file}: {} recorded as 1 event", parcel.noun),
            Taken::Recorded(events) => format!("{file}: {} recorded as {events} events", parcel.noun),
            Taken::Known => format!("{file}: {} taken before", parcel.noun),
            Taken::Waits(next) => format!("{file}: {}; {next}", parcel.noun),
        })?;
    }
    if carried.parcels.is_empty() {
        ui.line("The medium brings no requests or receipts.")?;
    }
    match &carried.head {
        None => ui.line("It carries no head of this ledger.")?,
        Some(head) => {
            ui.line("The head that it carries is one of this ledger.")?;
            head_words::show(head, ui)?;
        }
    }
    publication::tell(&carried.publication, ui)
}

fn update(folder: &Path, medium: &Path, ui: Ui) -> Result {
    let mirror_place = Place::new(folder, folder.join("tokens"));
    let updated = cim_keys::app::mirrors::update(&mirror_place, From::path(medium), None, &mut |_, _| {});
    mirror::tell(folder, &updated.map_err(|error| mirror::told(&error))?, false, ui)
}

fn told(medium: &Path, error: &CarryError) -> CliError {
    let failed = || CliError::failed(format!("the medium {} can't be used", medium.display())).because_of(error);
    match error {
        CarryError::Medium(MediumError::Io { .. }) => failed(),
        CarryError::Medium(MediumError::NotThere(_)) => CliError::explain(error),
        CarryError::Medium(_) | CarryError::Fork { .. } | CarryError::Verify(_) => {
            CliError::verification("nothing was taken from the medium").because_of(error)
        }
        CarryError::Unsigned | CarryError::Parcel { .. } => CliError::explain(error),
        CarryError::Export(error @ (ExportError::Nothing { .. } | ExportError::OtherHistory { .. })) => {
            super::export::told(error)
        }
        _ => failed(),
    }
}
