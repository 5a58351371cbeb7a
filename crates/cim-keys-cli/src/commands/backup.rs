//! `backup` and `restore`: a whole ledger in one file, and back.

use std::path::{Path, PathBuf};

use cim_keys::app::backup::{self, BackupError, RestoreError};
use cim_keys::session::{Place, Session};
use clap::Args;
use serde_json::json;

use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder to write a new file into, named after the ledger and the time; or the file to write
    #[arg(value_name = "DIR|FILE")]
    to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup, or a folder of backups, of which the newest is taken
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    /// The ledger's folder, which is made when it is absent; it must not hold a ledger
    #[arg(value_name = "LEDGER")]
    dir: PathBuf,
}

pub(crate) fn run(args: &BackupArgs, global: &Global, ui: Ui) -> Result {
    let place = Place::new(place::ledger(global)?, place::state_folder()?);
    let session = Session::open(place, ledger::system_actor())?;
    let bar = ui.progress("backing up", 0);
    let done = backup::backup(&session, &args.to, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let done = done.map_err(|error| backup_told(&args.to, &error))?;
    ui.object(&json!({
        "file": done.file.to_string_lossy(), "events": done.events, "secrets": done.secrets, "left_out": done.left_out,
        "bytes": done.bytes, "at": done.at, "remembered": done.remembered,
    }))?;
    ui.done(format_args!(
        "Backed up {} events and {} sealed keys to {}: {} bytes.",
        done.events,
        done.secrets,
        done.file.display(),
        done.bytes
    ))?;
    match done.left_out.len() {
        0 => {}
        1 => ui.warn("1 private key is not in it: it cannot leave where it is kept, or it is lost; see `cim-keys custody check`"),
        n => ui.warn(format_args!(
            "{n} private keys are not in it: they cannot leave where they are kept, or they are lost; see `cim-keys custody check`"
        )),
    }
    ui.line("It opens with the passphrases of now. Keep it as you keep the ledger, and not beside the envelopes.")
}

pub(crate) fn restore(args: &RestoreArgs, ui: Ui) -> Result {
    let file = backup::newest(&args.from).map_err(|error| restore_told(&error))?;
    let place = Place::new(&args.dir, place::state_folder()?);
    let spinner = ui.spinner("restoring");
    let restored = backup::restore(&file, &place);
    spinner.finish_and_clear();
    let restored = restored.map_err(|error| restore_told(&error))?;
    ui.object(&json!({
        "ledger": args.dir.to_string_lossy(), "file": restored.file.to_string_lossy(), "name": restored.name,
        "at": restored.at, "events": restored.events, "secrets": restored.secrets, "mirror": restored.mirror,
    }))?;
    ui.done(format_args!(
        "Restored \"{}\" as of {}: {} events and {} sealed keys, in {}.",
        cim_keys::text::visible(&restored.name),
        restored.at,
        restored.events,
        restored.secrets,
        args.dir.display()
    ))?;
    if restored.mirror {
        return Ok(());
    }
    ui.line("It can be read at once. Nothing is recorded in it until it has what is newer than the backup:")?;
    ui.line("  cim-keys recover --from carry MEDIUM   what was carried out, or a mirror's")?;
    ui.line("  cim-keys recover --from nats           what was published")?;
    ui.line("  cim-keys recover --accept-loss         nothing: what is newer is given up")
}

fn backup_told(to: &Path, error: &BackupError) -> CliError {
    match error {
        BackupError::NotThere(_) | BackupError::Exists(_) => CliError::explain(error),
        _ => CliError::failed(format!("the ledger was not backed up to {}", to.display())).because_of(error),
    }
}

fn restore_told(error: &RestoreError) -> CliError {
    match error {
        RestoreError::Io { .. } | RestoreError::Custody(_) | RestoreError::Open(_) => {
            CliError::failed("the backup was not restored").because_of(error)
        }
        _ => CliError::explain(error),
    }
}
