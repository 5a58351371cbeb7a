//! `nats activation`: lets an account, of this ledger or of elsewhere, import a private export.

use std::path::PathBuf;

use cim_keys::authority::nats::{self, lookup, sharing};
use cim_keys::nats::claims::ExportType;
use clap::{Args, Subcommand};

use super::flags::Expiry;
use super::import::public_key;
use crate::act::{Acting, EndAct as _};
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ActivationCommand {
    /// Sign an activation, for `nats import add --activation` of whoever imports
    Add(AddArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account that exports: its name or public key
    account: String,
    /// The subject that may be imported, at most what is exported
    subject: String,
    /// The account that may import: its name or public key
    #[arg(long, visible_alias = "for", value_name = "ACCOUNT")]
    target_account: String,
    /// It is a service
    #[arg(long)]
    service: bool,
    /// When it ends by itself: a date, an RFC 3339 time, a time from now, or never
    #[arg(long, visible_alias = "expiry", value_name = "TIME")]
    expires: Option<Expiry>,
    /// The file to write, which must not exist yet; - for standard output
    #[arg(long, visible_alias = "file", value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: ActivationCommand, global: &Global, ui: Ui) -> Result {
    let ActivationCommand::Add(args) = command;
    let mut out = crate::commands::out::Out::create(&args.out)?;
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let done = acting.act(|draft| {
        nats::edit(draft, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let importer = public_key(nats.view(), &args.target_account)?;
            let kind = if args.service { ExportType::Service } else { ExportType::Stream };
            let expires = args.expires.and_then(Expiry::time);
            sharing::activate(nats, &account, &importer, &args.subject, kind, expires)
        })
    })?;
    let mut text = done.value.text.take().unwrap_or_default();
    text.push('\n');
    out.write(text.as_bytes())?;
    if out.is_standard_output() {
        return done.end(ui.aside());
    }
    acting.report(&done.events)?;
    done.end(ui)
}
