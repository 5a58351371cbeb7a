//! Acts through the pipeline, for tests and benches of what is recorded.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use cim_keys::act::{ActError, Intent, Journal, Pipeline};
use cim_keys::events::LedgerCreated;
use cim_keys::ledger::{Command, Refusal};
use cim_keys::policy;
use cim_keys::store::{
    AppendError, AppendedEvent, CreateError, Founding, HandingOver, JournalError, OpenError, Store, StoreOptions,
};
use cim_keys::text::Note;

/// Why commands were not recorded.
pub type Failure = ActError<JournalError, Refusal>;

/// An act of the tests, recorded at the position that it was decided at.
pub fn intent() -> Intent {
    Intent::new("service:test".parse().unwrap())
}

/// An act of the tests that is decided where it is recorded, as many appenders at once need it.
pub fn anywhere() -> Intent {
    Intent { anywhere: true, ..intent() }
}

/// Gives commands in one act.
pub fn act(store: &Store, commands: Vec<Command>) -> Result<Vec<AppendedEvent>, Failure> {
    act_with(store, &intent(), commands)
}

/// The same with an intent.
pub fn act_with(
    journal: &impl Journal<Error = JournalError>,
    intent: &Intent,
    commands: Vec<Command>,
) -> Result<Vec<AppendedEvent>, Failure> {
    let mut pipeline = Pipeline::new(journal, policy::built_in());
    pipeline.act(intent, |draft| draft.commands(commands.iter().cloned())).map(|outcome| outcome.events)
}

/// Makes a ledger, with more commands in its first act.
pub fn found(options: StoreOptions, created: LedgerCreated, more: Vec<Command>) -> Result<Store, Failure> {
    let founding = Founding::new(options);
    act_with(&founding, &intent(), std::iter::once(Command::CreateLedger(created)).chain(more).collect())?;
    Ok(founding.into_store().unwrap())
}

/// Takes over the right to write.
pub fn hand_over(options: StoreOptions, reason: Note) -> Result<Store, OpenError> {
    let journal = HandingOver::open(options)?;
    let event = cim_keys::events::LedgerHandedOver { ledger_id: journal.ledger_id(), reason };
    act_with(&journal, &intent(), vec![Command::HandOverLedger(event)]).unwrap();
    Ok(journal.into_store().unwrap())
}

/// Why the ledger refuses: when an act was drafted, or where it was recorded.
pub fn refusal(failure: &Failure) -> Option<&Refusal> {
    match failure {
        ActError::Build(refusal)
        | ActError::Refused(refusal)
        | ActError::Journal(JournalError::Append(AppendError::Refused(refusal))) => Some(refusal),
        _ => None,
    }
}

/// Why the store did not record an act.
pub fn append_error(failure: &Failure) -> Option<&AppendError> {
    match failure {
        ActError::Journal(JournalError::Append(error) | JournalError::Create(CreateError::Append(error))) => {
            Some(error)
        }
        _ => None,
    }
}
