//! The commands, one file each, and what several of them share.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod carry;
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

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cim_keys::act::{Draft, Question};
use cim_keys::events::Validity;
use cim_keys::ledger::View;
use cim_keys::ledger::lookup::LookupError;
use cim_keys::text::Note;
use cim_keys::time::Timestamp;
use clap::Args;

use crate::act::Acting;
use crate::cli::{Cli, Command, Global};
use crate::error::{CliError, Result};
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
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
}

/// What looks up what is meant, and answers with what shall be done.
pub(crate) type Look<'l> = dyn Fn(&dyn View) -> std::result::Result<Vec<cim_keys::ledger::Command>, LookupError> + 'l;

/// Records what `look` leads to, and reports it.
pub(crate) fn record(look: &Look<'_>, global: &Global, ui: Ui) -> Result {
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| found(draft, look))
}

/// Records an end, once it is confirmed.
pub(crate) fn end(question: &str, global: &Global, ui: Ui, look: &Look<'_>) -> Result {
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| {
        found(draft, look)?;
        draft.ask(Question::new(question, "nothing was recorded"));
        Ok::<_, CliError>(())
    })
}

fn found(draft: &mut Draft<'_>, look: &Look<'_>) -> Result {
    let commands = look(draft.view())?;
    Ok(draft.commands(commands)?)
}

/// What ends, or comes back, and why.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndArgs {
    /// Which one: its name or identifier, of a person the e-mail address as well
    which: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
}

/// When something counts.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidityArgs {
    /// It counts from this date or time on
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    not_before: Option<Timestamp>,
    /// It counts until this date or time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    not_after: Option<Timestamp>,
}

impl ValidityArgs {
    /// The validity; without ends where nothing was given.
    pub(crate) fn validity(&self) -> Result<Validity> {
        Validity::new(self.not_before, self.not_after).map_err(|error| CliError::usage(error.to_string()))
    }

    /// The validity, where something was given.
    pub(crate) fn given(&self) -> Result<Option<Validity>> {
        let given = self.not_before.is_some() || self.not_after.is_some();
        given.then(|| self.validity()).transpose()
    }
}

/// Reads a text file that was named, up to a size. `-` is standard input.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    let cannot = |error: std::io::Error| {
        CliError::usage(format!("cannot read {}", path.display())).because(&error).hint("name a file that is there")
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        File::open(path).map_err(cannot)?.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if bytes.len() as u64 > most {
        return Err(CliError::usage(format!("{} is larger than {most} bytes", path.display()))
            .hint("nothing of it was read; name another file, or split it"));
    }
    String::from_utf8(bytes).map_err(|_| {
        CliError::usage(format!("{} is not text in UTF-8", path.display()))
            .hint("save it as UTF-8, or name another file")
    })
}
