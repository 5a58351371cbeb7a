//! From the library's errors to what the user is told: each with its exit code.

use cim_keys::app::apply::{ApplyError, InvalidPlan, PlanError};
use cim_keys::app::init::InitError;
use cim_keys::app::lookup::LookupError;
use cim_keys::app::session::RecordError;
use cim_keys::store::{AppendError, CreateError, DatabaseError, OpenError, ReadError};

use crate::error::CliError;

/// The library's messages end with what to do next, after a semicolon: that part is shown as the hint.
fn told(new: fn(String) -> CliError, text: &str) -> CliError {
    match text.rsplit_once("; ") {
        Some((what, next)) => new(what.to_owned()).hint(next),
        None => new(text.to_owned()),
    }
}

impl From<LookupError> for CliError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::View(_) => told(Self::failed, &error.to_string()),
            _ => told(Self::usage, &error.to_string()),
        }
    }
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Damaged { .. } => told(Self::verification, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<ReadError> for CliError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            ReadError::Damaged { .. } => told(Self::verification, &error.to_string()),
            _ => told(Self::usage, &error.to_string()),
        }
    }
}

impl From<OpenError> for CliError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Database(error) => error.into(),
            OpenError::NotTheWriter(_) => told(Self::refused, &error.to_string()),
            OpenError::Missing(_) | OpenError::NotALedger { .. } => told(Self::usage, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<AppendError> for CliError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Database(error) => error.into(),
            AppendError::TimeJump { .. } => {
                told(Self::refused, &error.to_string()).hint("--accept-clock records it with this clock")
            }
            AppendError::Refused(_) | AppendError::NotTheWriter(_) | AppendError::Moved { .. } => {
                told(Self::refused, &error.to_string())
            }
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<RecordError> for CliError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Lookup(error) => error.into(),
            RecordError::Append(error) => error.into(),
            RecordError::Read(error) => error.into(),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<CreateError> for CliError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Append(error) => error.into(),
            CreateError::Open(error) => error.into(),
            CreateError::Database(error) => error.into(),
            CreateError::Exists(_) => told(Self::usage, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<InitError> for CliError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Create(error) => error.into(),
            InitError::Exists(_) | InitError::CustodyExists(_) => told(Self::usage, &error.to_string()),
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
            ApplyError::Append(error) => error.into(),
            ApplyError::Read(error) => error.into(),
            ApplyError::Plan(PlanError::Conflicts(conflicts)) => {
                let entries = if conflicts.len() == 1 { "entry contradicts" } else { "entries contradict" };
                let told = Self::refused(format!("nothing was applied: {} {entries} the ledger", conflicts.len()));
                conflicts.into_iter().fold(told, |told, it| told.detail(format!("{}: {}", it.entry, it.text)))
            }
            ApplyError::Refused { entry, refusal } => {
                told(Self::refused, &refusal.to_string()).detail(format!("at {entry} of the file; nothing was applied"))
            }
            ApplyError::OtherLedger { .. } | ApplyError::Moved { .. } | ApplyError::OtherPlan => {
                told(Self::refused, &error.to_string())
            }
            ApplyError::Plan(_) => told(Self::verification, &error.to_string()),
            _ => told(Self::failed, &error.to_string()),
        }
    }
}

impl From<cim_keys::custody::OpenError> for CliError {
    fn from(error: cim_keys::custody::OpenError) -> Self {
        told(Self::failed, &error.to_string())
    }
}

impl From<cim_keys::text::InvalidText> for CliError {
    fn from(error: cim_keys::text::InvalidText) -> Self {
        told(Self::usage, &error.to_string())
    }
}
