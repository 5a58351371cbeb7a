//! `nats`: operators, accounts, users, their signing keys, credentials, and what servers need.

mod account;
mod activation;
mod acts;
mod auth_callout;
mod context;
mod creds;
mod due;
mod explain;
mod export;
mod flags;
mod import;
mod issuer;
mod mapping;
mod nsc;
mod online;
mod open;
mod operator;
mod request;
mod revocation;
mod server_config;
mod signing_key;
mod user;

use clap::Subcommand;

pub(crate) use flags::span;

use crate::error::Result;
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum NatsCommand {
    /// The operator: the root of trust of a NATS deployment
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Accounts: what is apart from each other
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Users: who connects
    #[command(subcommand)]
    User(user::UserCommand),
    /// Signing keys of accounts, plain or with a role
    #[command(subcommand)]
    SigningKey(signing_key::SigningKeyCommand),
    /// An issuer: a ledger of its own that signs users of an account of elsewhere, with a role; `agent` serves it
    #[command(subcommand)]
    Issuer(issuer::IssuerCommand),
    /// On a mirror: ask the authority for what an apply file says, in a file that this side's own ledger signs
    Request(request::RequestArgs),
    /// At the authority: show what a request comes to here, and carry it out
    Sign(request::SignArgs),
    /// What accounts let others import; with --nsc, write an nsc home that nsc goes on with
    #[command(args_conflicts_with_subcommands = true)]
    Export {
        #[command(subcommand)]
        command: Option<export::ExportCommand>,
        #[command(flatten)]
        nsc: nsc::ExportArgs,
    },
    /// What accounts import from others; with --nsc, take an operator over from nsc: keys, accounts, users, tokens as they are
    #[command(args_conflicts_with_subcommands = true)]
    Import {
        #[command(subcommand)]
        command: Option<import::ImportCommand>,
        #[command(flatten)]
        nsc: nsc::ImportArgs,
    },
    /// Activations of private exports
    #[command(subcommand)]
    Activation(activation::ActivationCommand),
    /// Subjects that become others
    #[command(subcommand)]
    Mapping(mapping::MappingCommand),
    /// What accounts refuse
    #[command(subcommand)]
    Revocation(revocation::RevocationCommand),
    /// A service that decides who may connect to an account
    #[command(subcommand)]
    AuthCallout(auth_callout::AuthCalloutCommand),
    /// Keys that were replaced with an overlap: when they end; --apply ends those that are due
    Due(due::DueArgs),
    /// Write a user's credentials, as every NATS client reads them
    Creds(creds::CredsArgs),
    /// Open what was sealed to a NATS curve key (X…) with `--to`; needs no ledger
    Open(open::OpenArgs),
    /// Write what the `nats` command line needs to connect as a user
    Context(context::ContextArgs),
    /// Write the part of a server's configuration that trusts the operator
    ServerConfig(server_config::ServerConfigArgs),
    /// Say why a user can or cannot connect, publish or subscribe, without asking a server
    Explain(explain::ExplainArgs),
    /// Push account tokens to servers, and prove that they hold them
    Push(online::PushArgs),
    /// Compare what servers hold with the ledger
    Diff(online::DiffArgs),
    /// Bring the account tokens that servers hold
    Pull(online::PullArgs),
}

pub(crate) fn run(command: NatsCommand, global: &Global, ui: Ui) -> Result {
    match command {
        NatsCommand::Operator(command) => operator::run(command, global, ui),
        NatsCommand::Account(command) => account::run(command, global, ui),
        NatsCommand::User(command) => user::run(command, global, ui),
        NatsCommand::SigningKey(command) => signing_key::run(command, global, ui),
        NatsCommand::Issuer(command) => issuer::run(command, global, ui),
        NatsCommand::Request(args) => request::request(&args, global, ui),
        NatsCommand::Sign(args) => request::sign(&args, global, ui),
        NatsCommand::Export { command: Some(command), .. } => export::run(command, global, ui),
        NatsCommand::Export { command: None, nsc: args } => nsc::export(&args, global, ui),
        NatsCommand::Import { command: Some(command), .. } => import::run(command, global, ui),
        NatsCommand::Import { command: None, nsc: args } => nsc::import(&args, global, ui),
        NatsCommand::Activation(command) => activation::run(command, global, ui),
        NatsCommand::Mapping(command) => mapping::run(command, global, ui),
        NatsCommand::Revocation(command) => revocation::run(command, global, ui),
        NatsCommand::AuthCallout(command) => auth_callout::run(command, global, ui),
        NatsCommand::Due(args) => due::run(&args, global, ui),
        NatsCommand::Creds(args) => creds::run(&args, global, ui),
        NatsCommand::Open(args) => open::run(&args, ui),
        NatsCommand::Context(args) => context::run(&args, global, ui),
        NatsCommand::ServerConfig(args) => server_config::run(&args, global, ui),
        NatsCommand::Explain(args) => explain::run(&args, global, ui),
        NatsCommand::Push(args) => online::push(&args, global, ui),
        NatsCommand::Diff(args) => online::diff(&args, global, ui),
        NatsCommand::Pull(args) => online::pull(&args, global, ui),
    }
}
