//! What can be wrong with a history in a stream.

use cid::Cid;

use super::super::checkpoint::CheckpointError;
use super::super::history::HistoryError;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::delivery::Previous;

/// How many events may wait for a head: more than any batch holds, and what several torn ones leave.
pub(super) const MOST_UNCLOSED: usize = 100_000;

/// One thing that is wrong with a history in a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct StreamProblem {
    /// The sequence of the message that shows it, where one does.
    pub sequence: Option<u64>,
    /// The position that it concerns, where it concerns one.
    pub position: Option<u64>,
    /// The content identifier there, as far as it is known.
    pub cid: Option<Box<Cid>>,
    /// What is wrong.
    pub fault: StreamFault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamFault {
    /// A message under the source's name that is none of its.
    #[error("message {sequence} of the stream: {problem}")]
    Message {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Positions that a head covers are neither in the stream nor parked.
    #[error("the stream has lost {}: a head covers them, and they are neither there nor parked", positions(*from, *through))]
    Lost {
        /// The first.
        from: u64,
        /// The last.
        through: u64,
    },
    /// An event stands there more than once.
    #[error("position {position} stands in the stream again, at sequence {sequence}")]
    Twice {
        /// The position.
        position: u64,
        /// The sequence of the second one.
        sequence: u64,
    },
    /// Two events claim one position.
    #[error("two histories: at position {position} stand {one} and, at sequence {sequence}, {other}")]
    Fork {
        /// The position.
        position: u64,
        /// What was there first.
        one: Box<Cid>,
        /// The sequence of the other.
        sequence: u64,
        /// The other.
        other: Box<Cid>,
    },
    /// An event comes after a later one, and was neither parked nor put back.
    #[error(
        "position {position} comes after position {after}, though it was neither parked nor put back: messages were exchanged"
    )]
    OutOfOrder {
        /// The position.
        position: u64,
        /// The highest position before it.
        after: u64,
    },
    /// A head does not follow the one before it: one in between is missing, or was put in.
    #[error("the head at sequence {sequence} follows {}, and before it stands {}: a head is missing or was put in", place(*follows), place(*found))]
    Chain {
        /// The head's sequence.
        sequence: u64,
        /// What it says that it follows.
        follows: Option<Previous>,
        /// What is there.
        found: Option<Previous>,
    },
    /// A head covers less than the one before it.
    #[error("the head at sequence {sequence} goes back to position {position}")]
    Backwards {
        /// The head's sequence.
        sequence: u64,
        /// The position that it names.
        position: u64,
    },
    /// A head names another event at its position than the one that stands there.
    #[error("the head at sequence {sequence} names {named}, and at its position stands {there}")]
    HeadCid {
        /// The head's sequence.
        sequence: u64,
        /// What it names.
        named: Box<Cid>,
        /// What is there.
        there: Box<Cid>,
    },
    /// A head calls an event parked that stands before it.
    #[error("the head at sequence {sequence} calls position {position} parked, and it is in the stream")]
    NotParked {
        /// The head's sequence.
        sequence: u64,
        /// The position.
        position: u64,
    },
    /// A ledger goes on under a new key before the end of what stands there under the old one.
    #[error(
        "two histories: at sequence {sequence} the ledger goes on under another key with position {position}, and under the one before it the stream has {after} events; what is behind position {} was given up by a recovery, or one of the two is not the ledger's",
        position.saturating_sub(1)
    )]
    Restarted {
        /// The sequence of its first message under the new key.
        sequence: u64,
        /// The position of that.
        position: u64,
        /// The last position under the old key.
        after: u64,
    },
    /// A message under a key of the ledger that came to its end.
    #[error(
        "message {sequence} of the stream, at position {position}, is under a key of the ledger that ended before it: what goes on under that key is not believed"
    )]
    Superseded {
        /// Its sequence.
        sequence: u64,
        /// The position that it claims.
        position: u64,
    },
    /// A message says that the ledger goes on under another key, and the ledger's key did not vouch for that one.
    #[error(
        "at sequence {sequence} the ledger is said to go on under the key {key}, and the key before it did not vouch for that: it is not followed"
    )]
    Unvouched {
        /// The sequence of the message that says so.
        sequence: u64,
        /// The key.
        key: String,
    },
    /// An event can't stand where it stands.
    #[error("{0}")]
    History(#[from] HistoryError),
    /// A head carries a checkpoint that can't be parsed, or is of another size.
    #[error("the checkpoint in the head at sequence {sequence} {problem}")]
    Checkpoint {
        /// The head's sequence.
        sequence: u64,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint is not signed by the ledger, or falsely.
    #[error("bad signature: {0}")]
    Signature(#[from] CheckpointError),
    /// A checkpoint has another root than the events.
    #[error(
        "the checkpoint of {size} events has another root than the events of the stream: one history was rewritten"
    )]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
    },
    /// Too many events wait for a head.
    #[error("more than {} events stand behind the last head: no head closes them", MOST_UNCLOSED)]
    Unclosed,
}

impl Explained for StreamProblem {
    fn kind(&self) -> ErrorKind {
        self.fault.kind()
    }

    fn advice(&self) -> Vec<Advice> {
        self.fault.advice()
    }
}

impl Explained for StreamFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Fork { .. } | Self::OtherHistory { .. } => vec![Advice::KEEP_BOTH],
            Self::Restarted { .. } => vec![
                Advice::Do("if you trust the new key, make a new mirror with it"),
                Advice::Do("keep this mirror: it is the evidence"),
            ],
            Self::Unvouched { .. } => vec![
                Advice::Run(Action::ShowPublicKey, "shows the key where the ledger is"),
                Advice::Do("with that key from paper a new mirror can be made"),
            ],
            Self::Signature(error) => error.advice(),
            Self::Message { .. }
            | Self::Lost { .. }
            | Self::Twice { .. }
            | Self::OutOfOrder { .. }
            | Self::Chain { .. }
            | Self::Backwards { .. }
            | Self::HeadCid { .. }
            | Self::NotParked { .. }
            | Self::Superseded { .. }
            | Self::History(_)
            | Self::Checkpoint { .. }
            | Self::Unclosed => Vec::new(),
        }
    }
}

impl StreamFault {
    /// Whether nothing behind it can be taken.
    #[must_use]
    pub fn breaks(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::Fork { .. }
                | Self::HeadCid { .. }
                | Self::Restarted { .. }
                | Self::History(_)
                | Self::Signature(_)
                | Self::OtherHistory { .. }
                | Self::Unclosed
        )
    }

    /// Whether it says that two histories were told.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::HeadCid { .. } | Self::Restarted { .. } | Self::OtherHistory { .. })
    }
}

fn positions(from: u64, through: u64) -> String {
    if from == through { format!("position {from}") } else { format!("positions {from} to {through}") }
}

fn place(head: Option<Previous>) -> String {
    head.map_or_else(
        || "none".into(),
        |head| format!("the head at sequence {} (position {})", head.sequence, head.position),
    )
}
