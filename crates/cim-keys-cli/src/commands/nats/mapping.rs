//! `nats mapping`: subjects that become others, wholly or by weight.

use cim_keys::authority::nats::{accounts, lookup, sharing};
use cim_keys::nats::claims::WeightedMapping;
use cim_keys::text::visible;
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::export::ListArgs;
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum MappingCommand {
    /// Map a subject to another; further targets share by weight
    #[command(visible_alias = "edit")]
    Add(AddArgs),
    /// List mappings
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Forget where a subject is mapped to
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account: its name or public key
    account: String,
    /// The subject that is mapped
    from: String,
    /// What it becomes; $1 or {{wildcard(1)}} names its first wildcard
    to: String,
    /// How many percent of the messages go there
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100), default_value_t = 100)]
    weight: u8,
    /// Only in this cluster
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    cluster: String,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// The account: its name or public key
    account: String,
    /// The subject that is mapped
    from: String,
    /// Only this target [default: all]
    to: Option<String>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: MappingCommand, global: &Global, ui: Ui) -> Result {
    match command {
        MappingCommand::Add(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let (subject, cluster) = (args.to.clone(), args.cluster.clone());
            sharing::put_mapping(nats, &account, &args.from, WeightedMapping { subject, weight: args.weight, cluster })
        }),
        MappingCommand::Delete(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            sharing::delete_mapping(nats, &account, &args.from, args.to.as_deref())
        }),
        MappingCommand::List(args) => list(&args, global, ui),
    }
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let (_, accounts) = look(global, |view| lookup::accounts(view, args.account()))?;
    let mut rows = Vec::new();
    for account in &accounts {
        for (from, targets) in accounts::claims(account)?.nats.mappings {
            for target in targets {
                let weight = if target.weight == 0 { 100 } else { target.weight };
                let account = account.account.name.as_str();
                ui.object(&serde_json::json!({
                    "account": account,
                    "from": from,
                    "to": target.subject,
                    "weight": weight,
                    "cluster": Some(&target.cluster).filter(|cluster| !cluster.is_empty()),
                }))?;
                let row = [account, &from, &target.subject, &format!("{weight} %"), &target.cluster];
                rows.push(row.iter().map(|cell| visible(cell).into_owned()).collect());
            }
        }
    }
    if rows.is_empty() {
        return ui.line("Nothing is mapped.");
    }
    ui.table(&["ACCOUNT", "FROM", "TO", "WEIGHT", "CLUSTER"], &rows)
}
