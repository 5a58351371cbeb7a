//! `nats auth-callout`: a service that decides who may connect.

use cim_keys::authority::nats::auth_callout::{self, Xkey};
use cim_keys::authority::nats::{NatsError, lookup};
use cim_keys::ledger::View;
use cim_keys::text::Note;
use clap::{Args, Subcommand};

use super::acts;
use super::import::public_key;
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCalloutCommand {
    /// Let a service decide who may connect to an account, and change what is said of it
    Edit(EditArgs),
    /// Give the account a new encryption key, in custody; `key export` hands it to the service
    RotateXkey(RotateArgs),
    /// Let tokens decide again
    Disable(DisableArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// The account: its name or public key
    account: String,
    /// The service's own users, which the service does not decide on: their names in the account, or public keys
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    auth_user: Vec<String>,
    /// Accounts that the service may put users into: names or public keys, or * alone
    #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
    allowed_account: Vec<String>,
    /// The key that requests are encrypted to: `generate`, a public key (X…), or `none`
    #[arg(long, visible_alias = "curve", value_name = "KEY")]
    xkey: Option<String>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The account: its name or public key
    account: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DisableArgs {
    /// The account: its name or public key
    account: String,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: AuthCalloutCommand, global: &Global, ui: Ui) -> Result {
    match command {
        AuthCalloutCommand::Edit(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let users = keys(&args.auth_user, |user| user_key(nats.view(), account.account.name.as_str(), user))?;
            let allowed = keys(&args.allowed_account, |text| match text {
                "*" => Ok(text.to_owned()),
                text => public_key(nats.view(), text),
            })?;
            let xkey = args.xkey.as_deref().map(|text| match text {
                "generate" => Xkey::Generated,
                "none" => Xkey::None,
                key => Xkey::Known(key.to_owned()),
            });
            auth_callout::set(nats, &account, users.as_deref(), allowed.as_deref(), xkey.as_ref())
        }),
        AuthCalloutCommand::RotateXkey(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            auth_callout::rotate_xkey(nats, &account, &args.reason)
        }),
        AuthCalloutCommand::Disable(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            auth_callout::set(nats, &account, Some(&[]), Some(&[]), Some(&Xkey::None))
        }),
    }
}

/// What was given, each as a public key; `None` when nothing was.
fn keys(
    given: &[String],
    key: impl Fn(&str) -> std::result::Result<String, NatsError>,
) -> std::result::Result<Option<Vec<String>>, NatsError> {
    if given.is_empty() {
        return Ok(None);
    }
    given.iter().map(|text| key(text)).collect::<std::result::Result<_, _>>().map(Some)
}

fn user_key(view: &dyn View, account: &str, text: &str) -> std::result::Result<String, NatsError> {
    if cim_keys::nats::jwt::is_public_key(text, &['U']) {
        return Ok(text.to_owned());
    }
    let which = if text.contains('/') { text.to_owned() } else { format!("{account}/{text}") };
    Ok(lookup::user(view, &which)?.1.user.public_key.to_string())
}
