//! The tree of commands.

use clap::{Parser, Subcommand};

use crate::commands::{
    agent, apply, backup, carry, completions, config, custody, event, export, handover, history, import, init, key,
    ledgers, location, log, man, mirror, nats, organization, person, policy, publish, queue, recover, relationship,
    role, state, stream, unit, verify,
};
use crate::global::Global;

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

/// The commands, each in a file of its own.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one a run
pub(crate) enum Command {
    /// Make a ledger, with custody and a key of its own
    Init(init::InitArgs),
    /// Show what this ledger is and how it stands: its head, its queue, its backups
    Status,
    /// Bring the ledger to what a file declares
    Apply(apply::ApplyArgs),
    /// Organizations: what everything else belongs to
    #[command(subcommand)]
    Organization(organization::OrganizationCommand),
    /// Units of an organization
    #[command(subcommand)]
    Unit(unit::UnitCommand),
    /// People
    #[command(subcommand)]
    Person(person::PersonCommand),
    /// Locations of people, machines and keys
    #[command(subcommand)]
    Location(location::LocationCommand),
    /// Roles, and who holds them
    #[command(subcommand)]
    Role(role::RoleCommand),
    /// Policy documents
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Relationships between two parties, delegations among them
    #[command(subcommand)]
    Relationship(relationship::RelationshipCommand),
    /// Keys: made, imported, revoked, rotated, exported
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// NATS operators, accounts and users
    #[command(subcommand)]
    Nats(nats::NatsCommand),
    /// An agent for CI: signs short-lived users for `nats creds`, on a socket, with one compartment open
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// The sealed compartments of private keys
    #[command(subcommand)]
    Custody(custody::CustodyCommand),
    /// The events that are recorded
    #[command(subcommand)]
    Event(event::EventCommand),
    /// The events that wait for publication
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Publish events as they are recorded, until interrupted: reconnects, drains, and says so
    Sync(publish::SyncArgs),
    /// Rebuild a ledger from its stream, as a mirror that is pinned to the ledger's key; everything is verified on the way
    Replay(stream::ReplayArgs),
    /// Keep a mirror current from the stream until interrupted, and raise an alarm where the stream is not what it should be
    Follow(stream::FollowArgs),
    /// Compare the ledger with its stream, and put back what the stream has lost
    Reconcile(stream::ReconcileArgs),
    /// Show what there was at some moment
    State(state::StateArgs),
    /// Show what changed between two moments
    Diff(state::DiffArgs),
    /// Show who changed something, when and how, back to its creation
    History(history::HistoryArgs),
    /// Check everything that is recorded, in the ledger or in an archive: identifiers, order, tree, projections
    Verify(verify::VerifyArgs),
    /// Other ledgers that are known to this one
    #[command(subcommand)]
    Ledger(ledgers::LedgerCommand),
    /// Signed heads of the history, proofs of what is in it, witnesses
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Write what is recorded in formats that other programs read
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Take what another place recorded, after verifying it
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Read-only copies of a ledger, pinned to its key, for the connected side and for auditors
    #[command(subcommand)]
    Mirror(mirror::MirrorCommand),
    /// Bring what is public over removable media: archives and tokens out, requests and receipts in
    #[command(subcommand)]
    Carry(carry::CarryCommand),
    /// Write the whole ledger, its sealed keys included, into one file, while others go on writing
    Backup(backup::BackupArgs),
    /// Bring a backup back; `recover` comes next
    Restore(backup::RestoreArgs),
    /// Let a restored ledger take what is newer than its backup, and go on under a new key
    Recover(recover::RecoverArgs),
    /// Take over the right to write for this copy of a ledger
    Handover(handover::HandoverArgs),
    /// Show, check and explain the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write shell completions to standard output
    Completions(completions::CompletionsArgs),
    /// Write manual pages
    Man(man::ManArgs),
}
