//! `nats revocation`: what accounts refuse, seen from the account.

use cim_keys::act::Question;
use cim_keys::authority::nats::{lookup, revocations};
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::export::ListArgs;
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum RevocationCommand {
    /// Refuse what was issued up to now to a key that is no user of this ledger, or with * to everybody
    Add(KeyArgs),
    /// List revocations
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Take revocations back: the tokens that they refused are good again
    Clear(KeysArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The account: its name or public key
    account: String,
    /// The user's public key, or * for everybody
    key: String,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// The account: its name or public key
    account: String,
    /// Public keys of users, or *
    #[arg(required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: RevocationCommand, global: &Global, ui: Ui) -> Result {
    match command {
        RevocationCommand::Add(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            revocations::add(nats, &account, &args.key)
        }),
        RevocationCommand::Clear(args) => {
            let what = args.keys.join(", ");
            acts::act(&args.passphrases, global, ui, |nats| {
                nats.ask(Question::new(
                    format!("Let tokens of {what} in again that were revoked?"),
                    "nothing was cleared",
                ));
                let account = lookup::account(nats.view(), &args.account)?;
                revocations::clear(nats, &account, &args.keys)
            })
        }
        RevocationCommand::List(args) => list(&args, global, ui),
    }
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let (_, found) = look(global, |view| {
        let mut found = Vec::new();
        for account in lookup::accounts(view, args.account())? {
            found.extend(revocations::list(view, &account)?);
        }
        Ok(found)
    })?;
    let mut rows = Vec::new();
    for one in found {
        ui.object(&one)?;
        let at = Timestamp::from_unix_micros(one.revoked_at.saturating_mul(1_000_000));
        let at = at.map_or_else(|| one.revoked_at.to_string(), |at| at.to_string());
        let row = [one.account, one.public_key, one.user.unwrap_or_else(|| "-".to_owned()), at];
        rows.push(row.iter().map(|cell| visible(cell).into_owned()).collect());
    }
    if rows.is_empty() {
        return ui.line("Nothing is revoked.");
    }
    ui.table(&["ACCOUNT", "PUBLIC KEY", "USER", "ISSUED UP TO"], &rows)
}
