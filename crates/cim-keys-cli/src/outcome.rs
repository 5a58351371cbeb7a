//! From the library's errors to what the user is told: each with its exit code.

use cim_keys::app::apply::ApplyError;
use cim_keys::app::attest::AttestError;
use cim_keys::app::handover::HandoverError;
use cim_keys::app::init::InitError;
use cim_keys::app::revocation::RevocationError;
use cim_keys::authority::keys::KeyActError;
use cim_keys::declare::{InvalidPlan, PlanError};
use cim_keys::keys::KeyError;

use crate::error::CliError;

/// The library's messages end with what to do next, after a semicolon: that part is shown as the hint.
fn told(new: fn(String) -> CliError, text: &str) -> CliError {
    CliError::from_sentence(new, text)
}

impl From<HandoverError> for CliError {
    fn from(error: HandoverError) -> Self {
        match error {
            HandoverError::Open(error) => error.into(),
            HandoverError::Record(error) => error.into(),
            HandoverError::OnlineKey(error) => error.into(),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<InitError> for CliError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Create(error) => error.into(),
            InitError::Act(error) => (*error).into(),
            InitError::Key(error) => error.into(),
            InitError::Exists(_)
            | InitError::CustodyExists(_)
            | InitError::Busy(_)
            | InitError::Unfinished(_)
            | InitError::Connected(_) => told(Self::usage, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<InvalidPlan> for CliError {
    fn from(error: InvalidPlan) -> Self {
        told(Self::usage, &error.to_string())
    }
}

impl From<ApplyError> for CliError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Rehearsal(error) => (*error).into(),
            ApplyError::Key(error) => error.into(),
            ApplyError::Read(error) => error.into(),
            ApplyError::Plan(PlanError::Conflicts(conflicts)) => {
                let entries = if conflicts.len() == 1 { "entry contradicts" } else { "entries contradict" };
                let told = Self::refused(format!("nothing was applied: {} {entries} the ledger", conflicts.len()));
                conflicts.into_iter().fold(told, |told, it| told.detail(format!("{}: {}", it.entry, it.text)))
            }
            ApplyError::Refused { entry, refusal } => {
                Self::from(refusal).detail(format!("at {entry} of the file; nothing was applied"))
            }
            ApplyError::OtherLedger { .. } | ApplyError::Moved { .. } | ApplyError::OtherPlan => {
                told(Self::refused, &error.to_string())
            }
            ApplyError::Nats { entry, source } => {
                let told = Self::from(*source);
                match entry {
                    Some(entry) => told.detail(format!("at {entry} of the file; nothing was applied")),
                    None => told.detail("nothing was applied"),
                }
            }
            ApplyError::Plan(_) => told(Self::verification, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<cim_keys::app::queue::QueueError> for CliError {
    fn from(error: cim_keys::app::queue::QueueError) -> Self {
        use cim_keys::app::queue::QueueError;
        match error {
            QueueError::Open(error) => error.into(),
            QueueError::NotParked(_) => told(Self::usage, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<KeyActError> for CliError {
    fn from(error: KeyActError) -> Self {
        match error {
            KeyActError::Lookup(error) => error.into(),
            KeyActError::Key(KeyError::Elsewhere(key)) => {
                Self::refused(format!("only the public half of key {key} is known; there is nothing to export"))
            }
            KeyActError::Key(error) => error.into(),
            KeyActError::Refused(error) => error.into(),
            KeyActError::SealTo(error) => error.into(),
            KeyActError::Unfit { .. } | KeyActError::Validity(_) | KeyActError::Public(_) => {
                told(Self::usage, &error.to_string())
            }
            KeyActError::NoSuccessor(_) | KeyActError::LedgerKey => told(Self::refused, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<RevocationError> for CliError {
    fn from(error: RevocationError) -> Self {
        match error {
            RevocationError::Lookup(error) => error.into(),
            RevocationError::Nats(error) => error.into(),
            RevocationError::Read(error) => error.into(),
            RevocationError::NotRevoked(_) => told(Self::refused, &error.to_string()),
            RevocationError::Several { .. } => told(Self::usage, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<AttestError> for CliError {
    fn from(error: AttestError) -> Self {
        match error {
            AttestError::Lookup(error) => error.into(),
            AttestError::Read(error) => error.into(),
            AttestError::Refused(error) => error.into(),
            AttestError::WrongSignature(_) | AttestError::TooLong => told(Self::verification, &error.to_string()),
            _ => told(Self::refused, &error.to_string()),
        }
    }
}

impl From<cim_keys::text::InvalidText> for CliError {
    fn from(error: cim_keys::text::InvalidText) -> Self {
        told(Self::usage, &error.to_string())
    }
}
