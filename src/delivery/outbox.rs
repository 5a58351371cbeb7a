//! The port between what keeps events and what publishes them.
//!
//! Two things implement it, and one conformance suite holds both to it: the ledger's store and the file queue.

use cid::Cid;

use crate::advice::{Advice, ErrorKind, Explained};
use crate::text::{InvalidText, PublicKey};
use crate::time::Timestamp;

/// Who publishes: a ledger's identity, or the id that a file queue minted. One token of a NATS subject, since the head
/// subject of a source is `{head_subject}.{source}`.
pub type Source = crate::text::SubjectToken;

/// The source under which a ledger with this key publishes: the key's text, in the URL-safe alphabet of base64 (RFC 4648, 5)
/// without padding.
///
/// # Errors
/// When it has a form that is no token.
pub fn source_of(key: &PublicKey) -> Result<Source, InvalidText> {
    let token = key.as_str().trim_end_matches('=').replace('+', "-").replace('/', "_");
    Source::new(&token)
}

/// One event that waits for publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The source's gap-free number of the event, from 1.
    pub position: u64,
    /// The content identifier of `block`.
    pub cid: Cid,
    /// The aggregate, as it stands in the subject: `nats.user`.
    pub aggregate: String,
    /// The event's type: `NatsUserCreated`. With the aggregate it makes the subject.
    pub event_type: String,
    /// The canonical bytes, as they were when the event was made.
    pub block: Vec<u8>,
}

/// An event that the server refused for what it is, kept with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The event's position.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// Why, as the server or the publisher said.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// One incarnation of one stream: a stream that was deleted and made again is another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The account that holds the stream, or the server's address where the account is not known.
    pub account: String,
    /// The stream's name.
    pub stream: String,
    /// `created` of STREAM.INFO, as the server wrote it.
    pub created: String,
}

/// How far the source knows the stream to be. The stream is the truth; this is the memory of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cursor {
    /// The last own position that is in the stream or parked.
    pub position: u64,
    /// The stream sequence of the last own head; 0 before the first.
    pub head_sequence: u64,
}

/// Why an outbox could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The disk or the database failed. After a failed write nothing more is accepted on the handle.
    #[error("{action}: {source}")]
    Storage {
        /// What was being done, with the file's name.
        action: String,
        /// What the system or the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is on disk is not what was written.
    #[error("{what} is damaged: {problem}")]
    Damaged {
        /// Which file or table, and where in it.
        what: String,
        /// What is wrong.
        problem: String,
        /// What to do next.
        next: Vec<Advice>,
    },
    /// The same event id stands there with another content identifier.
    #[error("event {id} is recorded already with other content: {there}, not {here}")]
    Conflict {
        /// The event's id.
        id: String,
        /// What is recorded.
        there: Box<Cid>,
        /// What was offered.
        here: Box<Cid>,
    },
    /// The outbox is open for reading only, or belongs to another process.
    #[error("{0}")]
    NotWritable(String),
}

impl Explained for OutboxError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failed
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Damaged { next, .. } => next.clone(),
            Self::Storage { .. } | Self::Conflict { .. } | Self::NotWritable(_) => Vec::new(),
        }
    }
}

/// Where events wait for publication.
///
/// **What persists:** every method that takes `&mut self` returns after its effect is fsynced, or fails and has no
/// effect that a later reader could see half of. **Who retries:** the caller; an implementation never repeats by itself.
/// Methods block: an asynchronous caller runs them on a thread that may block.
pub trait Outbox: Send {
    /// The source under which this outbox publishes; it never changes.
    fn source(&self) -> &Source;

    /// The sources under which this outbox published before it had the one of now, the newest first, each with the last
    /// position that it may have published. A stream that has none of the new source's events begins behind theirs.
    fn predecessors(&self) -> &[(Source, u64)] {
        &[]
    }

    /// The last durable position; 0 when nothing was ever accepted.
    fn end(&self) -> Result<u64, OutboxError>;

    /// The first position from which everything up to the end can be read. It is 1 unless the outbox forgets what was
    /// published, as the file queue does; before it only parked events can be read, one by one. A stream of which
    /// nothing is remembered begins there.
    fn first(&self) -> Result<u64, OutboxError> {
        Ok(1)
    }

    /// Up to `max_events` entries with a position above `after`, in order and without a gap, stopping before the blocks
    /// together exceed `max_bytes` (but always at least one, if there is one). Nothing, if `after + 1` was forgotten.
    fn read(&self, after: u64, max_events: usize, max_bytes: usize) -> Result<Vec<Entry>, OutboxError>;

    /// The content identifier at a position; `None` beyond the end, or where an outbox has forgotten published events.
    fn cid_at(&self, position: u64) -> Result<Option<Cid>, OutboxError>;

    /// What is remembered of a stream.
    fn cursor(&self, stream: &StreamKey) -> Result<Option<Cursor>, OutboxError>;

    /// Remembers how far a stream is. Never called with a position that was not confirmed by that stream.
    fn set_cursor(&mut self, stream: &StreamKey, cursor: Cursor) -> Result<(), OutboxError>;

    /// The parked events, in order of position.
    fn parked(&self) -> Result<Vec<Parked>, OutboxError>;

    /// Parks the event at a position, with the reason; parking it again replaces the reason.
    fn park(&mut self, position: u64, reason: &str) -> Result<(), OutboxError>;

    /// Takes an event back out of the parked ones, because a stream has it now.
    fn unpark(&mut self, position: u64) -> Result<(), OutboxError>;

    /// The parked positions that a user asked to try again (`queue retry`), in order.
    fn retries(&self) -> Result<Vec<u64>, OutboxError>;

    /// Asks for another try of a parked event, or withdraws that.
    fn set_retry(&mut self, position: u64, retry: bool) -> Result<(), OutboxError>;

    /// The signed checkpoint of exactly this many events, where there is one.
    fn checkpoint(&self, size: u64) -> Result<Option<String>, OutboxError>;

    /// The largest size above `after` and up to `through` of which there is a signed checkpoint. A batch ends there, so
    /// that its head carries one.
    fn newest_checkpoint(&self, after: u64, through: u64) -> Result<Option<u64>, OutboxError>;
}
