//! `nats import`: what comes from other accounts.

use cim_keys::authority::nats::{NatsError, accounts, lookup, sharing};
use cim_keys::ledger::View;
use cim_keys::nats::claims::{ExportType, Import, ImportToken};
use cim_keys::text::visible;
use clap::{Args, Subcommand};

use super::acts::{self, look};
use super::export::{ListArgs, WhichArgs};
use crate::commands::input::read_text;
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Bring a subject of another account into this one: a stream, or with --service a service
    Add(Box<AddArgs>),
    /// Change an import
    Edit(Box<EditArgs>),
    /// List imports
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Take an import out
    Delete(WhichArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account that imports: its name or public key
    account: String,
    /// The subject, as the other account exports it
    subject: String,
    /// The account that exports: its name or public key
    #[arg(long, visible_alias = "from", value_name = "ACCOUNT")]
    src_account: String,
    /// It is a service: requests go out, and replies come in
    #[arg(long)]
    service: bool,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// The account that imports: its name or public key
    account: String,
    /// Which import: its name or subject
    which: String,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
struct Details {
    /// What it is called
    #[arg(long)]
    name: Option<String>,
    /// The subject on this side; $1 names the first wildcard of the subject
    #[arg(long, value_name = "SUBJECT")]
    local_subject: Option<String>,
    /// The activation of an export that asks for one: a file, or - for standard input. It is made by itself where both
    /// accounts are in this ledger
    #[arg(long, visible_alias = "token", value_name = "FILE")]
    activation: Option<std::path::PathBuf>,
    /// Whether a service learns who asks
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    share: Option<bool>,
    /// Whether message traces may come along a stream
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_trace: Option<bool>,
}

impl Details {
    /// The text of the activation that was given.
    fn token(&self) -> Result<Option<String>> {
        let path = self.activation.as_ref();
        let text = path.map(|path| read_text(path, 1024 * 1024)).transpose()?;
        Ok(text.map(|text| text.trim().to_owned()))
    }

    fn apply(&self, import: &mut Import, token: Option<&String>) {
        if let Some(name) = &self.name {
            import.name.clone_from(name);
        }
        if let Some(subject) = &self.local_subject {
            import.local_subject.clone_from(subject);
        }
        if let Some(token) = token {
            import.token = ImportToken::from_text(token.clone());
        }
        import.share = self.share.unwrap_or(import.share);
        import.allow_trace = self.allow_trace.unwrap_or(import.allow_trace);
    }
}

pub(crate) fn run(command: ImportCommand, global: &Global, ui: Ui) -> Result {
    match command {
        ImportCommand::Add(args) => {
            let token = args.details.token()?;
            acts::act(&args.passphrases, global, ui, |nats| {
                let account = lookup::account(nats.view(), &args.account)?;
                let mut import = Import {
                    name: args.subject.clone(),
                    subject: args.subject.clone(),
                    account: public_key(nats.view(), &args.src_account)?,
                    token: ImportToken::None,
                    to: String::new(),
                    local_subject: String::new(),
                    r#type: if args.service { ExportType::Service } else { ExportType::Stream },
                    share: false,
                    allow_trace: false,
                };
                args.details.apply(&mut import, token.as_ref());
                sharing::add_import(nats, &account, import)
            })
        }
        ImportCommand::Edit(args) => {
            let token = args.details.token()?;
            acts::act(&args.passphrases, global, ui, |nats| {
                let account = lookup::account(nats.view(), &args.account)?;
                sharing::edit_import(nats, &account, &args.which, &|import| args.details.apply(import, token.as_ref()))
            })
        }
        ImportCommand::Delete(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            sharing::delete_import(nats, &account, &args.which)
        }),
        ImportCommand::List(args) => list(&args, global, ui),
    }
}

/// The public key of an account: one of this ledger by its name, or one of elsewhere.
pub(super) fn public_key(view: &dyn View, text: &str) -> std::result::Result<String, NatsError> {
    match lookup::account(view, text) {
        Ok(account) => Ok(account.account.public_key.to_string()),
        Err(_) if cim_keys::nats::jwt::is_public_key(text, &['A']) => Ok(text.to_owned()),
        Err(error) => Err(error),
    }
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let (session, accounts) = look(global, |view| lookup::accounts(view, args.account()))?;
    let mut rows = Vec::new();
    for account in &accounts {
        for import in accounts::claims(account)?.nats.imports {
            let mut object = serde_json::to_value(&import).unwrap_or_default();
            object["importer"] = account.account.name.as_str().into();
            ui.object(&object)?;
            let kind = import.r#type.as_str();
            let source = session.store().view(|view| lookup::account(view, &import.account))?;
            let source = source.map_or(import.account, |source| source.account.name.to_string());
            let local = if import.local_subject.is_empty() { import.to } else { import.local_subject };
            let account = account.account.name.to_string();
            let row = [account, kind.to_owned(), import.subject, source, local, import.name];
            rows.push(row.iter().map(|cell| visible(cell).into_owned()).collect());
        }
    }
    if rows.is_empty() {
        return ui.line("Nothing is imported.");
    }
    ui.table(&["ACCOUNT", "TYPE", "SUBJECT", "FROM", "AS", "NAME"], &rows)
}
