//! What to do about each error of a store.

use super::{
    AppendError, CheckpointStoreError, CopyError, CreateError, DatabaseError, JournalError, MirrorError, NotTheWriter,
    OpenError, ReadError,
};
use crate::advice::{Action, Advice, ErrorKind, Explained};

const GO_BACK: Advice = Advice::Do("go back to a backup");

impl Explained for DatabaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } => ErrorKind::Verification,
            Self::Busy { .. } | Self::Full { .. } | Self::Sqlite { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Busy { .. } => vec![Advice::Do("wait until that process is done, or stop it, and try again")],
            Self::Full { .. } => vec![Advice::Do("make room and try again")],
            Self::Damaged { .. } => vec![Advice::Run(Action::Verify, "shows what is affected"), GO_BACK],
            Self::Sqlite { source, .. } => closed(source),
        }
    }
}

/// What to do where the system did not let SQLite have its files.
fn closed(error: &rusqlite::Error) -> Vec<Advice> {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::CannotOpen | Code::ReadOnly | Code::SystemIoFailure | Code::PermissionDenied) => vec![Advice::Do(
            "even reading needs a folder that can be written to and has room: see to that, or copy the whole folder to such a place",
        )],
        _ => Vec::new(),
    }
}

impl Explained for ReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::Ambiguous { .. } | Self::NotAnEvent(_) => ErrorKind::Usage,
            Self::Damaged { .. } => ErrorKind::Verification,
            Self::Database(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotFound(_) => vec![Advice::Run(Action::ListEvents, "shows those that are there")],
            Self::Ambiguous { .. } => vec![Advice::Do("give more of the content identifier")],
            Self::NotAnEvent(_) => Vec::new(),
            Self::Damaged { .. } => vec![Advice::Run(Action::Verify, "shows what else is damaged"), GO_BACK],
            Self::Database(error) => error.advice(),
        }
    }
}

impl Explained for NotTheWriter {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Refused
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Asked | Self::Permissions(_) => Vec::new(),
            Self::Mirror => vec![
                Advice::Do("record where the ledger is"),
                Advice::Run(Action::ImportArchive, "brings what is recorded there"),
            ],
            Self::Restored { .. } => vec![
                Advice::Run(Action::RecoverFromCarry, "brings what is newer from a medium"),
                Advice::Run(Action::RecoverFromStream, "brings what is newer from the stream"),
                Advice::Run(Action::RecoverAcceptLoss, "goes on without what is newer"),
            ],
            Self::NoToken => vec![
                Advice::Do("write where the ledger was made"),
                Advice::Run(Action::HandOver, "takes the right over, once nothing writes there any more"),
            ],
            Self::Copy => vec![
                Advice::Do("write to the original"),
                Advice::Run(Action::HandOver, "takes the right over, once the original is gone"),
            ],
            Self::HandedOver => {
                vec![Advice::Do("write to that copy"), Advice::Run(Action::HandOver, "takes the right back")]
            }
            Self::SetBack { .. } => vec![
                Advice::Do("bring back the newest copy"),
                Advice::Run(Action::HandOver, "takes the right over, to go on with this copy"),
            ],
        }
    }
}

impl Explained for OpenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing(_) | Self::NotALedger { .. } => ErrorKind::Usage,
            Self::Signed(_)
            | Self::Newer { .. }
            | Self::NeedsMigration { .. }
            | Self::NotAMirror(_)
            | Self::NotRestored(_)
            | Self::SqliteTooOld { .. }
            | Self::Token { .. } => ErrorKind::Failed,
            Self::NotTheWriter(error) => error.kind(),
            Self::Database(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Signed(error) => error.advice(),
            Self::Missing(_) => {
                vec![Advice::Run(Action::Init, "makes one"), Advice::Do("name another ledger with --ledger")]
            }
            Self::NotALedger { .. } => vec![Advice::Do("name the folder that the ledger was made in")],
            Self::Newer { .. } => vec![Advice::Do("use the release that wrote it, or a newer one")],
            Self::NeedsMigration { .. } => vec![Advice::Do("open it once with write access")],
            Self::NotAMirror(_) => vec![Advice::Run(Action::NewMirror, "makes one in another folder")],
            Self::NotRestored(_) | Self::SqliteTooOld { .. } | Self::Token { .. } => Vec::new(),
            Self::NotTheWriter(error) => error.advice(),
            Self::Database(error) => error.advice(),
        }
    }
}

impl Explained for AppendError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_)
            | Self::NotTheWriter(_)
            | Self::Moved { .. }
            | Self::Denied(_)
            | Self::NeedsApproval(_) => ErrorKind::Refused,
            Self::Unsigned(_) => ErrorKind::Verification,
            Self::ClockJump(_)
            | Self::OutOfOrder { .. }
            | Self::Conflict { .. }
            | Self::UnknownCause { .. }
            | Self::Encoding(_)
            | Self::Unfulfilled
            | Self::Interrupted => ErrorKind::Failed,
            Self::Database(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Refused(refusal) => refusal.advice(),
            Self::NotTheWriter(error) => error.advice(),
            Self::Moved { .. } => vec![Advice::Do("decide again")],
            Self::ClockJump(_) => vec![Advice::Do("check the clock, and confirm if it is right")],
            Self::Denied(denial) | Self::NeedsApproval(denial) => denial.advice(),
            Self::OutOfOrder { .. } | Self::Conflict { .. } | Self::Encoding(_) => Vec::new(),
            Self::UnknownCause { .. } => vec![Advice::Do("record the cause first")],
            Self::Unsigned(error) => error.advice(),
            Self::Unfulfilled | Self::Interrupted => vec![Advice::TRY_AGAIN],
            Self::Database(error) => error.advice(),
        }
    }
}

impl Explained for CreateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) => ErrorKind::Usage,
            Self::Io { .. } => ErrorKind::Failed,
            Self::Append(error) => error.kind(),
            Self::Open(error) => error.kind(),
            Self::Database(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Do("open it, or choose another folder")],
            Self::Io { .. } => Vec::new(),
            Self::Append(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Database(error) => error.advice(),
        }
    }
}

impl Explained for JournalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Append(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Head(_) => ErrorKind::Verification,
            Self::Create(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Append(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Head(error) => error.advice(),
            Self::Create(error) => error.advice(),
        }
    }
}

impl Explained for CheckpointStoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotTheWriter(error) => error.kind(),
            Self::Disagrees { .. } | Self::SetBack { .. } => ErrorKind::Verification,
            Self::Memory { .. } => ErrorKind::Failed,
            Self::Read(error) => error.kind(),
            Self::Append(error) => error.kind(),
            Self::Checkpoint(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotTheWriter(error) => error.advice(),
            Self::Disagrees { .. } => {
                vec![Advice::Run(Action::Verify, "shows whether the ledger was changed"), Advice::KEEP_BOTH]
            }
            Self::SetBack { .. } => vec![Advice::Do("bring back the newest copy")],
            Self::Memory { .. } => Vec::new(),
            Self::Read(error) => error.advice(),
            Self::Append(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
        }
    }
}

impl Explained for CopyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) => ErrorKind::Usage,
            Self::Io { .. } => ErrorKind::Failed,
            Self::Open(error) => error.kind(),
            Self::Database(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Do("name another file, or remove it first")],
            Self::Io { .. } => Vec::new(),
            Self::Open(error) => error.advice(),
            Self::Database(error) => error.advice(),
        }
    }
}

impl Explained for MirrorError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Fork { .. } => ErrorKind::Verification,
            Self::Gap { .. } => ErrorKind::Refused,
            Self::Append(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Open(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Fork { .. } => vec![Advice::KEEP_BOTH],
            Self::Gap { .. } => vec![Advice::Do("bring an archive that begins at the first missing event or before")],
            Self::Append(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Open(error) => error.advice(),
        }
    }
}
