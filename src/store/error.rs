//! What can go wrong, one enum an act.

mod explained;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cid::Cid;

use crate::act::{ClockJump, CommitError, Denial};
use crate::ids::EventId;
use crate::ledger::Refusal;
use crate::log::CheckpointError;
use crate::time::Timestamp;

/// The database did not do what was asked: the disk, the file or the lock failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Another process held the write lock for longer than this one waits.
    #[error("{action}: another process is writing to {}", path.display())]
    Busy {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: PathBuf,
    },
    /// The disk (or a quota) is full. Nothing of what was being written is there.
    #[error("{action}: no room is left for {}, and nothing was recorded", path.display())]
    Full {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: PathBuf,
    },
    /// The file is not readable as the database that was written.
    #[error("{action}: {} is damaged ({detail})", path.display())]
    Damaged {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Anything else that SQLite or the system said.
    #[error("{action}: {}: {source}", path.display())]
    Sqlite {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
}

impl DatabaseError {
    /// What a file says of itself cannot be parsed.
    pub(super) fn unreadable(path: &Path, detail: impl ToString) -> Self {
        Self::Damaged { action: "reading which ledger it is", path: path.to_owned(), detail: detail.to_string() }
    }

    /// What an error of SQLite means for whoever uses the ledger.
    pub(super) fn new(action: &'static str, path: &Path, error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Busy { action, path },
            Some(Code::DiskFull) => Self::Full { action, path },
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
                Self::Damaged { action, path, detail: error.to_string() }
            }
            _ if is_misread(&error) => Self::Damaged { action, path, detail: error.to_string() },
            _ => Self::Sqlite { action, path, source: Arc::new(error) },
        }
    }
}

/// Whether a value is not what the tables hold: of another type, length or range.
fn is_misread(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows
    )
}

/// Why a ledger could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is a ledger already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file could not be made or read.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first event could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The new database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a ledger could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The ledger was closed, and what was signed last could not be remembered outside of its folder.
    #[error(transparent)]
    Signed(Box<CheckpointStoreError>),
    /// There is no ledger.
    #[error("there is no ledger at {}", .0.display())]
    Missing(PathBuf),
    /// The file is a database, but not one of ours.
    #[error("{} is no ledger (application id {found:#010x})", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What its header says.
        found: i64,
    },
    /// A newer release wrote it.
    #[error("{} has format version {found}, and this release reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// An older release wrote it, and it can't be brought up to date because it is open for reading only.
    #[error("{} has format version {found} and must be brought to {known}, which needs write access", path.display())]
    NeedsMigration {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// What is needed.
        known: i64,
    },
    /// It is a ledger, and no mirror of one.
    #[error("{} is no mirror", .0.display())]
    NotAMirror(PathBuf),
    /// It is a ledger that was not restored from a backup.
    #[error("{} was not restored from a backup, so there is nothing to recover", .0.display())]
    NotRestored(PathBuf),
    /// The SQLite library is too old to be trusted with this file.
    #[error("SQLite {found} is too old: {needed} or newer is needed (builds of this program bring their own)")]
    SqliteTooOld {
        /// The version that runs.
        found: &'static str,
        /// The oldest that is accepted.
        needed: &'static str,
    },
    /// The writer token could not be read or written.
    #[error("{action} the writer token {}: {source}", path.display())]
    Token {
        /// What was being done.
        action: &'static str,
        /// The token's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger can't be written from here, and what was asked for needs that.
    #[error(transparent)]
    NotTheWriter(#[from] NotTheWriter),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why this copy of a ledger is open for reading only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTheWriter {
    /// It was opened for reading.
    #[error("the ledger is open for reading only")]
    Asked,
    /// It is a mirror, which only ever follows its ledger.
    #[error("this is a mirror: it follows its ledger and never writes")]
    Mirror,
    /// It came back from a backup, and may lack what is newer.
    #[error(
        "the ledger was restored from a backup of {events} events, and nothing is recorded until it has what is newer"
    )]
    Restored {
        /// How many events the backup had.
        events: u64,
    },
    /// No token on this machine names it.
    #[error("this machine holds no right to write to the ledger: the ledger was made elsewhere")]
    NoToken,
    /// The token names another file: this one is a copy.
    #[error("this is a copy of the ledger, and the right to write belongs to the original")]
    Copy,
    /// The token was made by a later hand-over.
    #[error("the right to write was handed over to another copy of this ledger")]
    HandedOver,
    /// It has fewer events than the token has seen, or others.
    #[error(
        "the ledger was set back: the writer had recorded {recorded} events, and position {recorded} is missing here or is another event"
    )]
    SetBack {
        /// The last position that the token has seen.
        recorded: u64,
    },
    /// The file or its folder can't be written.
    #[error("the ledger's folder or file is not writable here: {0}")]
    Permissions(String),
}

/// Why nothing was appended. Whatever the variant, the ledger is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The command may not follow what is recorded.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger is open for reading only.
    #[error(transparent)]
    NotTheWriter(#[from] NotTheWriter),
    /// Something was appended since the decision was taken.
    #[error("the ledger has moved to position {actual} since the decision was taken")]
    Moved {
        /// Where the ledger is.
        actual: u64,
    },
    /// The clock is more than a day away from the last event.
    #[error("{0}")]
    ClockJump(ClockJump),
    /// The policy denies an event.
    #[error(transparent)]
    Denied(Denial),
    /// The policy wants an event approved by somebody else.
    #[error(transparent)]
    NeedsApproval(Denial),
    /// A ready-made event is earlier than the last one.
    #[error(
        "event {id} is of {occurred_at}, earlier than the last recorded event, of {last}: events are recorded in order"
    )]
    OutOfOrder {
        /// The event's id.
        id: EventId,
        /// Its time.
        occurred_at: Timestamp,
        /// The time of the last event.
        last: Timestamp,
    },
    /// The event's id is recorded with other content.
    #[error("event {id} is recorded already at position {position} with other content: {there}, not {here}")]
    Conflict {
        /// The event's id.
        id: EventId,
        /// Where it is recorded.
        position: u64,
        /// What is recorded.
        there: Box<Cid>,
        /// What was offered.
        here: Box<Cid>,
    },
    /// An event names a cause that is not recorded.
    #[error("event {id} names the cause {cause}, which is not recorded")]
    UnknownCause {
        /// The event's id.
        id: EventId,
        /// The cause.
        cause: Box<Cid>,
    },
    /// An event can't be made: it breaks the canonical form or its size limit.
    #[error("the event can't be encoded: {0}")]
    Encoding(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The head could not be signed, so nothing was recorded.
    #[error("nothing was recorded: its head can't be signed: {0}")]
    Unsigned(Arc<CheckpointStoreError>),
    /// What must be on the disk beforehand could not be written.
    #[error("what the append depends on could not be written, so nothing was recorded")]
    Unfulfilled,
    /// The thread that was writing for this one was lost.
    #[error("the append was interrupted before it was recorded")]
    Interrupted,
}

impl From<AppendError> for CommitError<JournalError> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Moved { actual } => Self::Moved { actual },
            AppendError::ClockJump(jump) => Self::ClockJump(jump),
            AppendError::Unfulfilled => Self::Unfulfilled,
            AppendError::Refused(refusal) => Self::Refused(refusal),
            AppendError::Denied(denial) => Self::Denied(denial),
            AppendError::NeedsApproval(denial) => Self::NeedsApproval(denial),
            error => Self::Journal(error.into()),
        }
    }
}

impl From<CreateError> for CommitError<JournalError> {
    fn from(error: CreateError) -> Self {
        Self::Journal(error.into())
    }
}

/// Why a ledger did not take an act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It was not recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The head was not signed.
    #[error(transparent)]
    Head(#[from] CheckpointStoreError),
    /// The ledger was not made, or not taken over.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl JournalError {
    /// Whether what was signed before and what is recorded contradict each other.
    pub(super) const fn is_contradiction(&self) -> bool {
        matches!(self, Self::Head(CheckpointStoreError::Disagrees { .. } | CheckpointStoreError::SetBack { .. }))
    }
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing is recorded under that position, content identifier or beginning of one.
    #[error("no event {0} is recorded")]
    NotFound(String),
    /// The beginning of a content identifier fits several events.
    #[error("{prefix} begins the content identifiers of several events, of {first} and {second} among them")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// One that fits.
        first: Box<Cid>,
        /// Another.
        second: Box<Cid>,
    },
    /// The text is neither a position, nor a content identifier, nor the beginning of one.
    #[error("\"{}\" is neither a position, nor a content identifier, nor the beginning of one (bafyrei…, at least 9 characters)", crate::text::visible(.0))]
    NotAnEvent(String),
    /// What is recorded at a position does not read as an event.
    #[error("position {position} is damaged: {detail}")]
    Damaged {
        /// The position.
        position: u64,
        /// What is wrong.
        detail: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a checkpoint was not signed or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointStoreError {
    /// The ledger is open for reading only: whoever may not append may not sign either.
    #[error(transparent)]
    NotTheWriter(#[from] NotTheWriter),
    /// The head is not one of this history.
    #[error(
        "the checkpoint of {size} events has another root than these events have: the ledger was changed after it was signed, or the checkpoint is of another ledger. Nothing was signed or kept"
    )]
    Disagrees {
        /// The checkpoint's size.
        size: u64,
    },
    /// More was signed than is recorded.
    #[error(
        "a head of {signed} events was signed, and only {end} are recorded: the ledger was set back. Nothing was signed or kept"
    )]
    SetBack {
        /// The size of the head that was signed.
        signed: u64,
        /// How many events there are.
        end: u64,
    },
    /// What was signed last is remembered outside of the ledger's folder, and that file could not be read or written.
    #[error("the memory of what was signed, {}: {source}", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoint could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The checkpoint that was signed last can't be parsed, or the head could not be signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// There is something at the destination.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The copy could not be written or made durable.
    #[error("writing the copy {}: {source}", path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The ledger could not be opened once more.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A mirror is pinned to another key than the one that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the mirror is pinned to the key {pinned}, not to {given}, and a mirror never changes its ledger")]
pub struct OtherKey {
    /// The key that it is pinned to.
    pub pinned: String,
    /// The key that was given.
    pub given: String,
}

/// Why a copy did not take what it was given. It is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// Another event stands at a position: two histories.
    #[error("two histories: at position {position} stands {there}, and what was brought has {here}. Nothing was taken")]
    Fork {
        /// The first position at which the two differ, or one behind it.
        position: u64,
        /// What is recorded.
        there: Box<Cid>,
        /// What was brought.
        here: Box<Cid>,
    },
    /// Events are missing in between.
    #[error("the events from {needed} to {} are missing in between", first - 1)]
    Gap {
        /// The position that is needed next.
        needed: u64,
        /// The first that was brought.
        first: u64,
    },
    /// The events could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is recorded could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger's files could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}
