//! `nats account`: made, edited, deleted.

use cim_keys::act::Question;
use cim_keys::authority::nats::accounts::{self, NewAccount};
use cim_keys::authority::nats::{self, NatsError, lookup, revocations};
use cim_keys::ids::NatsAccountId;
use cim_keys::ledger::{Entity, EntityRef, Facts, Kind};
use cim_keys::text::{Name, Note};
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::flags::{AccountArgs, OverlapArgs};
use crate::act::{Acting, EndAct as _};
use crate::commands::entities::{self, ListArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account: nothing is limited, and JetStream is off, unless said otherwise
    Add(Box<AddArgs>),
    /// Change what an account may use, its default permissions, tags, name or description
    Edit(Box<EditArgs>),
    /// List accounts
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show an account with its users and signing keys
    #[command(visible_alias = "describe")]
    Show(WhichArgs),
    /// Cut all of an account's users off as they are now: whoever is to go on needs a new token
    Revoke(EndArgs),
    /// Replace all of an account's signing keys, and sign the account and their users anew; its identity key never changes
    Rotate(RotateArgs),
    /// Cut all of an account's users off, and delete it
    Delete(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Which one: its name or public key
    which: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// What it is for
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
    #[command(flatten)]
    details: AccountArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Which one: its name or public key
    which: String,
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Another description
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
    #[command(flatten)]
    details: AccountArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// Which one: its name or public key
    which: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    overlap: OverlapArgs,
}

pub(crate) fn run(command: AccountCommand, global: &Global, ui: Ui) -> Result {
    match command {
        AccountCommand::Add(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let (name, description) = (args.name.clone(), args.description.clone());
            let new = NewAccount { id: NatsAccountId::mint(), name, description, system: false };
            accounts::add(nats, new, &|account| args.details.apply(account))
        }),
        AccountCommand::Edit(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let facts = lookup::account(nats.view(), &args.which)?;
            accounts::edit(
                nats,
                &facts,
                &|account| {
                    if let Some(name) = &args.name {
                        account.name = name.clone();
                    }
                    if args.description.is_some() {
                        account.description = args.description.clone();
                    }
                },
                &|claims| args.details.apply(claims),
            )
        }),
        AccountCommand::List(args) => entities::list(
            Kind::Account,
            &args,
            &["NAME", "PUBLIC KEY", "ISSUED", "STATUS"],
            global,
            ui,
            |_, entity| {
                let Facts::Account(it) = &entity.facts else { return Vec::new() };
                let issued = it.token.as_ref().map_or("-".into(), |token| token.issued_at.to_string());
                vec![it.account.name.to_string(), it.account.public_key.to_string(), issued, entity.status().into()]
            },
        ),
        AccountCommand::Show(args) => {
            let (session, account) = look(global, |view| lookup::account(view, &args.which))?;
            let entity = session.store().view(|view| view.get(EntityRef::from(account.account.account_id)))?;
            let entity = entity.map_err(|error| CliError::failed(error.to_string()))?;
            entity.map_or(Ok(()), |entity| entities::print(&session, &entity, &[Kind::User, Kind::SigningKey], ui))
        }
        AccountCommand::Revoke(args) => {
            tell_cut_off(&args.which, global, ui)?;
            acts::act(&args.passphrases, global, ui, |nats| {
                nats.ask(Question::new(
                    format!("Refuse every token that was issued to users of {} up to now?", args.which),
                    "nothing was revoked",
                ));
                let facts = lookup::account(nats.view(), &args.which)?;
                revocations::add(nats, &facts, "*")
            })
        }
        AccountCommand::Rotate(args) => rotate(&args, global, ui),
        AccountCommand::Delete(args) => {
            tell_cut_off(&args.which, global, ui)?;
            acts::act(&args.passphrases, global, ui, |nats| {
                nats.ask(Question::new(
                    format!("Delete the account {} and cut all of its users off?", args.which),
                    "nothing was deleted",
                ));
                let facts = lookup::account(nats.view(), &args.which)?;
                accounts::delete(nats, &facts, &args.reason)
            })
        }
    }
}

fn rotate(args: &RotateArgs, global: &Global, ui: Ui) -> Result {
    let RotateArgs { end, overlap } = args;
    let mut acting = Acting::begin(global, &end.passphrases, ui)?;
    let done = acting.act(|draft| {
        nats::edit(draft, |nats| {
            let facts = lookup::account(nats.view(), &end.which)?;
            let elsewhere = accounts::rotate(nats, &facts, overlap.until(), &end.reason)?;
            Ok((facts, elsewhere))
        })
    })?;
    acting.report(&done.events)?;
    let (facts, elsewhere) = &done.value;
    let by_identity = acting.session().store().view(|view| -> std::result::Result<usize, NatsError> {
        let users = lookup::members(view, facts.account.account_id.into(), Kind::User)?;
        let signed = |user: &Entity| {
            matches!(&user.facts, Facts::User(it)
            if it.token.as_ref().is_some_and(|token| token.issuer == facts.account.public_key))
        };
        Ok(users.iter().filter(|user| user.is_active() && signed(user)).count())
    })??;
    for key in elsewhere {
        ui.warn(format_args!(
            "{key} stays: its private half is elsewhere; its successor is made there, by `cim-keys nats issuer add`"
        ));
    }
    if by_identity > 0 {
        ui.warn(format_args!(
            "{by_identity} users are signed by the identity key, which never changes; they keep their tokens"
        ));
    }
    if !ui.is_json() {
        ui.note("Push the account, and hand its users' credentials out anew: `cim-keys nats creds`.");
    }
    done.end(ui)
}

/// Says whose users an account's end would cut off.
fn tell_cut_off(which: &str, global: &Global, ui: Ui) -> Result {
    let (_, names) = look(global, |view| {
        let account = lookup::account(view, which)?;
        let users = lookup::members(view, account.account.account_id.into(), Kind::User)?;
        let active = users.into_iter().filter(Entity::is_active);
        Ok(active.filter_map(|user| user.facts.name().map(ToString::to_string)).collect::<Vec<_>>())
    })?;
    acts::tell_cut_off(&names, ui);
    Ok(())
}
