//! `nats creds`: a user's credentials, for a file of one's own, for standard output, or sealed to somebody.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use cim_keys::app::nats::{creds, lookup};
use cim_keys::custody::{SecretBytes, seal_to};
use cim_keys::ledger::Command;
use cim_keys::text::{Note, Recipient, visible};
use clap::Args;
use secrecy::ExposeSecret as _;

use super::Keys;
use crate::cli::Global;
use crate::error::{CliError, Result};
use crate::ledger;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct CredsArgs {
    /// Whose: ACCOUNT/USER, or its public key
    which: String,
    /// The file to write, which must not exist yet, mode 0600; `-` for standard output [default: USER.creds]
    #[arg(long, short = 'f', visible_alias = "out", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Seal them to this age recipient (age1…); the file gets .age behind its name
    #[arg(long, value_name = "RECIPIENT")]
    to: Option<Recipient>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(args: &CredsArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::write(global)?;
    let custody = session.custody()?;
    let restricted = super::restricted(&session)?;
    let mut keys = Keys::new(&custody, &args.passphrases)?;
    let (user, text) = session.store().view(|view| {
        let (_, user) = lookup::user(view, &args.which)?;
        let creds = creds::creds(view, &restricted, &mut keys, &user)?;
        Ok::<_, cim_keys::app::nats::NatsError>((user, creds.to_text()))
    })??;
    let plain = SecretBytes::new(Box::new(text.as_bytes().to_vec()));
    let content = match &args.to {
        None => plain,
        Some(recipient) => seal_to(recipient, &plain).map_err(|error| CliError::failed(error.to_string()))?,
    };
    // Nothing leaves unrecorded.
    let (key_id, recipient) = (user.user.key_id, args.to.clone());
    let reason = Note::typed("credentials of the user were written")?;
    session.store().execute(session.context(), vec![Command::ExportKey { key_id, recipient, reason }])?;
    let default = || {
        let suffix = if args.to.is_some() { "creds.age" } else { "creds" };
        PathBuf::from(format!("{}.{suffix}", file_name(user.user.name.as_str())))
    };
    let path = args.file.clone().unwrap_or_else(default);
    if path.as_os_str() == "-" {
        return ui.raw(content.expose_secret());
    }
    let shown = visible(&path.to_string_lossy()).into_owned();
    let cannot = |error: std::io::Error| {
        CliError::failed(format!("cannot write {shown}")).because(&error).hint("name a file that does not exist yet")
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
    file.write_all(content.expose_secret()).and_then(|()| file.sync_all()).map_err(cannot)?;
    ui.object(&serde_json::json!({ "file": shown, "user": user.user.name, "public_key": user.user.public_key }))?;
    ui.line(format_args!("The credentials of {} are in {shown}.", visible(user.user.name.as_str())))
}

/// A user's name as a file's.
pub(super) fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect()
}
