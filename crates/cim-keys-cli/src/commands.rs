//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod carry;
pub(crate) mod changes;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod custody;
pub(crate) mod enroll;
pub(crate) mod entities;
pub(crate) mod event;
pub(crate) mod export;
pub(crate) mod handover;
pub(crate) mod head_words;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod input;
pub(crate) mod key;
pub(crate) mod ledgers;
pub(crate) mod location;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod mirror;
pub(crate) mod nats;
pub(crate) mod offboard;
pub(crate) mod organization;
pub(crate) mod out;
pub(crate) mod person;
pub(crate) mod policy;
pub(crate) mod publication;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod recorded;
pub(crate) mod recover;
pub(crate) mod relationship;
pub(crate) mod role;
pub(crate) mod signatures;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod unit;
pub(crate) mod verify;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::error::Result;
use crate::ui::Ui;

/// Does what was asked for.
pub(crate) fn run(cli: Cli, ui: Ui) -> Result {
    let global = &cli.global;
    match cli.command {
        Command::Init(args) => init::run(&args, global, ui),
        Command::Status => status::run(global, ui),
        Command::Apply(args) => apply::run(&args, global, ui),
        Command::Organization(command) => organization::run(command, global, ui),
        Command::Unit(command) => unit::run(command, global, ui),
        Command::Person(command) => person::run(command, global, ui),
        Command::Location(command) => location::run(command, global, ui),
        Command::Role(command) => role::run(command, global, ui),
        Command::Policy(command) => policy::run(command, global, ui),
        Command::Relationship(command) => relationship::run(command, global, ui),
        Command::Key(command) => key::run(command, global, ui),
        Command::Nats(command) => nats::run(command, global, ui),
        Command::Agent(command) => agent::run(command, global, ui),
        Command::Custody(command) => custody::run(command, global, ui),
        Command::Event(command) => event::run(command, global, ui),
        Command::Queue(command) => queue::run(command, global, ui),
        Command::Sync(args) => publish::sync(&args, global, ui),
        Command::Replay(args) => stream::replay(&args, global, ui),
        Command::Follow(args) => stream::follow(&args, global, ui),
        Command::Reconcile(args) => stream::reconcile(&args, global, ui),
        Command::State(args) => state::run(&args, global, ui),
        Command::Diff(args) => state::diff(&args, global, ui),
        Command::History(args) => history::run(&args, global, ui),
        Command::Verify(args) => verify::run(&args, global, ui),
        Command::Ledger(command) => ledgers::run(command, global, ui),
        Command::Log(command) => log::run(command, global, ui),
        Command::Export(command) => export::run(command, global, ui),
        Command::Import(command) => import::run(command, global, ui),
        Command::Mirror(command) => mirror::run(command, global, ui),
        Command::Carry(command) => carry::run(command, global, ui),
        Command::Backup(args) => backup::run(&args, global, ui),
        Command::Restore(args) => backup::restore(&args, ui),
        Command::Recover(args) => recover::run(&args, global, ui),
        Command::Handover(args) => handover::run(&args, global, ui),
        Command::Config(command) => config::run(command, global, ui),
        Command::Completions(args) => completions::run(&args, Cli::command(), ui),
        Command::Man(args) => man::run(&args, Cli::command(), ui),
    }
}
