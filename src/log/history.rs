//! Following a history event by event: what every copy is held to, an archive as well as a stream.

use std::io;

use cid::Cid;

use super::checkpoint::SignedCheckpoint;
use super::seen::Seen;
use super::tree::Edge;
use crate::ipld_support::{BlockError, DAG_CBOR, Envelope};
use crate::time::Timestamp;

/// What is wrong with an event where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryProblem {
    /// The block is no event in canonical form.
    #[error("it is no event: {0}")]
    Block(#[from] BlockError),
    /// Its time can't be parsed.
    #[error("its time can't be parsed")]
    Time,
    /// It is earlier than the event before it.
    #[error("it says {at}, and the event before it {before}: time never goes back in a ledger")]
    Earlier {
        /// What it says.
        at: Timestamp,
        /// What the event before it says.
        before: Timestamp,
    },
    /// The same event stands there twice.
    #[error("the same event stands earlier already")]
    Twice,
    /// It follows from an event that does not stand before it.
    #[error("it follows from {0}, which does not stand before it")]
    Cause(Box<Cid>),
    /// What stood before could not be put aside in a temporary file, or be read from it.
    #[error("what stood before could not be remembered on the disk: {0}")]
    Memory(String),
}

impl From<io::Error> for HistoryProblem {
    fn from(error: io::Error) -> Self {
        Self::Memory(error.to_string())
    }
}

/// The first event of a history that can't stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {position} ({cid}): {problem}")]
pub struct HistoryError {
    /// Its position, from 1.
    pub position: u64,
    /// Its content identifier.
    pub cid: Box<Cid>,
    /// What is wrong.
    #[source]
    pub problem: HistoryProblem,
}

/// A history as far as it was followed, in memory that does not grow with it.
#[derive(Debug, Default)]
pub struct History {
    edge: Edge,
    begun_at: u64,
    last_at: Option<Timestamp>,
    /// What stood before; absent where that is the caller's.
    seen: Option<Seen>,
}

impl History {
    /// A history from its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self { seen: Some(Seen::default()), ..Self::default() }
    }

    /// A history that goes on from a tree whose events are not at hand. Causes among those can't be looked for.
    #[must_use]
    pub fn from_edge(edge: Edge) -> Self {
        Self { begun_at: edge.size(), edge, ..Self::new() }
    }

    /// The same, without remembering what stood before: causes and repetitions are the caller's then.
    #[must_use]
    pub fn forgetful(mut self) -> Self {
        self.seen = None;
        self
    }

    /// The tree as far as it was followed.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// How many events there are: the last position.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Adds the next event, whose hash the caller has verified, and gives its outer fields.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn push<'a>(&mut self, cid: &Cid, block: &'a [u8]) -> Result<Envelope<'a>, HistoryError> {
        let position = self.edge.size() + 1;
        let envelope = Envelope::parse(block);
        let envelope =
            envelope.map_err(|problem| HistoryError { position, cid: Box::new(*cid), problem: problem.into() })?;
        self.push_read(cid, &envelope)?;
        Ok(envelope)
    }

    /// The same, of an event whose outer fields were read.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn push_read(&mut self, cid: &Cid, envelope: &Envelope<'_>) -> Result<(), HistoryError> {
        let error = |problem| HistoryError { position: self.edge.size() + 1, cid: Box::new(*cid), problem };
        let at: Timestamp = envelope.occurred_at.parse().map_err(|_| error(HistoryProblem::Time))?;
        if let Some(before) = self.last_at.filter(|before| at < *before) {
            return Err(error(HistoryProblem::Earlier { at, before }));
        }
        if let Some(seen) = &mut self.seen {
            let position = self.edge.size() + 1;
            let causes = envelope.causes.iter().filter(|cause| self.begun_at == 0 && cause.codec() == DAG_CBOR);
            stands(seen, position, cid, at, causes).map_err(|problem| HistoryError {
                position,
                cid: Box::new(*cid),
                problem,
            })?;
        }
        self.last_at = Some(at);
        self.edge.push(cid);
        Ok(())
    }

    /// Adds the next event by its content identifier alone, where its block is not to be had.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn push_unread(&mut self, cid: &Cid) -> Result<(), HistoryError> {
        let position = self.edge.size() + 1;
        self.edge.push(cid);
        let added = self.seen.as_mut().map_or(Ok(()), |seen| seen.add_unread(cid, position));
        added.map_err(|error| HistoryError { position, cid: Box::new(*cid), problem: error.into() })
    }

    /// When all events were added: the first that follows from one that does not stand before it, of those that
    /// [`push`](Self::push) could not tell at once. What stood before is forgotten then.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn finish(&mut self) -> Result<(), HistoryError> {
        let (position, cid) = (self.edge.size(), Cid::default());
        match self.seen.take().map_or(Ok(None), Seen::missing) {
            Ok(None) => Ok(()),
            Ok(Some(missing)) => {
                let problem = HistoryProblem::Cause(Box::new(missing.cause));
                Err(HistoryError { position: missing.position, cid: Box::new(missing.cid), problem })
            }
            Err(error) => Err(HistoryError { position, cid: Box::new(cid), problem: error.into() }),
        }
    }

    /// Whether a checkpoint of exactly this size has this root; `None` for one of another size.
    #[must_use]
    pub fn agrees(&self, checkpoint: &SignedCheckpoint) -> Option<bool> {
        let head = checkpoint.checkpoint();
        (head.size == self.size()).then(|| head.root == self.edge.root())
    }
}

/// An event stands in a history once, and after all that it follows from.
fn stands(
    seen: &mut Seen,
    position: u64,
    cid: &Cid,
    at: Timestamp,
    causes: impl Iterator<Item = Cid>,
) -> Result<(), HistoryProblem> {
    for cause in causes {
        if !seen.ask(&cause, position, cid)? {
            return Err(HistoryProblem::Cause(Box::new(cause)));
        }
    }
    if seen.add(cid, position, at)? { Ok(()) } else { Err(HistoryProblem::Twice) }
}
