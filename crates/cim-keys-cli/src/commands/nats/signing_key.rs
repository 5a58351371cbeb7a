//! `nats signing-key`: of accounts, plain or with a role that fixes what its users may do.

use cim_keys::act::Question;
use cim_keys::authority::nats::signing_keys::{self, NewSigningKey};
use cim_keys::authority::nats::{accounts, lookup};
use cim_keys::ids::KeyId;
use cim_keys::ledger::{EntityRef, Facts, Kind};
use cim_keys::nats::claims::{SigningKey, UserPermissions};
use cim_keys::text::{Label, Name, Note, PublicKey, visible};
use clap::{Args, Subcommand};

use super::acts::{self, look, tell_cut_off};
use super::flags::{OverlapArgs, PermissionArgs};
use crate::commands::entities::{self, ListArgs};
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum SigningKeyCommand {
    /// Give an account a signing key; with --role its users may do what the flags below say, and nothing else
    Add(Box<AddArgs>),
    /// Change what a role gives its users: they need no new tokens
    Edit(Box<EditArgs>),
    /// List signing keys
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a signing key, and what its role gives
    #[command(visible_alias = "describe")]
    Show(WhichArgs),
    /// Replace a signing key, and sign its account and its users anew
    Rotate(RotateArgs),
    /// Take a signing key out of use: its users are cut off once the account is pushed
    #[command(visible_aliases = ["revoke", "delete"])]
    Retire(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account: its name or public key
    account: String,
    /// The role's name
    #[arg(long, value_parser = Name::typed)]
    role: Option<Name>,
    /// What the role is for
    #[arg(long, requires = "role", default_value = "")]
    description: String,
    /// The custody compartment [default: issuing]
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    /// The public half (A…) of a key that was made elsewhere and stays there, as `nats issuer add` prints it
    #[arg(long, value_name = "KEY", requires = "role", conflicts_with = "compartment", value_parser = PublicKey::new)]
    public_key: Option<PublicKey>,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// The account: its name or public key
    account: String,
    /// Which one: its role or public key
    which: String,
    /// What the role is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The account: its name or public key
    account: String,
    /// Which one: its role or public key
    which: String,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    end: EndArgs,
    #[command(flatten)]
    overlap: OverlapArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// The account: its name or public key
    account: String,
    /// Which one: its role or public key
    which: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: SigningKeyCommand, global: &Global, ui: Ui) -> Result {
    match command {
        SigningKeyCommand::Add(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let mut template = UserPermissions::unlimited();
            args.permissions.apply(&mut template);
            let (role, description) = (args.role.clone(), args.description.clone());
            let id = KeyId::mint();
            let (compartment, public_key) = (args.compartment.clone(), args.public_key.clone());
            let new = NewSigningKey { id, role, template, description, compartment, public_key };
            signing_keys::add(nats, &account, new)
        }),
        SigningKeyCommand::List(args) => {
            let headings = ["OF", "ROLE", "PUBLIC KEY", "COMPARTMENT", "STATUS"];
            entities::list(Kind::SigningKey, &args, &headings, global, ui, |view, entity| {
                let Facts::SigningKey(it) = &entity.facts else { return Vec::new() };
                let of = entities::name_of(view, EntityRef::holder(&it.holder));
                let role = it.role.as_ref().map_or("-".into(), ToString::to_string);
                vec![
                    of,
                    role,
                    it.public_key.to_string(),
                    it.compartment.as_ref().map(ToString::to_string).unwrap_or_default(),
                    entity.status().into(),
                ]
            })
        }
        SigningKeyCommand::Edit(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let key = signing_keys::find(nats.view(), &account, &args.which)?;
            signing_keys::edit(nats, &account, &key, &|scope| {
                args.permissions.apply(&mut scope.template);
                if let Some(description) = &args.description {
                    scope.description.clone_from(description);
                }
            })
        }),
        SigningKeyCommand::Show(args) => show(&args, global, ui),
        SigningKeyCommand::Rotate(RotateArgs { end: args, overlap }) => {
            acts::act(&args.passphrases, global, ui, |nats| {
                let account = lookup::account(nats.view(), &args.account)?;
                let key = signing_keys::find(nats.view(), &account, &args.which)?;
                signing_keys::rotate(nats, &account, &key, overlap.until(), &args.reason).map(|_| ())
            })
        }
        SigningKeyCommand::Retire(args) => {
            let (_, users) = look(global, |view| {
                let account = lookup::account(view, &args.account)?;
                signing_keys::signed_by(view, &account, &signing_keys::find(view, &account, &args.which)?)
            })?;
            tell_cut_off(&users.iter().map(|user| user.user.name.to_string()).collect::<Vec<_>>(), ui);
            acts::act(&args.passphrases, global, ui, |nats| {
                nats.ask(Question::new(
                    format!("Take the signing key {} out of use? Its users are cut off.", args.which),
                    "nothing was retired",
                ));
                let account = lookup::account(nats.view(), &args.account)?;
                let key = signing_keys::find(nats.view(), &account, &args.which)?;
                signing_keys::retire(nats, &account, &key, None, &args.reason)
            })
        }
    }
}

/// A signing key with how the account's token lists it.
fn show(args: &WhichArgs, global: &Global, ui: Ui) -> Result {
    let (_, (key, listed)) = look(global, |view| {
        let account = lookup::account(view, &args.account)?;
        let key = signing_keys::find(view, &account, &args.which)?;
        // An issuer's ledger has its account's public key and not its token.
        let mut listed = match &account.token {
            Some(_) => accounts::claims(&account)?.nats.signing_keys,
            None => Vec::new(),
        };
        listed.retain(|known| known.public_key() == key.public_key.as_str());
        Ok((key, listed.pop()))
    })?;
    let scope = match &listed {
        Some(SigningKey::Scoped(scope)) => Some(scope),
        _ => None,
    };
    let template = scope.map(|scope| serde_json::to_value(&scope.template).unwrap_or_default());
    ui.object(&serde_json::json!({
        "account": args.account,
        "id": key.key_id,
        "public_key": key.public_key,
        "role": key.role,
        "description": scope.map(|scope| &scope.description),
        "compartment": key.compartment,
        "template": template,
    }))?;
    let role = key.role.as_ref().map_or_else(|| "none: it signs users as they are".to_owned(), ToString::to_string);
    let compartment = key.compartment.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let mut facts = vec![("public key", key.public_key.to_string()), ("role", role), ("compartment", compartment)];
    facts.extend(template.map(|template| ("template", template.to_string())));
    ui.facts(&facts.iter().map(|(name, value)| (*name, visible(value).into_owned())).collect::<Vec<_>>())
}
