//! The tree of commands and what all of them take.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

use crate::commands;
use crate::passphrase::PassphraseArgs;
use crate::ui::Format;

/// The offline-first key ledger: people, roles, policies and keys of an organisation, recorded as content-addressed
/// events and published to NATS JetStream whenever a server can be reached.
#[derive(Debug, Parser)]
#[command(name = "cim-keys", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 refused by the domain or by \
    policy; 4 verification failed; 5 NATS can't be reached where the command needs it.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The ledger's folder; without it the nearest one upward from the working directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CIM_KEYS_LEDGER",
        hide_env_values = true,
        value_hint = ValueHint::DirPath,
        // Unlike the parser for paths this one takes an empty variable, which names nothing.
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub(crate) ledger: Option<PathBuf>,
    /// Text for people, or one JSON object a line for programs
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        env = "CIM_KEYS_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) output: Format,
    /// Answer yes to what would be asked
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Who acts and signs every event of the command with a key of their own: a person's name, e-mail address or identifier
    #[arg(long = "as", global = true, value_name = "PERSON", env = "CIM_KEYS_AS", hide_env_values = true)]
    pub(crate) signer: Option<String>,
    /// Who acts, as the events only claim it, unsigned: person:UUID, service:NAME, system:NAME, or a person's e-mail address
    #[arg(long, global = true, value_name = "ACTOR", env = "CIM_KEYS_ACTOR", hide_env_values = true)]
    pub(crate) actor: Option<String>,
    /// Record with this machine's clock although it is more than a day away from the last event
    #[arg(long, global = true)]
    pub(crate) accept_clock: bool,
    /// Say more on standard error; twice says even more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) passphrases: PassphraseArgs,
}

impl Global {
    /// Starts logging to standard error. `CIM_KEYS_LOG` takes the filters of tracing-subscriber.
    pub(crate) fn log(&self) {
        use tracing_subscriber::EnvFilter;
        let default = match self.verbose {
            // What the client logs of a failure, the failure itself says better.
            0 => "error,async_nats=off",
            1 => "cim_keys=info",
            _ => "cim_keys=debug,async_nats=info",
        };
        let filter = std::env::var("CIM_KEYS_LOG").unwrap_or_else(|_| default.to_owned());
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
        // A second subscriber is refused; there is only this one.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(|| crate::ui::Harmless(std::io::stderr()))
            .with_ansi(false)
            .without_time()
            .try_init();
    }
}

/// The commands, each in a file of its own.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one a run
pub(crate) enum Command {
    /// Make a ledger, with custody and a key of its own
    Init(commands::init::InitArgs),
    /// Show what this ledger is and how it stands: its head, its queue, its backups
    Status,
    /// Bring the ledger to what a file declares
    Apply(commands::apply::ApplyArgs),
    /// Organizations: what everything else belongs to
    #[command(subcommand)]
    Organization(commands::organization::OrganizationCommand),
    /// Units of an organization
    #[command(subcommand)]
    Unit(commands::unit::UnitCommand),
    /// People
    #[command(subcommand)]
    Person(commands::person::PersonCommand),
    /// Locations of people, machines and keys
    #[command(subcommand)]
    Location(commands::location::LocationCommand),
    /// Roles, and who holds them
    #[command(subcommand)]
    Role(commands::role::RoleCommand),
    /// Policy documents
    #[command(subcommand)]
    Policy(commands::policy::PolicyCommand),
    /// Relationships between two parties, delegations among them
    #[command(subcommand)]
    Relationship(commands::relationship::RelationshipCommand),
    /// Keys: made, imported, revoked, rotated, exported
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// NATS operators, accounts and users
    #[command(subcommand)]
    Nats(commands::nats::NatsCommand),
    /// An agent for CI: signs short-lived users for `nats creds`, on a socket, with one compartment open
    #[command(subcommand)]
    Agent(commands::agent::AgentCommand),
    /// The sealed compartments of private keys
    #[command(subcommand)]
    Custody(commands::custody::CustodyCommand),
    /// The events that are recorded
    #[command(subcommand)]
    Event(commands::event::EventCommand),
    /// The events that wait for publication
    #[command(subcommand)]
    Queue(commands::queue::QueueCommand),
    /// Publish events as they are recorded, until interrupted: reconnects, drains, and says so
    Sync(commands::publish::SyncArgs),
    /// Rebuild a ledger from its stream, as a mirror that is pinned to the ledger's key; everything is verified on the way
    Replay(commands::stream::ReplayArgs),
    /// Keep a mirror current from the stream until interrupted, and raise an alarm where the stream is not what it should be
    Follow(commands::stream::FollowArgs),
    /// Compare the ledger with its stream, and put back what the stream has lost
    Reconcile(commands::stream::ReconcileArgs),
    /// Show what there was at some moment
    State(commands::state::StateArgs),
    /// Show what changed between two moments
    Diff(commands::state::DiffArgs),
    /// Show who changed something, when and how, back to its creation
    History(commands::history::HistoryArgs),
    /// Check everything that is recorded, in the ledger or in an archive: identifiers, order, tree, projections
    Verify(commands::verify::VerifyArgs),
    /// Other ledgers that are known to this one
    #[command(subcommand)]
    Ledger(commands::ledgers::LedgerCommand),
    /// Signed heads of the history, proofs of what is in it, witnesses
    #[command(subcommand)]
    Log(commands::log::LogCommand),
    /// Write what is recorded in formats that other programs read
    #[command(subcommand)]
    Export(commands::export::ExportCommand),
    /// Take what another place recorded, after verifying it
    #[command(subcommand)]
    Import(commands::import::ImportCommand),
    /// Read-only copies of a ledger, pinned to its key, for the connected side and for auditors
    #[command(subcommand)]
    Mirror(commands::mirror::MirrorCommand),
    /// Bring what is public over removable media: archives and tokens out, requests and receipts in
    #[command(subcommand)]
    Carry(commands::carry::CarryCommand),
    /// Write the whole ledger, its sealed keys included, into one file, while others go on writing
    Backup(commands::backup::BackupArgs),
    /// Bring a backup back; `recover` comes next
    Restore(commands::backup::RestoreArgs),
    /// Let a restored ledger take what is newer than its backup, and go on under a new key
    Recover(commands::recover::RecoverArgs),
    /// Take over the right to write for this copy of a ledger
    Handover(commands::handover::HandoverArgs),
    /// Show, check and explain the configuration
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Write shell completions to standard output
    Completions(commands::completions::CompletionsArgs),
    /// Write manual pages
    Man(commands::man::ManArgs),
}
