//! `policy`: policy documents.

use std::path::{Path, PathBuf};

use cim_keys::app::policies;
use cim_keys::events::PolicyFormat;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Document, Name};
use clap::{Args, Subcommand};

use super::changes::{self, EndArgs, Look, ValidityArgs};
use super::entities::{self, ListArgs, ShowArgs};
use super::input::read_text;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Lay a policy down
    Add(AddArgs),
    /// List policies
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a policy
    Show(ShowArgs),
    /// Replace a policy by another version
    Update(UpdateArgs),
    /// Withdraw a policy
    Withdraw(EndArgs),
    /// Demand that events of some types are signed by whoever acts (`event types` shows which are)
    RequireSignatures(super::signatures::RequireArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Its name
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// The file that holds it
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Its language: text, markdown, cedar, rego, json or toml
    #[arg(long, default_value = "markdown")]
    format: PolicyFormat,
    #[command(flatten)]
    validity: ValidityArgs,
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
    /// The file that holds the new version
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Another language: text, markdown, cedar, rego, json or toml
    #[arg(long)]
    format: Option<PolicyFormat>,
    #[command(flatten)]
    validity: ValidityArgs,
}

fn read(path: &Path) -> Result<Document> {
    let text = read_text(path, 1024 * 1024)?;
    Document::new(&text)
        .map_err(|error| CliError::usage(format!("{} can't be a policy", path.display())).because(&error))
}

pub(crate) fn run(command: PolicyCommand, global: &Global, ui: Ui) -> Result {
    let record = |look: &Look<'_>| changes::record(look, global, ui);
    match command {
        PolicyCommand::Add(args) => {
            let (document, validity) = (read(&args.document)?, args.validity.validity()?);
            record(&|view| {
                let (name, format, document) = (args.name.clone(), args.format, document.clone());
                let organization = args.organization.clone();
                Ok(vec![policies::add(view, policies::NewPolicy { name, format, document, validity, organization })?])
            })
        }
        PolicyCommand::Update(args) => {
            let document = args.document.as_deref().map(read).transpose()?;
            let validity = args.validity.given()?;
            record(&|view| {
                let (name, format, document) = (args.name.clone(), args.format, document.clone());
                let changes = policies::PolicyChanges { name, format, document, validity };
                Ok(vec![policies::update(view, &args.which, changes)?])
            })
        }
        PolicyCommand::Withdraw(args) => {
            let question = format!("Withdraw the policy {}?", args.which);
            changes::end(&question, global, ui, &|view| {
                Ok(vec![policies::withdraw(view, &args.which, args.reason.clone())?])
            })
        }
        PolicyCommand::RequireSignatures(args) => super::signatures::require(&args, global, ui),
        PolicyCommand::List(args) => {
            entities::list(Kind::Policy, &args, &["NAME", "FORMAT", "STATUS", "ID"], global, ui, |_, entity| {
                let Facts::Policy(it) = &entity.facts else { return Vec::new() };
                vec![it.name.to_string(), it.format.to_string(), entity.status().into(), it.policy_id.to_string()]
            })
        }
        PolicyCommand::Show(args) => entities::show(Kind::Policy, &args, &[], global, ui),
    }
}
