//! `nats signing-key`: of accounts, plain or with a role that fixes what its users may do.

use cim_keys::app::nats::lookup;
use cim_keys::app::nats::signing_keys::{self, NewSigningKey};
use cim_keys::ledger::{EntityRef, Facts, Kind};
use cim_keys::nats::claims::UserPermissions;
use cim_keys::text::{Label, Name, Note};
use clap::{Args, Subcommand};

use super::flags::PermissionArgs;
use crate::cli::Global;
use crate::commands::entities::{self, ListArgs};
use crate::error::{CliError, Result};
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is made in a run of the program")]
pub(crate) enum SigningKeyCommand {
    /// Give an account a signing key; with --role its users may do what the flags below say, and nothing else
    Add(AddArgs),
    /// List signing keys
    List(ListArgs),
    /// Replace a signing key, and sign its account and its users anew
    Rotate(EndArgs),
    /// Take a signing key out of use: its users are cut off once the account is pushed
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
    #[command(flatten)]
    permissions: PermissionArgs,
    #[command(flatten)]
    passphrases: PassphraseArgs,
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
        SigningKeyCommand::Add(args) => super::act(&args.passphrases, global, ui, |work| {
            let account = lookup::account(work.view(), &args.account)?;
            let mut template = UserPermissions::unlimited();
            args.permissions.apply(&mut template);
            let (role, description) = (args.role.clone(), args.description.clone());
            let new = NewSigningKey { role, template, description, compartment: args.compartment.clone() };
            signing_keys::add(work, &account, new)
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
        SigningKeyCommand::Rotate(args) => super::act(&args.passphrases, global, ui, |work| {
            let account = lookup::account(work.view(), &args.account)?;
            let key = signing_keys::find(work, &account, &args.which)?;
            signing_keys::rotate(work, &account, &key, &args.reason).map(|_| ())
        }),
        SigningKeyCommand::Retire(args) => {
            if !ui.confirm(&format!("Take the signing key {} out of use? Its users are cut off.", args.which))? {
                return Err(CliError::refused("nothing was retired"));
            }
            super::act(&args.passphrases, global, ui, |work| {
                let account = lookup::account(work.view(), &args.account)?;
                let key = signing_keys::find(work, &account, &args.which)?;
                signing_keys::retire(work, &account, &key, &args.reason)
            })
        }
    }
}
