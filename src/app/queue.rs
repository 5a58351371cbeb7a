//! The queue of events that wait for publication: how it stands, what is in it, what is tried again.

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::config::NatsConfig;
use crate::delivery::outbox::{Entry, Outbox, OutboxError, Parked};
use crate::store::{LedgerOutbox, OpenError, Store};

/// How the queue stands, as far as this ledger remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How many events wait.
    pub queued: u64,
    /// How many are parked: the server refused them for what they are.
    pub parked: u64,
    /// The last position that the stream is known to have; `None` before the first.
    pub last_published: Option<u64>,
}

/// Why the queue could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The ledger could not be opened once more.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The event is not parked.
    #[error("position {0} is not parked")]
    NotParked(u64),
}

impl Explained for QueueError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::NotParked(_) => ErrorKind::Usage,
            Self::Outbox(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotParked(_) => vec![Advice::Run(Action::QueueParked, "shows what is parked")],
            Self::Open(error) => error.advice(),
            Self::Outbox(error) => error.advice(),
        }
    }
}

/// The name under which an outbox remembers what it published with a configuration.
#[must_use]
pub fn stream(config: &NatsConfig) -> &str {
    if config.enable_jetstream { config.stream_name.as_str() } else { "(core)" }
}

/// The cursor of the newest stream of a name: what the next publication goes on from.
fn published(outbox: &LedgerOutbox, stream: &str) -> Result<Option<u64>, OutboxError> {
    let cursors = outbox.cursors()?;
    Ok(cursors.iter().rev().find(|(key, _)| key.stream == stream).map(|(_, cursor)| cursor.position))
}

/// How the queue for a stream stands.
///
/// # Errors
/// When the ledger can't be read.
pub fn standing(store: &Store, stream: &str) -> Result<Standing, QueueError> {
    Ok(standing_in(&store.outbox_read_only()?, stream)?.standing)
}

/// How a queue stands, and where the log ended at that moment.
pub(super) struct Look {
    pub(super) standing: Standing,
    pub(super) end: u64,
}

/// How the queue for a stream stands, in an outbox that is open.
pub(super) fn standing_in(outbox: &LedgerOutbox, stream: &str) -> Result<Look, OutboxError> {
    let last_published = published(outbox, stream)?;
    let (parked, done) = (outbox.parked()?, last_published.unwrap_or(0));
    // What is parked does not wait, but for what is to be tried again.
    let aside = parked.iter().filter(|parked| parked.position > done).count() as u64;
    let end = outbox.end()?;
    let queued = end.saturating_sub(done + aside) + outbox.retries()?.len() as u64;
    Ok(Look { standing: Standing { queued, parked: parked.len() as u64, last_published }, end })
}

/// The first events that wait for a stream, at most `limit`.
///
/// # Errors
/// When the ledger can't be read.
pub fn waiting(store: &Store, stream: &str, limit: usize) -> Result<Vec<Entry>, QueueError> {
    let outbox = store.outbox_read_only()?;
    let after = published(&outbox, stream)?.unwrap_or(0);
    Ok(outbox.read(after, limit, usize::MAX)?)
}

/// The parked events, with their reasons.
///
/// # Errors
/// When the ledger can't be read.
pub fn parked(store: &Store) -> Result<Vec<Parked>, QueueError> {
    Ok(store.outbox_read_only()?.parked()?)
}

/// Asks for another try of parked events: of those at some positions, or of all. Answers with the positions; the next
/// publication tries them.
///
/// # Errors
/// When one of them is not parked, or the ledger can't be written.
pub fn retry(store: &Store, positions: Option<&[u64]>) -> Result<Vec<u64>, QueueError> {
    let mut outbox = store.outbox()?;
    let parked: Vec<u64> = outbox.parked()?.iter().map(|parked| parked.position).collect();
    let chosen = match positions {
        None => parked,
        Some(positions) => match positions.iter().find(|position| !parked.contains(position)) {
            Some(position) => return Err(QueueError::NotParked(*position)),
            None => positions.to_vec(),
        },
    };
    for position in &chosen {
        outbox.set_retry(*position, true)?;
    }
    Ok(chosen)
}
