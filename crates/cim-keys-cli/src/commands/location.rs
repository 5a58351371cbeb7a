//! `location`: where people, machines and keys are.

use cim_keys::app::locations;
use cim_keys::events::LocationKind;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Name, Note};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, Look};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum LocationCommand {
    /// Record a location
    Add(AddArgs),
    /// List locations
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a location with what is there
    Show(ShowArgs),
    /// Change what is recorded of a location
    Update(UpdateArgs),
    /// Close a location that nobody is at any more
    Close(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// What kind of place: site, building, room, safe, rack or virtual
    #[arg(long)]
    kind: LocationKind,
    /// The location that it is inside
    #[arg(long)]
    within: Option<String>,
    /// Its postal address
    #[arg(long, value_parser = Note::typed)]
    address: Option<Note>,
    /// What is there
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
    /// Another kind of place: site, building, room, safe, rack or virtual
    #[arg(long)]
    kind: Option<LocationKind>,
    /// Another location around it
    #[arg(long)]
    within: Option<String>,
    /// Another postal address
    #[arg(long, value_parser = Note::typed)]
    address: Option<Note>,
    /// Another description
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
}

pub(crate) fn run(command: LocationCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        LocationCommand::Add(args) => record(&|view| {
            let new = locations::NewLocation {
                name: args.name.clone(),
                kind: args.kind,
                within: args.within.clone(),
                address: args.address.clone(),
                description: args.description.clone(),
                organization: args.organization.clone(),
            };
            Ok(vec![locations::add(view, new)?])
        }),
        LocationCommand::Update(args) => record(&|view| {
            let changes = locations::LocationChanges {
                name: args.name.clone(),
                kind: args.kind,
                within: args.within.clone(),
                address: args.address.clone(),
                description: args.description.clone(),
            };
            Ok(vec![locations::update(view, &args.which, changes)?])
        }),
        LocationCommand::Close(args) => {
            let question = format!("Close the location {}?", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![locations::close(view, &args.which, args.reason.clone())?])
            })
        }
        LocationCommand::List(args) => {
            let headings = ["NAME", "KIND", "WITHIN", "STATUS", "ID"];
            entities::list(Kind::Location, &args, &headings, global, ui, |view, entity| {
                let Facts::Location(it) = &entity.facts else { return Vec::new() };
                let within = it.parent_id.map_or("-".into(), |id| entities::name_of(view, id.into()));
                let (name, kind) = (it.name.to_string(), it.kind.to_string());
                vec![name, kind, within, entity.status().into(), it.location_id.to_string()]
            })
        }
        LocationCommand::Show(args) => {
            let related = [Kind::Location, Kind::Person, Kind::Key];
            entities::show(Kind::Location, &args, &related, global, ui)
        }
    }
}
