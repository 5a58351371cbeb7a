//! `export`: what is recorded, in formats that other programs read.

use std::io::Write;
use std::path::{Path, PathBuf};

use cim_keys::app::archive::{self, ExportError, Since};
use cim_keys::app::describe;
use cim_keys::app::leave::{LeaveError, leave};
use cim_keys::files::NewFile;
use cim_keys::ipld_support::append_message_body;
use cim_keys::log::SignedCheckpoint;
use cim_keys::store::Listing;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::input::read_checkpoint;
use super::recorded::subject_prefix;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Write an archive (CARv1): events in order, blobs, signed heads; `verify` and `import car` read it
    Car(CarArgs),
    /// Write the events as text, one a line
    Events(EventsArgs),
    /// Write everything in ordinary formats, sealed keys included: how one leaves cim-keys
    All(AllArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CarArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Begin after this position, or after the events of this checkpoint's file
    #[arg(long, value_name = "POSITION|CHECKPOINT")]
    since: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AllArgs {
    /// The folder to make; it holds what the ledger holds, so keep it as the ledger is kept
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// How to write them
    #[arg(long, value_enum, default_value_t)]
    format: EventFormat,
    /// From this position on
    #[arg(long, value_name = "POSITION", default_value_t = 1)]
    from: u64,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The formats of events as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum EventFormat {
    /// JSON objects with the keys of `event show --output json`
    #[default]
    Jsonl,
    /// DAG-JSON, as it is published: {"cid":…,"event":…}; the event's bytes, and so its identifier, follow from it
    DagJson,
}

pub(crate) fn run(command: ExportCommand, global: &Global, ui: Ui) -> Result {
    match command {
        ExportCommand::Car(args) => car(&args, global, ui),
        ExportCommand::Events(args) => events(&args, global, ui),
        ExportCommand::All(args) => all(&args, global, ui),
    }
}

fn car(args: &CarArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let beginning = Beginning::read(args.since.as_deref())?;
    let mut file = create(&args.file)?;
    let bar = ui.progress("exporting", 0);
    let exported = archive::export(session.store(), beginning.since(), &mut file, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let exported = exported.map_err(|error| told(&error))?;
    commit(file, &args.file)?;
    ui.object(&json!({
        "file": args.file.to_string_lossy(), "first": exported.first, "last": exported.last,
        "head": exported.head.to_string(), "blobs": exported.blobs, "bytes": exported.bytes,
        "unsigned": exported.unsigned,
    }))?;
    ui.done(format_args!(
        "Wrote events {} to {} and {} blobs to {}: {} bytes.",
        exported.first,
        exported.last,
        exported.blobs,
        args.file.display(),
        exported.bytes
    ))?;
    if exported.unsigned > 0 {
        ui.warn(format_args!(
            "no signed head covers the last {} events, so a mirror will not take them; sign them first with `cim-keys log checkpoint --sign`",
            exported.unsigned
        ));
    }
    Ok(())
}

/// What `--since` names.
pub(super) enum Beginning {
    Position(u64),
    Checkpoint(Box<SignedCheckpoint>),
}

impl Beginning {
    /// A position, or the file of a checkpoint; without either everything is meant.
    pub(super) fn read(text: Option<&str>) -> Result<Self> {
        match text.map(|text| (text, text.parse::<u64>())) {
            None => Ok(Self::Position(0)),
            Some((_, Ok(position))) => Ok(Self::Position(position)),
            Some((path, Err(_))) => Ok(Self::Checkpoint(Box::new(read_checkpoint(Path::new(path))?))),
        }
    }

    pub(super) fn since(&self) -> Since<'_> {
        match self {
            Self::Position(position) => Since::Position(*position),
            Self::Checkpoint(checkpoint) => Since::Checkpoint(checkpoint),
        }
    }
}

fn events(args: &EventsArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let prefix = subject_prefix(session.place().folder());
    let mut file = args.out.as_deref().map(create).transpose()?;
    let mut next = args.from.max(1);
    let mut line = Vec::new();
    loop {
        let page = session.store().events(Listing::from(next, 256))?;
        if page.is_empty() {
            break;
        }
        for event in page {
            next = event.position + 1;
            line.clear();
            match args.format {
                EventFormat::Jsonl => serde_json::to_writer(&mut line, &describe::recorded(&event, &prefix)?)
                    .map_err(|error| CliError::failed("cannot write the event as JSON").because(&error))?,
                EventFormat::DagJson => append_message_body(&event.cid, &event.block, &mut line).map_err(|error| {
                    CliError::failed(format!("cannot write position {} as DAG-JSON", event.position)).because(&error)
                })?,
            }
            line.push(b'\n');
            match (&mut file, &args.out) {
                (Some(file), Some(path)) => file.write_all(&line).map_err(|error| cannot_write(path, &error))?,
                _ => ui.raw(&line)?,
            }
        }
    }
    match (file, &args.out) {
        (Some(file), Some(path)) => commit(file, path),
        _ => Ok(()),
    }
}

fn all(args: &AllArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let prefix = subject_prefix(session.place().folder());
    let spinner = ui.spinner("exporting");
    let left = leave(&session, &args.dir, &prefix);
    spinner.finish_and_clear();
    let left = left.map_err(|error| match error {
        LeaveError::Exists(_) => CliError::explain(&error),
        _ => CliError::failed("not everything could be written").because_of(&error),
    })?;
    ui.object(&json!({
        "folder": args.dir.to_string_lossy(), "events": left.events, "entities": left.entities, "secrets": left.secrets,
        "tokens": left.tokens, "blobs": left.blobs,
    }))?;
    ui.done(format_args!(
        "Wrote {} events, {} entities, {} sealed keys and {} tokens to {}.",
        left.events,
        left.entities,
        left.secrets,
        left.tokens,
        args.dir.display()
    ))?;
    ui.line("README.md in it says what is what, and how to open the keys with age.")
}

fn create(path: &Path) -> Result<NewFile> {
    NewFile::create(path, false).map_err(|error| cannot_write(path, &error))
}

fn commit(file: NewFile, path: &Path) -> Result {
    file.commit().map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("cannot write {}", path.display())).because(error)
}

pub(super) fn told(error: &ExportError) -> CliError {
    match error {
        ExportError::Nothing { .. } | ExportError::OtherHistory { .. } => CliError::explain(error),
        _ => CliError::failed("the archive was not written").because_of(error),
    }
}
