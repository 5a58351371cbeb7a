//! `custody`: the compartments that private keys are sealed in.

use std::path::PathBuf;

use cim_keys::custody::UnlockError;
use cim_keys::events::CustodyRecipientAdded;
use cim_keys::ledger::Command;
use cim_keys::ledger::lookup;
use cim_keys::session::Session;
use cim_keys::session::custody::{self, Comparison};
use cim_keys::text::{Label, Recipient, visible};
use clap::{Args, Subcommand};

use super::changes;
use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::passphrase::{PassphraseArgs, Passphrases};
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum CustodyCommand {
    /// List compartments with their public recipients
    List,
    /// Make a compartment, with a passphrase of its own
    Add(AddArgs),
    /// Record who opens a compartment: a person, or whoever holds a role
    Holder(HolderArgs),
    /// Try whether a passphrase opens a compartment
    Test(TestArgs),
    /// Give a compartment another passphrase
    Passphrase(ChangeArgs),
    /// Compare what is sealed with the keys that are recorded; opens nothing
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    compartment: Label,
    /// Who opens it: person:WHO, role:WHICH or unit:WHICH
    #[arg(long, value_name = "PARTY")]
    holder: Option<String>,
    /// Write a generated passphrase to standard error, once, even when that is no terminal
    #[arg(long)]
    show_passphrase: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HolderArgs {
    /// Which compartment
    compartment: Label,
    /// Who opens it: person:WHO, role:WHICH or unit:WHICH
    holder: String,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Which compartment
    compartment: Label,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Which compartment
    compartment: Label,
    /// Read the new passphrase from this file, which only you may read
    #[arg(long, value_name = "FILE", conflicts_with = "show_passphrase")]
    new_passphrase_file: Option<PathBuf>,
    /// Generate the new passphrase, and write it to standard error, once
    #[arg(long)]
    show_passphrase: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Remove secrets of keys that are not recorded, as a command that was killed leaves them
    #[arg(long)]
    remove_orphans: bool,
}

pub(crate) fn run(command: CustodyCommand, global: &Global, ui: Ui) -> Result {
    match command {
        CustodyCommand::List => list(global, ui),
        CustodyCommand::Add(args) => add(&args, global, ui),
        CustodyCommand::Holder(args) => holder(&args, global, ui),
        CustodyCommand::Test(args) => test(&args, global, ui),
        CustodyCommand::Passphrase(args) => change(&args, global, ui),
        CustodyCommand::Check(args) => check(&args, global, ui),
    }
}

fn list(global: &Global, ui: Ui) -> Result {
    let custody = ledger::read(global)?.custody()?;
    let mut rows = Vec::new();
    for (compartment, recipient) in custody.compartments() {
        let secrets = custody.keys(compartment)?.len();
        ui.object(&serde_json::json!({ "compartment": compartment, "recipient": recipient, "secrets": secrets }))?;
        rows.push(vec![compartment.to_string(), secrets.to_string(), recipient]);
    }
    ui.table(&["COMPARTMENT", "SECRETS", "RECIPIENT"], &rows)
}

fn add(args: &AddArgs, global: &Global, ui: Ui) -> Result {
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let session = acting.session();
    let holder = args.holder.as_deref().map(|holder| session.store().view(|view| lookup::party(view, holder)));
    let holder = holder.transpose()?.transpose()?;
    let mut custody = session.custody()?;
    let passphrases = Passphrases::new(&args.passphrases)?;
    if custody::unrecorded_compartments(session.store(), &custody)?.contains(&args.compartment) {
        // An earlier run was cut short when the compartment was made and its passphrase shown: only recording it is left.
        passphrases.unlock(&custody, &args.compartment)?;
    } else {
        let new = passphrases.for_new(std::slice::from_ref(&args.compartment), args.show_passphrase)?;
        for (compartment, passphrase) in &new.passphrases {
            custody.add_compartment_shown(compartment, passphrase, || new.show(ui))?;
        }
    }
    let recipient =
        Recipient::new(&custody.recipient(&args.compartment).map_err(|e| CliError::failed(e.to_string()))?)?;
    let compartment = args.compartment.clone();
    let announced = Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder });
    acting.record(|draft| draft.command(announced.clone()))
}

/// Records who opens a compartment that is there.
fn holder(args: &HolderArgs, global: &Global, ui: Ui) -> Result {
    let mut acting = Acting::begin(global, &global.passphrases, ui)?;
    let custody = acting.session().custody()?;
    let recipient = Recipient::new(&custody.recipient(&args.compartment).map_err(UnlockError::from)?)?;
    acting.record(|draft| {
        changes::found(draft, &|view| {
            let holder = Some(lookup::party(view, &args.holder)?);
            let (compartment, recipient) = (args.compartment.clone(), recipient.clone());
            Ok(vec![Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder })])
        })
    })
}

fn test(args: &TestArgs, global: &Global, ui: Ui) -> Result {
    let custody = ledger::read(global)?.custody()?;
    Passphrases::new(&args.passphrases)?.unlock(&custody, &args.compartment)?;
    ui.object(&serde_json::json!({ "compartment": args.compartment, "opens": true }))?;
    ui.done(format_args!("The passphrase opens compartment {}.", args.compartment))
}

fn change(args: &ChangeArgs, global: &Global, ui: Ui) -> Result {
    let custody = ledger::read(global)?.custody()?;
    let passphrases = Passphrases::new(&args.passphrases)?;
    let old = passphrases.existing(&args.compartment)?;
    // A wrong one is told before a new one is asked for.
    custody.unlock(&args.compartment, old.clone())?;
    let new = passphrases.replacement(&args.compartment, args.new_passphrase_file.as_deref(), args.show_passphrase)?;
    // Shown first: cut short in between, the old one still opens the compartment.
    new.show(ui)?;
    for (compartment, passphrase) in &new.passphrases {
        custody.change_passphrase(compartment, old.clone(), passphrase)?;
    }
    ui.object(&serde_json::json!({ "compartment": args.compartment, "changed": true }))?;
    ui.done(format_args!(
        "Compartment {} has another passphrase. Older copies still open with the old one.",
        args.compartment
    ))
}

fn check(args: &CheckArgs, global: &Global, ui: Ui) -> Result {
    let session = if args.remove_orphans { ledger::write(global)? } else { ledger::read(global)? };
    if args.remove_orphans {
        session.custody()?.remove_unfinished().map_err(custody::CheckError::from)?;
    }
    let mut found = compare(&session)?;
    if args.remove_orphans && !found.files.orphans.is_empty() {
        let question = format!("Remove {} sealed secrets of keys that are not recorded?", found.files.orphans.len());
        if ui.confirm(&question)? {
            let removed = custody::remove_orphans(&session.custody()?, &found.files)?;
            ui.note(format_args!("Removed: {removed}"));
            found = compare(&session)?;
        }
    }
    let key = |(compartment, key): &(Label, cim_keys::ids::KeyId)| format!("{compartment}/{key}");
    let path = |path: &PathBuf| visible(&path.to_string_lossy()).into_owned();
    let missing: Vec<_> = found.files.missing.iter().map(key).collect();
    let orphans: Vec<_> = found.files.orphans.iter().map(key).collect();
    let strays: Vec<_> = found.files.strays.iter().map(path).collect();
    ui.object(&serde_json::json!({
        "ok": found.is_clean(), "missing": missing, "orphans": orphans, "strays": strays,
        "damaged": found.files.damaged, "exchanged": found.exchanged, "absent": found.absent,
    }))?;
    if found.is_clean() {
        return ui.done("Every recorded key has its secret, and every secret its key.");
    }
    let named = found.files.missing.iter().map(|it| Ok(format!("{} ({})", key(it), name_of(&session, it.1)?)));
    let named = named.collect::<Result<Vec<_>>>()?;
    Err(told(&found, &named, &orphans, &strays))
}

/// What people call a recorded key.
fn name_of(session: &Session, key: cim_keys::ids::KeyId) -> Result<String> {
    let entity = session.store().view(|view| view.get(key.into()))?;
    let entity = entity.map_err(cim_keys::ledger::lookup::LookupError::from)?;
    Ok(entity.map_or_else(|| "unknown".into(), |entity| entity.label()))
}

fn compare(session: &Session) -> Result<Comparison> {
    Ok(custody::check(session.store(), &session.custody()?)?)
}

fn told(found: &Comparison, missing: &[String], orphans: &[String], strays: &[String]) -> CliError {
    let mut told = CliError::verification("custody and the ledger do not agree");
    for compartment in &found.exchanged {
        told = told.detail(format!("{compartment}: its recipient is not the one that is recorded"));
    }
    for compartment in &found.absent {
        told = told.detail(format!("{compartment}: the compartment is recorded, and not there"));
    }
    for (what, keys) in [("its secret is missing", missing), ("a secret without a recorded key", orphans)] {
        told = keys.iter().fold(told, |told, key| told.detail(format!("{key}: {what}")));
    }
    told = found.files.damaged.iter().fold(told, |told, damaged| told.detail(damaged.clone()));
    told = strays.iter().fold(told, |told, path| told.detail(format!("{path}: nothing that belongs there")));
    match missing.is_empty() && found.files.damaged.is_empty() && found.exchanged.is_empty() && found.absent.is_empty()
    {
        true => told.hint("`cim-keys custody check --remove-orphans` removes secrets without a key"),
        false => told.hint(
            "bring what is missing back from a backup; whoever exchanged a recipient can open what was sealed since",
        ),
    }
}
