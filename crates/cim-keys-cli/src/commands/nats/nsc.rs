//! `nats import` and `nats export`: an nsc home becomes a ledger, and a ledger an nsc home.

use std::path::PathBuf;

use cim_keys::act::Question;
use cim_keys::authority::nats;
use cim_keys::authority::nats::nsc::{self, ExportError, Home, Keyring, Seeds};
use cim_keys::text::visible;
use clap::Args;
use serde_json::json;

use crate::act::{Acting, EndAct as _};
use crate::commands::init;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;
use crate::{ledger, place};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The nsc home: its data folder, the folder `stores` in it, or what `nsc --all-dirs` was given
    #[arg(long, value_name = "DIR")]
    nsc: Option<PathBuf>,
    /// The folder with the seeds, where it is not `keys` in the home (nsc's NKEYS_PATH)
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Which operator, where the home has several: a ledger has one
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    #[command(flatten)]
    custody: init::CustodyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder to write, which must not exist yet; `nsc --all-dirs DIR` opens it
    #[arg(long, value_name = "DIR")]
    nsc: Option<PathBuf>,
    /// Write the private keys too, in plaintext as nsc keeps them; recorded for each
    #[arg(long)]
    with_seeds: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

/// The home, which these commands are about unless a subcommand says otherwise.
fn named(home: Option<&PathBuf>) -> Result<&PathBuf> {
    home.ok_or_else(|| CliError::usage("say what to do: add, edit, list or delete; or name an nsc home with --nsc DIR"))
}

pub(crate) fn import(args: &ImportArgs, global: &Global, ui: Ui) -> Result {
    let nsc = named(args.nsc.as_ref())?;
    let home = Home::open(nsc)?;
    let name = home.choose(args.operator.as_deref())?.to_owned();
    let mut skipped = Vec::new();
    let stored = home.read(&name, &mut skipped)?;
    let keys = args.keys.clone().unwrap_or_else(|| nsc.join("keys"));
    let keyring = Keyring::open(&keys, home.folder(), &name);

    let mut acting = open_or_make(args, global, ui)?;
    let done =
        acting.act(|draft| nats::edit(draft, |nats| nsc::import(nats, &home, &stored, &keyring, skipped.clone())))?;
    let (report, events) = (&done.value, &done.events);
    let shown = |paths: &[nsc::Skipped]| -> Vec<_> {
        paths.iter().map(|one| json!({ "path": one.path, "reason": one.reason })).collect()
    };
    ui.object(&json!({
        "operator": report.operator,
        "accounts": report.accounts,
        "users": report.users,
        "signing_keys": report.signing_keys,
        "seeds": report.seeds,
        "events": events.len(),
        "without_seed": report.without_seed,
        "not_taken": shown(&report.skipped),
        "warnings": report.warnings,
        "orphans": report.orphans,
    }))?;
    for one in &report.skipped {
        ui.line(format_args!("  ! not taken: {}: {}", visible(&one.path.to_string_lossy()), visible(&one.reason)))?;
    }
    for key in &report.without_seed {
        ui.line(format_args!("  ! {key}: the home does not have its seed; only the public half is recorded"))?;
    }
    for warning in &report.warnings {
        ui.line(format_args!("  ! {}", visible(warning)))?;
    }
    if !report.orphans.is_empty() {
        ui.line(format_args!("  ! seeds that no operator of the home refers to, and that were not read:"))?;
        report.orphans.iter().try_for_each(|key| ui.line(format_args!("      {key}")))?;
    }
    if events.is_empty() {
        ui.done("Nothing changed: all of it is recorded already.")?;
        return done.end(ui);
    }
    ui.done(format_args!(
        "Operator {} with {} accounts, {} users and {} signing keys is taken: {} events, {} seeds sealed in custody.",
        visible(&report.operator),
        report.accounts,
        report.users,
        report.signing_keys,
        events.len(),
        report.seeds
    ))?;
    if report.seeds > 0 {
        ui.line("These seeds lay in plaintext, and whoever read them has them. Rotate what matters:")?;
        ui.line("  cim-keys nats operator rotate --reason …")?;
        ui.line("  cim-keys nats signing-key rotate ACCOUNT ROLE --reason …")?;
        ui.line("  cim-keys nats user rotate ACCOUNT/USER --reason …")?;
        ui.line("and then remove the home's `keys` and `creds`; until then nsc can go on signing beside this ledger.")?;
    }
    done.end(ui)
}

/// The ledger that is meant; it is made when it is absent, as `apply` does.
fn open_or_make(args: &ImportArgs, global: &Global, ui: Ui) -> Result<Acting> {
    let folder = place::ledger_or_new(global)?.ok_or_else(|| {
        CliError::usage("no ledger was named, and there is none in this folder or above it")
            .hint("name one with --ledger DIR; it is made when it is absent")
    })?;
    if folder.join(place::LEDGER_FILE).exists() {
        return Acting::begin(global, args.custody.passphrases(), ui);
    }
    let session = init::make(&folder, None, init::Manner::default(), &args.custody, ui)?;
    ui.done(format_args!("The ledger is made in {}.", visible(&folder.display().to_string())))?;
    Acting::on(ledger::as_actor(session, global)?, args.custody.passphrases(), ui)
}

pub(crate) fn export(args: &ExportArgs, global: &Global, ui: Ui) -> Result {
    let nsc = named(args.nsc.as_ref())?;
    if nsc.symlink_metadata().is_ok() {
        return Err(ExportError::Exists(nsc.clone()).into());
    }
    let seeds = if args.with_seeds { Seeds::Plaintext } else { Seeds::Without };
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let done = acting.act(|draft| {
        if args.with_seeds {
            let question = "Write every private key of these identities in plaintext?";
            draft.ask(Question::new(question, "nothing was exported"));
        }
        nsc::export(draft, seeds)
    })?;
    let home = &done.value;
    home.write(nsc)?;
    let shown = visible(&nsc.to_string_lossy()).into_owned();
    ui.object(&json!({
        "nsc": shown,
        "operator": home.operator,
        "accounts": home.accounts,
        "users": home.users,
        "seeds": home.keys.len(),
        "without_seed": home.without_seed,
    }))?;
    for key in &home.without_seed {
        ui.line(format_args!("  ! {key}: its private half is not in custody, so nsc can't sign with it"))?;
    }
    ui.done(format_args!(
        "Operator {}, {} accounts, {} users and {} seeds are in {shown}.",
        visible(&home.operator),
        home.accounts,
        home.users,
        home.keys.len()
    ))?;
    ui.line(format_args!("  nsc --all-dirs {shown} describe operator"))?;
    if home.keys.is_empty() {
        ui.line("It holds no private keys, so nsc can't sign; --with-seeds writes them, in plaintext.")?;
        return done.end(ui);
    }
    ui.line("What nsc signs from now on is not in this ledger; `cim-keys nats import --nsc` takes it back.")?;
    done.end(ui)
}
