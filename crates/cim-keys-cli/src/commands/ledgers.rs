//! `ledger`: other ledgers that are known to this one.

use cim_keys::app::ledgers;
use cim_keys::events::LedgerRelation;
use cim_keys::ids::LedgerId;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::Name;
use clap::{Args, Subcommand};

use super::changes;
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Make another ledger known, with its key and what it is to this one
    Link(LinkArgs),
    /// List this ledger and those that are linked to it
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a ledger
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// What it is called here
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// Its key, as its `log public-key` prints it
    #[arg(long, value_name = "KEY")]
    key: String,
    /// What it is to this one: parent, child, peer or witness
    #[arg(long)]
    relation: LedgerRelation,
    /// Its identifier, as its `init` printed it; made up when absent
    #[arg(long, value_name = "UUID")]
    id: Option<LedgerId>,
}

pub(crate) fn run(command: LedgerCommand, global: &Global, ui: Ui) -> Result {
    match command {
        LedgerCommand::Link(args) => {
            let key = ledgers::public_key(&args.key).map_err(|error| CliError::explain(&error))?;
            changes::record(
                &|view| Ok(vec![ledgers::link(view, args.name.clone(), key.clone(), args.relation, args.id)?]),
                global,
                ui,
            )
        }
        LedgerCommand::List(args) => {
            let headings = ["NAME", "RELATION", "PUBLIC KEY", "ID"];
            entities::list(Kind::Ledger, &args, &headings, global, ui, |_, entity| {
                let Facts::Ledger(it) = &entity.facts else { return Vec::new() };
                let relation = it.relation.map_or("this ledger", |relation| match relation {
                    LedgerRelation::Parent => "parent",
                    LedgerRelation::Child => "child",
                    LedgerRelation::Peer => "peer",
                    LedgerRelation::Witness => "witness",
                });
                vec![it.name.to_string(), relation.into(), it.public_key.to_string(), it.ledger_id.to_string()]
            })
        }
        LedgerCommand::Show(args) => entities::show(Kind::Ledger, &args, &[], global, ui),
    }
}
