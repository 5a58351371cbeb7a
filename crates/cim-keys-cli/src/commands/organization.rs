//! `organization`: what everything else belongs to.

use cim_keys::app::organizations;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{DnsName, Name, Note};
use clap::{Args, Subcommand};

use super::changes::{self, Look};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum OrganizationCommand {
    /// Make an organization
    Add(AddArgs),
    /// List organizations
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show an organization with its units and people
    Show(ShowArgs),
    /// Change what is recorded of an organization
    Update(UpdateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// The DNS domain that is its own
    #[arg(long)]
    domain: Option<DnsName>,
    /// What it is
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Which one: its name or identifier
    which: String,
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Another DNS domain
    #[arg(long)]
    domain: Option<DnsName>,
    /// Another description
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
}

pub(crate) fn run(command: OrganizationCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        OrganizationCommand::Add(AddArgs { name, domain, description }) => {
            record(&|_| Ok(vec![organizations::add(name.clone(), domain.clone(), description.clone())]))
        }
        OrganizationCommand::Update(UpdateArgs { which, name, domain, description }) => record(&|view| {
            let (name, domain, description) = (name.clone(), domain.clone(), description.clone());
            let changes = organizations::OrganizationChanges { name, domain, description };
            Ok(vec![organizations::update(view, &which, changes)?])
        }),
        OrganizationCommand::List(args) => {
            entities::list(Kind::Organization, &args, &["NAME", "DOMAIN", "STATUS", "ID"], global, ui, |_, entity| {
                let Facts::Organization(it) = &entity.facts else { return Vec::new() };
                let domain = it.domain.as_ref().map_or("-".into(), ToString::to_string);
                vec![it.name.to_string(), domain, entity.status().into(), it.organization_id.to_string()]
            })
        }
        OrganizationCommand::Show(args) => entities::show(
            Kind::Organization,
            &args,
            &[Kind::Unit, Kind::Location, Kind::Person, Kind::Role, Kind::Policy, Kind::Key],
            global,
            ui,
        ),
    }
}
