//! Commands that record a change: what is meant is looked up, and an end is confirmed; and the arguments that they share.

use cim_keys::act::{Draft, Question};
use cim_keys::events::Validity;
use cim_keys::ledger::lookup::LookupError;
use cim_keys::ledger::{Command, View};
use cim_keys::text::Note;
use cim_keys::time::Timestamp;
use clap::Args;

use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

/// What looks up what is meant, and answers with what shall be done.
pub(crate) type Look<'l> = dyn Fn(&dyn View) -> std::result::Result<Vec<Command>, LookupError> + 'l;

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

/// Gives a draft the commands that `look` leads to.
pub(super) fn found(draft: &mut Draft<'_>, look: &Look<'_>) -> Result {
    let commands = look(draft.view())?;
    Ok(draft.commands(commands)?)
}

/// What ends, or comes back, and why.
#[derive(Debug, Clone, Args)]
pub(crate) struct EndArgs {
    /// Which one: its name or identifier, of a person the e-mail address as well
    pub(super) which: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    pub(super) reason: Note,
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
