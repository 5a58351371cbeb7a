//! `unit`: units of an organization.

use cim_keys::app::units;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Name, Note};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, Look};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum UnitCommand {
    /// Make a unit
    Add(AddArgs),
    /// List units
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a unit with its people
    Show(ShowArgs),
    /// Change what is recorded of a unit
    Update(UpdateArgs),
    /// Dissolve a unit that nobody is in any more
    Dissolve(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// The unit above it
    #[arg(long)]
    parent: Option<String>,
    /// What it does
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
    /// The organization, where there are several
    #[arg(long)]
    organization: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Which one: its name or identifier
    which: String,
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Another unit above it
    #[arg(long)]
    parent: Option<String>,
    /// Another description
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
}

pub(crate) fn run(command: UnitCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        UnitCommand::Add(args) => record(&|view| {
            let (name, parent, description) = (args.name.clone(), args.parent.clone(), args.description.clone());
            let organization = args.organization.clone();
            Ok(vec![units::add(view, units::NewUnit { name, parent, description, organization })?])
        }),
        UnitCommand::Update(args) => record(&|view| {
            let (name, parent, description) = (args.name.clone(), args.parent.clone(), args.description.clone());
            Ok(vec![units::update(view, &args.which, units::UnitChanges { name, parent, description })?])
        }),
        UnitCommand::Dissolve(args) => {
            let question = format!("Dissolve the unit {}?", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![units::dissolve(view, &args.which, args.reason.clone())?])
            })
        }
        UnitCommand::List(args) => {
            entities::list(Kind::Unit, &args, &["NAME", "PARENT", "STATUS", "ID"], global, ui, |view, entity| {
                let Facts::Unit(it) = &entity.facts else { return Vec::new() };
                let parent = it.parent_id.map_or("-".into(), |id| entities::name_of(view, id.into()));
                vec![it.name.to_string(), parent, entity.status().into(), it.unit_id.to_string()]
            })
        }
        UnitCommand::Show(args) => {
            entities::show(Kind::Unit, &args, &[Kind::Unit, Kind::Person, Kind::Relationship, Kind::Key], global, ui)
        }
    }
}
