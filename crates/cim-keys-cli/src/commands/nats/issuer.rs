//! `nats issuer`: a ledger that signs users of an account of elsewhere, with a scoped key that was made in it.

use std::path::PathBuf;

use cim_keys::authority::nats::issuer::{self, Elsewhere, NewIssuer};
use cim_keys::authority::nats::{self, lookup};
use cim_keys::session::{Place, Session};
use cim_keys::text::{Label, Name, PublicKey, visible};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::act::{Acting, EndAct as _};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;
use crate::{ledger, place};

#[derive(Debug, Subcommand)]
pub(crate) enum IssuerCommand {
    /// Make a signing key with a role for an account of elsewhere; its public half is what the authority is asked to take
    Add(AddArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account: its name; with --from, or its public key
    account: String,
    /// The role of the users that are to be made here
    #[arg(long, value_parser = Name::typed)]
    role: Name,
    /// A mirror of the authority's ledger, to take the public keys of operator and account from
    #[arg(long, value_name = "DIR", required_unless_present_all = ["account_key", "operator", "operator_key"])]
    from: Option<PathBuf>,
    /// The account's public key (A…), where there is no mirror
    #[arg(long, value_name = "KEY", conflicts_with = "from", value_parser = PublicKey::new)]
    account_key: Option<PublicKey>,
    /// The operator's name, where there is no mirror
    #[arg(long, value_name = "NAME", conflicts_with = "from", value_parser = Name::typed)]
    operator: Option<Name>,
    /// The operator's public key (O…), where there is no mirror
    #[arg(long, value_name = "KEY", conflicts_with = "from", value_parser = PublicKey::new)]
    operator_key: Option<PublicKey>,
    /// The custody compartment [default: issuing]
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: IssuerCommand, global: &Global, ui: Ui) -> Result {
    match command {
        IssuerCommand::Add(args) => add(&args, global, ui),
    }
}

fn add(args: &AddArgs, global: &Global, ui: Ui) -> Result {
    let (operator, account) = known(args)?;
    let new = NewIssuer { operator, account, role: args.role.clone(), compartment: args.compartment.clone() };
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let done = acting.act(|draft| nats::edit(draft, |nats| issuer::add(nats, &new)))?;
    let key = &done.value;
    ui.object(&json!({
        "account": new.account.name, "account_key": new.account.public_key, "role": new.role, "public_key": key,
        "events": done.events.len(),
    }))?;
    let (account, role) = (visible(new.account.name.as_str()), visible(new.role.as_str()));
    ui.done(format_args!("The signing key of role {role} of account {account} was made here, and stays here."))?;
    ui.line("Its public half, for the authority to take into the account's token with what the role may do:")?;
    ui.line(format_args!("  {key}"))?;
    ui.line("There, or in a file for `cim-keys nats request`:")?;
    ui.line(format_args!("  cim-keys nats signing-key add {account} --role {role} --public-key {key} --allow-pub …"))?;
    done.end(ui)
}

/// Operator and account, from a mirror or as they were typed.
fn known(args: &AddArgs) -> Result<(Elsewhere, Elsewhere)> {
    if let Some(folder) = &args.from {
        let tokens = place::state_folder().unwrap_or_else(|_| folder.clone());
        let mirror = Session::open_read_only(Place::new(folder.clone(), tokens), ledger::system_actor())?;
        let (operator, account) = mirror.store().view(|view| {
            Ok::<_, cim_keys::authority::nats::NatsError>((
                lookup::operator(view)?,
                lookup::account(view, &args.account)?,
            ))
        })??;
        let (operator, account) = (operator.operator, account.account);
        return Ok((
            Elsewhere { name: operator.name, public_key: operator.public_key },
            Elsewhere { name: account.name, public_key: account.public_key },
        ));
    }
    match (&args.operator, &args.operator_key, &args.account_key) {
        (Some(name), Some(operator_key), Some(account_key)) => Ok((
            Elsewhere { name: name.clone(), public_key: operator_key.clone() },
            Elsewhere { name: Name::typed(&args.account)?, public_key: account_key.clone() },
        )),
        _ => Err(CliError::usage("the public keys of operator and account are needed")
            .hint("give a mirror with --from, or --account-key, --operator and --operator-key")),
    }
}
