//! `nats export`: what other accounts may import.

use cim_keys::authority::nats::{accounts, lookup, sharing};
use cim_keys::nats::claims::{Export, ExportType, Info, ResponseType, Sampling, ServiceLatency};
use cim_keys::text::visible;
use clap::{Args, Subcommand, ValueEnum};

use super::acts::{self, look};
use super::flags::duration;
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Let other accounts import a subject: a stream, or with --service a service
    Add(Box<AddArgs>),
    /// Change an export
    Edit(Box<EditArgs>),
    /// List exports
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Take an export back; importers in this ledger have to stop first
    Delete(WhichArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The account: its name or public key
    account: String,
    /// The subject, which may hold wildcards
    subject: String,
    /// It is a service: requests come in, and replies go out
    #[arg(long)]
    service: bool,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// The account: its name or public key
    account: String,
    /// Which export: its name or subject
    which: String,
    /// Another subject
    #[arg(long)]
    subject: Option<String>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this account
    account: Option<String>,
}

impl ListArgs {
    pub(super) fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The account: its name or public key
    pub(super) account: String,
    /// Which one: its name or subject
    pub(super) which: String,
    #[command(flatten)]
    pub(super) passphrases: PassphraseArgs,
}

#[derive(Debug, Args)]
struct Details {
    /// What it is called
    #[arg(long)]
    name: Option<String>,
    /// Whether an importer needs an activation
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    private: Option<bool>,
    /// How a service answers
    #[arg(long, value_enum)]
    response_type: Option<Responses>,
    /// How long a service may take, such as 500ms or 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    response_threshold: Option<i64>,
    /// Publish how long a service took to this subject; "" stops that
    #[arg(long, value_name = "SUBJECT")]
    latency: Option<String>,
    /// Measure so many percent of the requests, or those whose headers ask for it
    #[arg(long, value_name = "PERCENT|headers", value_parser = sampling)]
    sampling: Option<Sampling>,
    /// Which token of the subject must be the importer's account, counted from 1; 0 for none
    #[arg(long, value_name = "N")]
    account_token_position: Option<u32>,
    /// Whether others may know of it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    advertise: Option<bool>,
    /// Whether message traces may enter
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_trace: Option<bool>,
    /// What it is
    #[arg(long)]
    description: Option<String>,
    /// Where people find out more
    #[arg(long, value_name = "URL")]
    info_url: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Responses {
    /// Once
    Singleton,
    /// Many times
    Stream,
    /// Once, in parts
    Chunked,
}

fn sampling(text: &str) -> std::result::Result<Sampling, String> {
    if text.eq_ignore_ascii_case("headers") {
        return Ok(Sampling::Headers);
    }
    let percent = text.trim_end_matches('%').parse().ok().filter(|percent| (1..=100).contains(percent));
    percent.map(Sampling::Percent).ok_or_else(|| "1 to 100, or headers, is needed".to_owned())
}

impl Details {
    fn apply(&self, export: &mut Export) {
        if let Some(name) = &self.name {
            export.name.clone_from(name);
        }
        export.token_req = self.private.unwrap_or(export.token_req);
        if let Some(kind) = self.response_type {
            export.response_type = Some(match kind {
                Responses::Singleton => ResponseType::Singleton,
                Responses::Stream => ResponseType::Stream,
                Responses::Chunked => ResponseType::Chunked,
            });
        }
        export.response_threshold = self.response_threshold.unwrap_or(export.response_threshold);
        if let Some(results) = &self.latency {
            let sampling = export.service_latency.as_ref().map_or(Sampling::Percent(100), |latency| latency.sampling);
            let latency = ServiceLatency { sampling, results: results.clone() };
            export.service_latency = (!results.is_empty()).then_some(latency);
        }
        if let (Some(latency), Some(sampling)) = (&mut export.service_latency, self.sampling) {
            latency.sampling = sampling;
        }
        export.account_token_position = self.account_token_position.unwrap_or(export.account_token_position);
        export.advertise = self.advertise.unwrap_or(export.advertise);
        export.allow_trace = self.allow_trace.unwrap_or(export.allow_trace);
        if let Some(description) = &self.description {
            export.info.description.clone_from(description);
        }
        if let Some(url) = &self.info_url {
            export.info.info_url.clone_from(url);
        }
    }
}

pub(crate) fn run(command: ExportCommand, global: &Global, ui: Ui) -> Result {
    match command {
        ExportCommand::Add(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            let kind = if args.service { ExportType::Service } else { ExportType::Stream };
            let mut export = new(&args.subject, kind);
            args.details.apply(&mut export);
            sharing::add_export(nats, &account, export)
        }),
        ExportCommand::Edit(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            sharing::edit_export(nats, &account, &args.which, &|export| {
                if let Some(subject) = &args.subject {
                    export.subject.clone_from(subject);
                }
                args.details.apply(export);
            })
        }),
        ExportCommand::Delete(args) => acts::act(&args.passphrases, global, ui, |nats| {
            let account = lookup::account(nats.view(), &args.account)?;
            sharing::delete_export(nats, &account, &args.which)
        }),
        ExportCommand::List(args) => list(&args, global, ui),
    }
}

fn new(subject: &str, kind: ExportType) -> Export {
    Export {
        name: subject.to_owned(),
        subject: subject.to_owned(),
        r#type: kind,
        token_req: false,
        revocations: Default::default(),
        response_type: None,
        response_threshold: 0,
        service_latency: None,
        account_token_position: 0,
        advertise: false,
        allow_trace: false,
        info: Info::default(),
    }
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let (_, accounts) = look(global, |view| lookup::accounts(view, args.account()))?;
    let mut rows = Vec::new();
    for account in &accounts {
        for export in accounts::claims(account)?.nats.exports {
            let mut object = serde_json::to_value(&export).unwrap_or_default();
            object["account"] = account.account.name.as_str().into();
            ui.object(&object)?;
            let kind = export.r#type.as_str();
            let access = match (export.token_req, export.account_token_position) {
                (true, _) => "by activation".to_owned(),
                (false, 0) => "public".to_owned(),
                (false, position) => format!("account at token {position}"),
            };
            let account = account.account.name.to_string();
            let row = [account, kind.to_owned(), export.subject, export.name, access];
            rows.push(row.iter().map(|cell| visible(cell).into_owned()).collect());
        }
    }
    if rows.is_empty() {
        return ui.line("Nothing is exported.");
    }
    ui.table(&["ACCOUNT", "TYPE", "SUBJECT", "NAME", "WHO"], &rows)
}
