//! What a problem concerns.

use std::fmt;

/// What a problem concerns: which part of what is kept is not as it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Layer {
    /// The file itself: pages, tables, indexes, the frames of an archive.
    File,
    /// Which ledger it says it is.
    Identity,
    /// The log: which event stands at which position, and what the row says beside the block.
    Log,
    /// The block of an event: its hash, its canonical form, its type and schema.
    Block,
    /// The order of events: time, and the events that one follows from.
    Order,
    /// The hashes of the Merkle tree.
    Tree,
    /// The heads: their roots and sizes.
    Checkpoint,
    /// The signatures under heads.
    Signature,
    /// The signatures of people under what they did.
    Act,
    /// Raw blocks that events link to.
    Blob,
    /// The tables of entities, which must be what a replay gives.
    Projection,
    /// What is remembered of publishing.
    Outbox,
    /// A history that is another one than was seen, signed or demanded elsewhere.
    History,
    /// The keys that a policy demands.
    Policy,
    /// A stream's messages.
    Stream,
}

impl Layer {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::File,
        Self::Identity,
        Self::Log,
        Self::Block,
        Self::Order,
        Self::Tree,
        Self::Checkpoint,
        Self::Signature,
        Self::Act,
        Self::Blob,
        Self::Projection,
        Self::Outbox,
        Self::History,
        Self::Policy,
        Self::Stream,
    ];

    /// The layer in one word, as programs see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Identity => "identity",
            Self::Log => "log",
            Self::Block => "block",
            Self::Order => "order",
            Self::Tree => "tree",
            Self::Checkpoint => "checkpoint",
            Self::Signature => "signature",
            Self::Act => "act",
            Self::Blob => "blob",
            Self::Projection => "projection",
            Self::Outbox => "outbox",
            Self::History => "history",
            Self::Policy => "policy",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
