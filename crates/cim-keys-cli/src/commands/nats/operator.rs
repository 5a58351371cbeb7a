//! `nats operator`: made with its signing key and system account, edited, rotated.

use cim_keys::act::Question;
use cim_keys::authority::nats::accounts::NewAccount;
use cim_keys::authority::nats::{lookup, operators};
use cim_keys::custody::{ISSUING, ROOT};
use cim_keys::events::Set;
use cim_keys::ids::{NatsAccountId, NatsOperatorId};
use cim_keys::ledger::{EntityRef, Kind};
use cim_keys::text::{Label, Name, Note, Url, visible};
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::flags::{OverlapArgs, TagArgs};
use crate::commands::entities::{self, ListArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Make the operator, its signing key and its system account; asks for no passphrase
    Add(AddArgs),
    /// Change what the operator's token says
    Edit(EditArgs),
    /// Show the operator
    #[command(visible_alias = "describe")]
    Show,
    /// List operators: a ledger has one
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Replace the operator's signing key, and sign every account anew
    Rotate(RotateArgs),
    /// Give the operator up: this ledger signs for it no more. Refused while it has accounts, but with --with-accounts
    #[command(visible_alias = "revoke")]
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// The system account's name
    #[arg(long, value_name = "NAME", default_value = "SYS", value_parser = Name::typed)]
    system_account: Name,
    /// Keep the signing key cold, in compartment `root`: every change of an account, a revocation too, then needs the root
    /// passphrase
    #[arg(long, conflicts_with = "no_signing_key")]
    cold: bool,
    /// Make no signing key: the identity key signs accounts, and must be at hand whenever one changes
    #[arg(long, conflicts_with = "strict")]
    no_signing_key: bool,
    /// Let servers refuse what identity keys sign
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
struct Details {
    /// Where clients connect, such as nats://n1.example:4222
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    service_url: Vec<Url>,
    /// Where account tokens are looked up
    #[arg(long, value_name = "URL")]
    account_server_url: Option<Url>,
    /// The oldest server that may be used, such as 2.12.0
    #[arg(long, value_name = "VERSION")]
    assert_server_version: Option<String>,
    #[command(flatten)]
    tags: TagArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Whether servers shall refuse what identity keys sign
    #[arg(long, value_name = "BOOL")]
    strict: Option<bool>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    /// The custody compartment of the new key: root for a cold one [default: that of the key before]
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    #[command(flatten)]
    overlap: OverlapArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    /// Delete all of its accounts with it, and cut their users off
    #[arg(long)]
    with_accounts: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: OperatorCommand, global: &Global, ui: Ui) -> Result {
    match command {
        OperatorCommand::Add(args) => add(&args, global, ui),
        OperatorCommand::Edit(args) => edit(&args, global, ui),
        OperatorCommand::Show => {
            let (session, operator) = look(global, lookup::operator)?;
            let reference = EntityRef::from(operator.operator.operator_id);
            let entity = session.store().view(|view| view.get(reference))?;
            let entity = entity.map_err(|error| CliError::failed(error.to_string()))?;
            entity.map_or(Ok(()), |entity| entities::print(&session, &entity, &[Kind::Account, Kind::SigningKey], ui))
        }
        OperatorCommand::List(args) => {
            entities::list(Kind::Operator, &args, &["NAME", "PUBLIC KEY", "STATUS"], global, ui, |_, entity| {
                let cim_keys::ledger::Facts::Operator(it) = &entity.facts else { return Vec::new() };
                vec![it.operator.name.to_string(), it.operator.public_key.to_string(), entity.status().into()]
            })
        }
        OperatorCommand::Delete(args) => delete(&args, global, ui),
        OperatorCommand::Rotate(args) => acts::act(&args.passphrases, global, ui, |nats| {
            nats.ask(Question::new(
                "Replace the operator's signing key, and sign every account anew?",
                "nothing was rotated",
            ));
            let (compartment, until) = (args.compartment.as_ref(), args.overlap.until());
            operators::rotate_signing_key(nats, compartment, until, &args.reason).map(|_| ())
        }),
    }
}

fn add(args: &AddArgs, global: &Global, ui: Ui) -> Result {
    acts::act(&args.passphrases, global, ui, |nats| {
        let system = NewAccount {
            id: NatsAccountId::mint(),
            name: args.system_account.clone(),
            description: None,
            system: true,
        };
        let compartment = if args.cold { ROOT } else { ISSUING };
        let signing_key = if args.no_signing_key { None } else { Some(Label::new(compartment)?) };
        let new = operators::NewOperator {
            id: NatsOperatorId::mint(),
            name: args.name.clone(),
            system_account: system,
            signing_key,
            strict: args.strict,
            service_urls: args.details.service_url.iter().cloned().collect(),
            account_server_url: args.details.account_server_url.clone(),
        };
        let details = &args.details;
        operators::add(nats, new, &|claims| {
            claims.assert_server_version = details.assert_server_version.clone().unwrap_or_default();
            details.tags.apply(&mut claims.generic.tags);
        })
        .map(|_| ())
    })
}

fn delete(args: &DeleteArgs, global: &Global, ui: Ui) -> Result {
    let (_, (operator, accounts)) = look(global, |view| {
        let operator = lookup::operator(view)?.operator;
        let accounts = lookup::accounts(view, None)?.into_iter().map(|it| it.account).filter(|it| !it.system);
        Ok((operator, accounts.map(|it| visible(it.name.as_str()).into_owned()).collect::<Vec<_>>()))
    })?;
    let name = visible(operator.name.as_str());
    if !accounts.is_empty() && !args.with_accounts {
        return Err(CliError::refused(format!(
            "operator {name} has {} accounts: {}",
            accounts.len(),
            first(&accounts)
        ))
        .hint("delete each with `cim-keys nats account delete`, or all of them now with --with-accounts")
        .hint("if its signing key may be in wrong hands, `cim-keys nats operator rotate` replaces that key"));
    }
    if !ui.is_json() {
        ui.note("Servers do not learn of this: they trust the operator until its token is out of their configuration and they are restarted.");
    }
    let what = match accounts.len() {
        0 => String::new(),
        count => format!(" and its {count} accounts, {}", first(&accounts)),
    };
    acts::act(&args.passphrases, global, ui, |nats| {
        nats.ask(Question::new(
            format!("Give up operator {name}{what}? Nothing is signed for it here any more."),
            "nothing was deleted",
        ));
        operators::delete(nats, args.with_accounts, &args.reason)
    })
}

/// The first of many names.
fn first(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", "))
}

fn edit(args: &EditArgs, global: &Global, ui: Ui) -> Result {
    let details = &args.details;
    acts::act(&args.passphrases, global, ui, |nats| {
        operators::edit(
            nats,
            &|operator| {
                if let Some(name) = &args.name {
                    operator.name = name.clone();
                }
                if let Some(strict) = args.strict {
                    operator.strict_signing_key_usage = strict;
                }
                if !details.service_url.is_empty() {
                    operator.service_urls = details.service_url.iter().cloned().collect::<Set<_>>();
                }
                if details.account_server_url.is_some() {
                    operator.account_server_url = details.account_server_url.clone();
                }
            },
            &|claims| {
                if let Some(version) = &details.assert_server_version {
                    claims.assert_server_version = version.clone();
                }
                details.tags.apply(&mut claims.generic.tags);
            },
        )
    })
}
