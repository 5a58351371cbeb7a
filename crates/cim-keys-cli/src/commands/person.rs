//! `person`: people.

use cim_keys::app::people;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{EmailAddress, Name};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, Look};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Record a person
    Add(AddArgs),
    /// List people
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a person with their roles, relationships and keys
    Show(ShowArgs),
    /// Change what is recorded of a person
    Update(UpdateArgs),
    /// Make a key with which a person signs acts, in a compartment that only that person opens
    Enroll(super::enroll::EnrollArgs),
    /// End everything that a leaver has: roles, relationships, keys, NATS users; and name the keys that must be rotated
    Offboard(super::offboard::OffboardArgs),
    /// Deactivate a person who leaves or is suspended: their roles end
    Deactivate(EndArgs),
    /// Bring a person back, without the roles of before
    Reactivate(EndArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The name
    #[arg(value_parser = Name::typed)]
    name: Name,
    #[command(flatten)]
    details: Details,
    /// The organization, where there are several
    #[arg(long)]
    organization: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Who: name, e-mail address or identifier
    who: String,
    /// Another name
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    #[command(flatten)]
    details: Details,
}

#[derive(Debug, Clone, Args)]
struct Details {
    /// Where to reach the person
    #[arg(long)]
    email: Option<EmailAddress>,
    /// The unit that the person works in
    #[arg(long)]
    unit: Option<String>,
    /// Where the person works
    #[arg(long)]
    location: Option<String>,
    /// What the person is called in the organization
    #[arg(long, value_parser = Name::typed)]
    title: Option<Name>,
}

pub(crate) fn run(command: PersonCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        PersonCommand::Add(args) => record(&|view| {
            let Details { email, unit, location, title } = args.details.clone();
            let (name, organization) = (args.name.clone(), args.organization.clone());
            Ok(vec![people::add(view, people::NewPerson { name, email, unit, location, title, organization })?])
        }),
        PersonCommand::Update(args) => record(&|view| {
            let Details { email, unit, location, title } = args.details.clone();
            let changes = people::PersonChanges { name: args.name.clone(), email, unit, location, title };
            Ok(vec![people::update(view, &args.who, changes)?])
        }),
        PersonCommand::Enroll(args) => super::enroll::run(&args, global, ui),
        PersonCommand::Offboard(args) => super::offboard::run(&args, global, ui),
        PersonCommand::Deactivate(args) => {
            let question = format!("Deactivate {}? Their roles end.", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![people::deactivate(view, &args.which, args.reason.clone())?])
            })
        }
        PersonCommand::Reactivate(args) => {
            record(&|view| Ok(vec![people::reactivate(view, &args.which, args.reason.clone())?]))
        }
        PersonCommand::List(args) => {
            let headings = ["NAME", "E-MAIL", "UNIT", "TITLE", "STATUS", "ID"];
            entities::list(Kind::Person, &args, &headings, global, ui, |view, entity| {
                let Facts::Person(it) = &entity.facts else { return Vec::new() };
                let email = it.email.as_ref().map_or("-".into(), ToString::to_string);
                let unit = it.unit_id.map_or("-".into(), |id| entities::name_of(view, id.into()));
                let title = it.title.as_ref().map_or("-".into(), ToString::to_string);
                vec![it.name.to_string(), email, unit, title, entity.status().into(), it.person_id.to_string()]
            })
        }
        PersonCommand::Show(args) => {
            let related = [Kind::Assignment, Kind::Relationship, Kind::Key];
            entities::show(Kind::Person, &args, &related, global, ui)
        }
    }
}
