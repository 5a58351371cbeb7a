//! `role`: roles, and who holds them.

use cim_keys::app::roles;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Name, Note, Permission};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, Look, ValidityArgs};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// Define a role
    Add(AddArgs),
    /// List roles
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a role with those who hold it
    Show(ShowArgs),
    /// Change a role's definition
    Update(UpdateArgs),
    /// Retire a role: its assignments end
    Retire(EndArgs),
    /// Give a person a role
    Assign(AssignArgs),
    /// Take a role away from a person
    Withdraw(WithdrawArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// What its holder does
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
    /// What its holder may do, such as key.rotate or nats.account.*; repeat it for more
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    /// A role that nobody may hold together with it; repeat it for more
    #[arg(long = "excludes", value_name = "ROLE")]
    excludes: Vec<String>,
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
    /// Another description
    #[arg(long, value_parser = Note::typed)]
    description: Option<Note>,
    /// What its holder may do, instead of what was so far; repeat it for more
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    /// A role that it excludes, instead of those so far; repeat it for more
    #[arg(long = "excludes", value_name = "ROLE")]
    excludes: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    /// The role: its name or identifier
    role: String,
    /// Who: name, e-mail address or identifier
    person: String,
    /// Where it counts: organization, unit:NAME, role:NAME, person:NAME or service:NAME; everywhere when absent
    #[arg(long, value_name = "PARTY")]
    scope: Option<String>,
    #[command(flatten)]
    validity: ValidityArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// The role: its name or identifier
    role: String,
    /// Who: name, e-mail address or identifier
    person: String,
    /// Only where it counts in this scope
    #[arg(long, value_name = "PARTY")]
    scope: Option<String>,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
}

fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

pub(crate) fn run(command: RoleCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        RoleCommand::Add(args) => record(&|view| {
            let new = roles::NewRole {
                name: args.name.clone(),
                description: args.description.clone(),
                permissions: args.permissions.clone(),
                excludes: args.excludes.clone(),
                organization: args.organization.clone(),
            };
            Ok(vec![roles::add(view, new)?])
        }),
        RoleCommand::Update(args) => record(&|view| {
            let changes = roles::RoleChanges {
                name: args.name.clone(),
                description: args.description.clone(),
                permissions: some(&args.permissions),
                excludes: some(&args.excludes),
            };
            Ok(vec![roles::update(view, &args.which, changes)?])
        }),
        RoleCommand::Retire(args) => {
            let question = format!("Retire the role {}? Its assignments end.", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![roles::retire(view, &args.which, args.reason.clone())?])
            })
        }
        RoleCommand::Assign(args) => {
            let validity = args.validity.validity()?;
            record(&|view| Ok(vec![roles::assign(view, &args.role, &args.person, args.scope.as_deref(), validity)?]))
        }
        RoleCommand::Withdraw(args) => {
            let question = format!("Take the role {} away from {}?", args.role, args.person);
            changes::end(&question, global, ui, &|view| {
                roles::withdraw(view, &args.role, &args.person, args.scope.as_deref(), args.reason.clone())
            })
        }
        RoleCommand::List(args) => {
            let headings = ["NAME", "PERMISSIONS", "STATUS", "ID"];
            entities::list(Kind::Role, &args, &headings, global, ui, |_, entity| {
                let Facts::Role(it) = &entity.facts else { return Vec::new() };
                let permissions = it.permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                vec![it.name.to_string(), permissions, entity.status().into(), it.role_id.to_string()]
            })
        }
        RoleCommand::Show(args) => {
            let related = [Kind::Assignment, Kind::Relationship, Kind::Key];
            entities::show(Kind::Role, &args, &related, global, ui)
        }
    }
}
