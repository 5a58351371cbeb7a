//! From the library's errors to what the user is told: each with its exit code.

use cim_keys::app::apply::ApplyError;
use cim_keys::app::handover::HandoverError;
use cim_keys::app::init::InitError;
use cim_keys::app::revocation::RevocationError;
use cim_keys::authority::keys::KeyActError;
use cim_keys::declare::PlanError;
use cim_keys::keys::KeyError;

use crate::error::CliError;

impl From<HandoverError> for CliError {
    fn from(error: HandoverError) -> Self {
        match error {
            HandoverError::Record(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

impl From<InitError> for CliError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Act(error) => (*error).into(),
            InitError::Key(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

impl From<ApplyError> for CliError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Rehearsal(error) => (*error).into(),
            ApplyError::Key(error) => error.into(),
            ApplyError::Plan(PlanError::Conflicts(conflicts)) => {
                let entries = if conflicts.len() == 1 { "entry contradicts" } else { "entries contradict" };
                let told = Self::refused(format!("nothing was applied: {} {entries} the ledger", conflicts.len()));
                conflicts.into_iter().fold(told, |told, it| told.detail(format!("{}: {}", it.entry, it.text)))
            }
            ApplyError::Refused { entry, refusal } => {
                Self::from(refusal).detail(format!("at {entry} of the file; nothing was applied"))
            }
            ApplyError::Nats { entry, source } => {
                let told = Self::from(*source);
                match entry {
                    Some(entry) => told.detail(format!("at {entry} of the file; nothing was applied")),
                    None => told.detail("nothing was applied"),
                }
            }
            error => Self::explain(&error),
        }
    }
}

impl From<KeyActError> for CliError {
    fn from(error: KeyActError) -> Self {
        match error {
            KeyActError::Key(KeyError::Elsewhere(key)) => {
                Self::refused(format!("only the public half of key {key} is known, so there is nothing to export"))
            }
            KeyActError::Key(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

impl From<RevocationError> for CliError {
    fn from(error: RevocationError) -> Self {
        match error {
            RevocationError::Nats(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

impl From<cim_keys::text::InvalidText> for CliError {
    fn from(error: cim_keys::text::InvalidText) -> Self {
        Self::usage(error.to_string())
    }
}
