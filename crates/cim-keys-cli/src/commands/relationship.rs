//! `relationship`: what relates two parties, delegations among them.

use cim_keys::app::relationships;
use cim_keys::events::RelationshipKind;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Note, Permission};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, ValidityArgs};
use super::entities::{self, ListArgs, ShowArgs};
use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum RelationshipCommand {
    /// Relate two parties
    Add(AddArgs),
    /// List relationships
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a relationship
    Show(ShowArgs),
    /// End a relationship
    End(EndArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "A party is organization, unit:NAME, person:NAME, role:NAME or service:NAME.\n\
    For example: cim-keys relationship add person:mei delegates-to person:zoe --permission nats.user.*")]
pub(crate) struct AddArgs {
    /// Who stands in it: who delegates, reports, trusts
    #[arg(value_name = "PARTY")]
    subject: String,
    /// delegates-to, reports-to, deputy-of, custodian-of, member-of, trusts or supplies-to
    kind: RelationshipKind,
    /// To whom
    #[arg(value_name = "PARTY")]
    object: String,
    /// What a delegation covers, such as key.rotate or nats.account.*; repeat it for more
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    #[command(flatten)]
    validity: ValidityArgs,
    /// What else there is to say
    #[arg(long, value_parser = Note::typed)]
    note: Option<Note>,
}

pub(crate) fn run(command: RelationshipCommand, global: &Global, ui: Ui) -> Result {
    match command {
        RelationshipCommand::Add(args) => {
            let validity = args.validity.validity()?;
            changes::record(
                &|view| {
                    let new = relationships::NewRelationship {
                        kind: args.kind,
                        subject: args.subject.clone(),
                        object: args.object.clone(),
                        permissions: args.permissions.clone(),
                        validity,
                        note: args.note.clone(),
                    };
                    Ok(vec![relationships::add(view, new)?])
                },
                global,
                ui,
            )
        }
        RelationshipCommand::End(args) => {
            let question = format!("End the relationship {}?", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![relationships::end(view, &args.which, args.reason.clone())?])
            })
        }
        RelationshipCommand::List(args) => {
            let headings = ["SUBJECT", "KIND", "OBJECT", "PERMISSIONS", "STATUS", "ID"];
            entities::list(Kind::Relationship, &args, &headings, global, ui, |view, entity| {
                let Facts::Relationship(it) = &entity.facts else { return Vec::new() };
                let party = |party: &cim_keys::events::Party| entities::named(view, &party.to_string());
                let permissions = it.permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                let (subject, object) = (party(&it.subject), party(&it.object));
                let id = it.relationship_id.to_string();
                vec![subject, it.kind.to_string(), object, permissions, entity.status().into(), id]
            })
        }
        RelationshipCommand::Show(args) => entities::show(Kind::Relationship, &args, &[], global, ui),
    }
}
