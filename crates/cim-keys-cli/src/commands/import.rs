//! `import`: takes what another place recorded, after it was verified.

use std::path::PathBuf;

use cim_keys::app::archive::{self, Held, ImportError, VerifyError};
use cim_keys::session::Place;
use cim_keys::store::MirrorError;
use clap::{Args, Subcommand};
use serde_json::json;

use super::input::read_key;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Take an archive into a read-only mirror of its ledger, which is made when --ledger names none
    Car(CarArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CarArgs {
    /// The archive, as `export car` wrote it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The ledger's key, typed in or in a file; a new mirror is pinned to it for good
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

pub(crate) fn run(command: ImportCommand, global: &Global, ui: Ui) -> Result {
    match command {
        ImportCommand::Car(args) => car(&args, global, ui),
    }
}

fn car(args: &CarArgs, global: &Global, ui: Ui) -> Result {
    let folder = place::ledger_or_new(global)?.ok_or_else(|| {
        CliError::usage("no mirror was named, and there is none in this folder or above it")
            .hint("name its folder with --ledger DIR; it is made when it is absent")
    })?;
    let key = args.key.as_deref().map(read_key).transpose()?;
    // A mirror gives no right to write, so nothing is kept outside of its folder.
    let mirror = Place::new(&folder, folder.join("tokens"));
    let bar = ui.progress("verifying", 0);
    let imported = archive::import(&mirror, &args.file, Held { key: key.as_ref(), against: None }, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let imported = imported.map_err(|error| told(&error))?;
    ui.object(&json!({
        "mirror": folder.to_string_lossy(), "new": imported.new, "events": imported.end,
        "head": imported.archive.head.to_string(), "unsigned": imported.unsigned,
    }))?;
    ui.done(match imported.new {
        0 => format!("Nothing is new: the mirror has {} events.", imported.end),
        new => format!("Took {new} events; the mirror has {} now.", imported.end),
    })?;
    if imported.unsigned > 0 {
        ui.warn(format_args!(
            "the last {} events of the archive were not taken: no signed head covers them",
            imported.unsigned
        ));
    }
    Ok(())
}

pub(super) fn told(error: &ImportError) -> CliError {
    match error {
        ImportError::KeyNeeded
        | ImportError::OtherKey { .. }
        | ImportError::Verify(VerifyError::Open { .. })
        | ImportError::Mirror(MirrorError::Gap { .. }) => CliError::explain(error),
        ImportError::Verify(_) | ImportError::Mirror(MirrorError::Fork { .. }) | ImportError::Checkpoint(_) => {
            CliError::verification("the archive was not taken").because_of(error)
        }
        _ => CliError::failed("the archive was not taken").because_of(error),
    }
}
