//! `nats user`: made, edited, rotated, cut off.

use cim_keys::act::Question;
use cim_keys::authority::nats::users::{self, NewUser, SignWith};
use cim_keys::authority::nats::{NatsError, lookup};
use cim_keys::events::Party;
use cim_keys::ids::NatsUserId;
use cim_keys::ledger::lookup as entities_lookup;
use cim_keys::ledger::{EntityRef, Facts, Kind, View};
use cim_keys::nats::claims::User;
use cim_keys::nats::presets::Preset;
use cim_keys::text::{Name, Note};
use cim_keys::time::Timestamp;
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::flags::{Expiry, OverlapArgs, PermissionArgs, TagArgs};
use crate::commands::entities::{self, ListArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user: everything is allowed as far as the account goes, unless said otherwise
    Add(Box<AddArgs>),
    /// Change what a user may do, its name or its end
    Edit(Box<EditArgs>),
    /// List users
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a user
    #[command(visible_alias = "describe")]
    Show(WhichArgs),
    /// Cut a user off, and sign its account anew
    #[command(visible_alias = "delete")]
    Revoke(EndArgs),
    /// Give a user a new key with the same permissions; the old one is revoked, at once or at a set time
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Which one: ACCOUNT/USER, or its public key
    which: String,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// ACCOUNT/NAME
    which: String,
    /// Sign with this role, or with the signing key of this public key
    #[arg(long, visible_alias = "signing-key", value_name = "ROLE|KEY")]
    role: Option<String>,
    /// Begin with the permissions of one job: pusher, publisher, subscriber or auditor
    #[arg(long, value_name = "NAME", conflicts_with = "role")]
    preset: Option<Preset>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
struct Details {
    /// Who uses it: person:NAME, unit:NAME or service:NAME
    #[arg(long, value_name = "PARTY")]
    owner: Option<String>,
    /// When it ends by itself: a date, an RFC 3339 time, a time from now (30d, 12h), or never [default: never; a year for
    /// users of a person; 30d for presets pusher and auditor]
    #[arg(long, visible_alias = "expiry", value_name = "TIME")]
    expires: Option<Expiry>,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    tags: TagArgs,
}

impl Details {
    fn apply(&self, user: &mut User) {
        self.permissions.apply(&mut user.permissions);
        self.tags.apply(&mut user.generic.tags);
    }

    fn owner(&self, view: &dyn View) -> std::result::Result<Option<Party>, NatsError> {
        Ok(self.owner.as_deref().map(|text| entities_lookup::party(view, text)).transpose()?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// Which one: ACCOUNT/USER, or its public key
    which: String,
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Sign with this role, or with the signing key of this public key; its permissions replace the user's own
    #[arg(long, visible_alias = "signing-key", value_name = "ROLE|KEY")]
    role: Option<String>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// Which one: ACCOUNT/USER, or its public key
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

pub(crate) fn run(command: UserCommand, global: &Global, ui: Ui) -> Result {
    match command {
        UserCommand::Add(args) => add(&args, global, ui),
        UserCommand::Edit(args) => edit(&args, global, ui),
        UserCommand::List(args) => {
            let headings = ["ACCOUNT", "NAME", "PUBLIC KEY", "EXPIRES", "STATUS"];
            entities::list(Kind::User, &args, &headings, global, ui, |view, entity| {
                let Facts::User(it) = &entity.facts else { return Vec::new() };
                let account = entities::name_of(view, it.user.account_id.into());
                let expires = it.user.expires_at.map_or("-".into(), Timestamp::date);
                let (name, key) = (it.user.name.to_string(), it.user.public_key.to_string());
                vec![account, name, key, expires, entity.status().into()]
            })
        }
        UserCommand::Show(args) => {
            let (session, (_, user)) = look(global, |view| lookup::user(view, &args.which))?;
            let entity = session.store().view(|view| view.get(EntityRef::from(user.user.user_id)))?;
            let entity = entity.map_err(|error| CliError::failed(error.to_string()))?;
            entity.map_or(Ok(()), |entity| entities::print(&session, &entity, &[], ui))
        }
        UserCommand::Revoke(args) => acts::act(&args.passphrases, global, ui, |nats| {
            nats.ask(Question::new(
                format!("Cut the user {} off? It can't be taken back.", args.which),
                "nothing was revoked",
            ));
            let (account, user) = lookup::user(nats.view(), &args.which)?;
            users::revoke(nats, &account, &user, &args.reason)
        }),
        UserCommand::Rotate(RotateArgs { end: args, overlap }) => acts::act(&args.passphrases, global, ui, |nats| {
            let (account, user) = lookup::user(nats.view(), &args.which)?;
            users::rotate(nats, &account, &user, overlap.until(), &args.reason)
        }),
    }
}

fn add(args: &AddArgs, global: &Global, ui: Ui) -> Result {
    let named = args.which.split_once('/');
    let (account, name) = named.ok_or_else(|| CliError::usage("write ACCOUNT/NAME").hint("such as ORDERS/bob"))?;
    let name = Name::typed(name)?;
    acts::act(&args.passphrases, global, ui, |nats| {
        let account = lookup::account(nats.view(), account)?;
        let owner = args.details.owner(nats.view())?;
        let expires_at = match args.details.expires {
            Some(expiry) => expiry.time(),
            None => users::default_expiry(nats, owner.as_ref(), args.preset),
        };
        let new = NewUser { name: name.clone(), owner, signing_key: args.role.clone(), expires_at };
        users::add(nats, &account, NatsUserId::mint(), new, &|user| {
            if let Some(preset) = args.preset {
                user.permissions = preset.permissions();
            }
            args.details.apply(user);
        })
    })
}

fn edit(args: &EditArgs, global: &Global, ui: Ui) -> Result {
    acts::act(&args.passphrases, global, ui, |nats| {
        let (account, facts) = lookup::user(nats.view(), &args.which)?;
        let owner = args.details.owner(nats.view())?;
        users::edit(
            nats,
            &account,
            &facts,
            args.role.as_deref().map_or(SignWith::AsBefore, SignWith::Role),
            &|user| {
                if let Some(name) = &args.name {
                    user.name = name.clone();
                }
                if owner.is_some() {
                    user.owner = owner.clone();
                }
                if let Some(expiry) = args.details.expires {
                    user.expires_at = expiry.time();
                }
            },
            &|claims| args.details.apply(claims),
        )
    })
}
