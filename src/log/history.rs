//! Following a history event by event: what every copy is held to, an archive as well as a stream.

use std::collections::HashSet;

use cid::Cid;

use super::checkpoint::SignedCheckpoint;
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
    /// Its time does not read.
    #[error("its time does not read")]
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

/// A history as far as it was followed. It needs some 16 bytes of memory an event, to know what stood before.
#[derive(Debug, Clone, Default)]
pub struct History {
    edge: Edge,
    begun_at: u64,
    last_at: Option<Timestamp>,
    /// The first eight bytes of each digest: SHA-256 spreads them evenly, and two that agree only hide a missing cause.
    seen: HashSet<u64>,
    forgets: bool,
}

impl History {
    /// A history from its beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A history that goes on from a tree whose events are not at hand. Causes among those can't be looked for.
    #[must_use]
    pub fn from_edge(edge: Edge) -> Self {
        Self { begun_at: edge.size(), edge, ..Self::default() }
    }

    /// The same, without remembering what stood before: in constant memory. Causes and repetitions are the caller's then.
    #[must_use]
    pub fn forgetful(mut self) -> Self {
        self.forgets = true;
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
    pub fn push<'a>(&mut self, cid: &Cid, block: &'a [u8]) -> Result<Envelope<'a>, HistoryError> {
        let error = |problem| HistoryError { position: self.edge.size() + 1, cid: Box::new(*cid), problem };
        let envelope = Envelope::parse(block).map_err(|problem| error(problem.into()))?;
        let at: Timestamp = envelope.occurred_at.parse().map_err(|_| error(HistoryProblem::Time))?;
        if let Some(before) = self.last_at.filter(|before| at < *before) {
            return Err(error(HistoryProblem::Earlier { at, before }));
        }
        if self.begun_at == 0
            && !self.forgets
            && let Some(cause) =
                envelope.causes.iter().find(|cause| cause.codec() == DAG_CBOR && !self.seen.contains(&short(cause)))
        {
            return Err(error(HistoryProblem::Cause(Box::new(cause))));
        }
        if self.seen.contains(&short(cid)) {
            return Err(error(HistoryProblem::Twice));
        }
        self.last_at = Some(at);
        self.push_unread(cid);
        Ok(envelope)
    }

    /// Adds the next event by its content identifier alone, where its block is not to be had.
    pub fn push_unread(&mut self, cid: &Cid) {
        if !self.forgets {
            self.seen.insert(short(cid));
        }
        self.edge.push(cid);
    }

    /// Whether a checkpoint of exactly this size has this root; `None` for one of another size.
    #[must_use]
    pub fn agrees(&self, checkpoint: &SignedCheckpoint) -> Option<bool> {
        let head = checkpoint.checkpoint();
        (head.size == self.size()).then(|| head.root == self.edge.root())
    }
}

fn short(cid: &Cid) -> u64 {
    let digest = cid.hash().digest();
    digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
