//! A history as a stream has it: events in batches, each closed by a head. Pure: whoever reads the stream hands the
//! messages in, in the order of their sequences, and fetches what comes late.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::history::{History, HistoryError, HistoryProblem};
use super::key::VerifierKey;
use super::tree::Edge;
use crate::delivery::{Head, Previous};
use crate::text::SubjectPrefix;

/// How many events may wait for a head: more than any batch holds, and what several torn ones leave.
const MOST_UNCLOSED: usize = 100_000;

/// How many missing positions of one head are looked for one by one.
const MOST_MISSING: u64 = 100_000;

/// How many problems are listed.
const MOST_PROBLEMS: usize = 1_000;

/// An event that its message proved: the block is the one that the content identifier names, and the headers say what it
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEvent {
    /// The message's sequence in the stream.
    pub sequence: u64,
    /// The position that the source gave it.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// The aggregate, as it stands in the subject.
    pub aggregate: SubjectPrefix,
    /// Whether it was put back after the stream had lost it.
    pub restored: bool,
    /// Its canonical block.
    pub block: Vec<u8>,
}

/// One position of a history that a head has closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The position.
    pub position: u64,
    /// The content identifier.
    pub cid: Cid,
    /// The event; `None` where it is parked: the head tells its content identifier, and the stream never had it.
    pub event: Option<PublishedEvent>,
}

/// What a head has closed.
#[derive(Debug, Clone, Default)]
pub struct Closed {
    /// The positions, in order, without gaps.
    pub leaves: Vec<Leaf>,
    /// The checkpoints among them whose root is that of the events, each signed with the key.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// The head's own place: its sequence, and the last position that it covers.
    pub head: Previous,
}

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
    #[error(
        "two histories: at position {position} stand {one} and, at sequence {sequence}, {other}; keep both, they are the evidence"
    )]
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
    /// An event can't stand where it stands.
    #[error("{0}")]
    History(#[from] HistoryError),
    /// A head carries a checkpoint that does not read, or is of another size.
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
        "the checkpoint of {size} events has another root than the events of the stream: one history was rewritten; keep both, they are the evidence"
    )]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
    },
    /// Too many events wait for a head.
    #[error("more than {MOST_UNCLOSED} events stand behind the last head: no head closes them")]
    Unclosed,
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
                | Self::History(_)
                | Self::Signature(_)
                | Self::OtherHistory { .. }
                | Self::Unclosed
        )
    }

    /// Whether it says that two histories were told.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        matches!(self, Self::Fork { .. } | Self::HeadCid { .. } | Self::OtherHistory { .. })
    }
}

/// A source's history, as far as its messages were read.
#[derive(Debug)]
pub struct PublishedHistory {
    history: History,
    key: Option<VerifierKey>,
    /// Checkpoints that came on another way, by size.
    held: BTreeMap<u64, SignedCheckpoint>,
    /// Whether the tree can be compared still: false once a position was lost.
    whole: bool,
    /// What was closed before the first message.
    begun: u64,
    /// The last position that is closed.
    closed: u64,
    highest: u64,
    head: Option<Previous>,
    /// The positions that the last head calls parked.
    parked: BTreeSet<u64>,
    /// What was closed by content identifier alone.
    unread: BTreeMap<u64, Cid>,
    /// Events that no head covers yet.
    window: BTreeMap<u64, PublishedEvent>,
    /// Sequences that were handed in before their turn.
    early: BTreeSet<u64>,
    /// The head that is being closed.
    closing: Option<(u64, Head)>,
    problems: Vec<StreamProblem>,
    more: u64,
    events: u64,
    heads: u64,
    signed: u64,
}

impl PublishedHistory {
    /// A history from its beginning. With a key, the checkpoints in heads must be signed with it.
    #[must_use]
    pub fn new(key: Option<VerifierKey>) -> Self {
        Self::from_head(History::new(), None, key)
    }

    /// A history that goes on behind a head: `history` is the tree of what is known already, which is at least what the
    /// head covers. Without a head it goes on from wherever the stream begins.
    #[must_use]
    pub fn from_head(history: History, head: Option<Previous>, key: Option<VerifierKey>) -> Self {
        let closed = history.size();
        Self {
            history,
            key,
            held: BTreeMap::new(),
            whole: true,
            begun: closed,
            closed,
            highest: closed,
            head,
            parked: BTreeSet::new(),
            unread: BTreeMap::new(),
            window: BTreeMap::new(),
            early: BTreeSet::new(),
            closing: None,
            problems: Vec::new(),
            more: 0,
            events: 0,
            heads: 0,
            signed: 0,
        }
    }

    /// Holds the history to a checkpoint that came on another way, whose signature the caller has checked.
    pub fn hold_to(&mut self, checkpoint: SignedCheckpoint) {
        self.held.insert(checkpoint.size(), checkpoint);
    }

    /// Takes the next event. One that was closed as parked and comes later is given back, and so is one of what was known
    /// before the first message: whether it is the same one is for the caller to say.
    pub fn event(&mut self, event: PublishedEvent) -> Option<PublishedEvent> {
        if self.early.remove(&event.sequence) {
            return None;
        }
        self.events += 1;
        let (position, sequence) = (event.position, event.sequence);
        if position <= self.begun {
            return Some(event);
        }
        if position <= self.closed {
            return self.late(event);
        }
        if position < self.highest && !event.restored && !self.parked.contains(&position) {
            let fault = StreamFault::OutOfOrder { position, after: self.highest };
            self.add(Some(sequence), Some(position), Some(event.cid), fault);
        }
        self.highest = self.highest.max(position);
        self.place(event);
        None
    }

    fn place(&mut self, event: PublishedEvent) {
        let (position, sequence) = (event.position, event.sequence);
        if let Some(there) = self.window.get(&position) {
            let fault = match there.cid == event.cid {
                true => StreamFault::Twice { position, sequence },
                false => fork(position, there.cid, &event),
            };
            self.add(Some(sequence), Some(position), Some(event.cid), fault);
        } else if self.window.len() >= MOST_UNCLOSED {
            self.add(Some(sequence), Some(position), None, StreamFault::Unclosed);
        } else {
            self.window.insert(position, event);
        }
    }

    fn late(&mut self, event: PublishedEvent) -> Option<PublishedEvent> {
        let (position, sequence) = (event.position, event.sequence);
        let fault = match self.unread.get(&position) {
            Some(named) if *named == event.cid => {
                self.unread.remove(&position);
                return Some(event);
            }
            Some(named) => fork(position, *named, &event),
            None => StreamFault::Twice { position, sequence },
        };
        self.add(Some(sequence), Some(position), Some(event.cid), fault);
        None
    }

    /// Takes the next head, and says which positions are missing: those that are found later in the stream are to be
    /// handed to [`supply`](Self::supply) before [`close`](Self::close).
    pub fn head(&mut self, sequence: u64, head: Head, restored: bool) -> Vec<u64> {
        self.heads += 1;
        let position = head.position;
        if restored {
            // Whoever put back what was lost could not put heads back into their places.
            self.problems.retain(|one| !matches!(one.fault, StreamFault::Chain { .. }));
        }
        // A history that begins in the middle of a stream, or whose beginning has expired, has no head to follow.
        let follows = self.head.is_some() || self.begun == 0;
        if follows && head.previous != self.head {
            let fault = StreamFault::Chain { sequence, follows: head.previous, found: self.head };
            self.add(Some(sequence), Some(position), Some(head.cid), fault);
        }
        if self.head.is_some_and(|before| position < before.position) {
            let fault = StreamFault::Backwards { sequence, position };
            self.add(Some(sequence), Some(position), Some(head.cid), fault);
        }
        for listed in &head.parked {
            if self.window.contains_key(&listed.position) {
                let fault = StreamFault::NotParked { sequence, position: listed.position };
                self.add(Some(sequence), Some(listed.position), Some(listed.cid), fault);
            }
        }
        let missing = if position.saturating_sub(self.closed) > MOST_MISSING + self.window.len() as u64 {
            Vec::new()
        } else {
            (self.closed + 1..=position).filter(|position| !self.window.contains_key(position)).collect()
        };
        self.closing = Some((sequence, head));
        missing
    }

    /// Hands in an event that stands later in the stream.
    pub fn supply(&mut self, event: PublishedEvent) {
        self.events += 1;
        self.early.insert(event.sequence);
        let (position, sequence) = (event.position, event.sequence);
        let parked = |head: &Head| head.parked.iter().any(|listed| listed.position == position);
        if !event.restored && !self.closing.as_ref().is_some_and(|(_, head)| parked(head)) {
            let after = self.closing.as_ref().map_or(0, |(_, head)| head.position);
            self.add(Some(sequence), Some(position), Some(event.cid), StreamFault::OutOfOrder { position, after });
        }
        self.place(event);
    }

    /// Closes what the last head covers.
    pub fn close(&mut self) -> Closed {
        let Some((sequence, head)) = self.closing.take() else { return Closed::default() };
        let here = Previous { sequence, position: head.position };
        let mut closed = Closed { head: here, ..Closed::default() };
        let named: BTreeMap<u64, Cid> = head.parked.iter().map(|parked| (parked.position, parked.cid)).collect();
        while self.closed < head.position {
            let position = self.closed + 1;
            let leaf = match (self.window.remove(&position), named.get(&position)) {
                (Some(event), _) => Leaf { position, cid: event.cid, event: Some(event) },
                (None, Some(cid)) => {
                    self.unread.insert(position, *cid);
                    Leaf { position, cid: *cid, event: None }
                }
                (None, None) => {
                    self.lost(sequence, &head, &named);
                    continue;
                }
            };
            self.closed = position;
            self.push(&leaf);
            if position == head.position && leaf.cid != head.cid {
                let fault = StreamFault::HeadCid { sequence, named: Box::new(head.cid), there: Box::new(leaf.cid) };
                self.add(Some(sequence), Some(position), Some(leaf.cid), fault);
            }
            closed.leaves.push(leaf);
            if let Some(held) = self.held.remove(&position) {
                self.compare(sequence, held, &mut closed);
            }
        }
        self.checkpoint(sequence, &head, &mut closed);
        self.parked = named.into_keys().collect();
        self.head = Some(here);
        closed
    }

    /// All positions up to the next that is there, or parked, are lost.
    fn lost(&mut self, sequence: u64, head: &Head, named: &BTreeMap<u64, Cid>) {
        let from = self.closed + 1;
        let there = self.window.range(from..).next().map(|(position, _)| *position);
        let parked = named.range(from..).next().map(|(position, _)| *position);
        let next = there.into_iter().chain(parked).min().unwrap_or(head.position + 1).min(head.position + 1);
        self.add(Some(sequence), Some(from), None, StreamFault::Lost { from, through: next - 1 });
        self.whole = false;
        self.closed = next - 1;
    }

    fn push(&mut self, leaf: &Leaf) {
        let Some(event) = leaf.event.as_ref() else {
            self.history.push_unread(&leaf.cid);
            return;
        };
        if let Err(mut error) = self.history.push(&leaf.cid, &event.block) {
            error.position = leaf.position;
            // Where something is missing, what follows from it can't be found.
            if self.whole || !matches!(error.problem, HistoryProblem::Cause(_)) {
                self.add(Some(event.sequence), Some(leaf.position), Some(leaf.cid), error.into());
            }
            self.history.push_unread(&leaf.cid);
        }
    }

    fn checkpoint(&mut self, sequence: u64, head: &Head, closed: &mut Closed) {
        let Some(text) = &head.checkpoint else { return };
        let mut wrong = |problem: String| {
            let fault = StreamFault::Checkpoint { sequence, problem };
            self.add(Some(sequence), Some(head.position), Some(head.cid), fault);
        };
        let signed: SignedCheckpoint = match text.parse() {
            Ok(signed) => signed,
            Err(error) => return wrong(format!("does not read: {error}")),
        };
        if signed.size() != head.position {
            return wrong(format!("is of {} events, and the head of {}", signed.size(), head.position));
        }
        if let Some(Err(error)) = self.key.as_ref().map(|key| signed.verify(key)) {
            return self.add(Some(sequence), Some(head.position), Some(head.cid), error.into());
        }
        // A head that closes nothing new repeats the checkpoint of the one before it.
        if self.closed == head.position {
            self.compare(sequence, signed, closed);
        }
    }

    fn compare(&mut self, sequence: u64, signed: SignedCheckpoint, closed: &mut Closed) {
        if !self.whole {
            return;
        }
        let size = signed.size();
        match self.history.agrees(&signed) {
            Some(true) => {
                self.signed = self.signed.max(size);
                closed.checkpoints.push(signed);
            }
            Some(false) => self.add(Some(sequence), Some(size), None, StreamFault::OtherHistory { size }),
            None => {}
        }
    }

    /// Adds a problem that whoever reads the messages has found.
    pub fn add(&mut self, sequence: Option<u64>, position: Option<u64>, cid: Option<Cid>, fault: StreamFault) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(StreamProblem { sequence, position, cid: cid.map(Box::new), fault });
        } else {
            self.more += 1;
        }
    }

    /// What was found so far, in the order in which it was found.
    #[must_use]
    pub fn problems(&self) -> &[StreamProblem] {
        &self.problems
    }

    /// How many problems more there are than are listed.
    #[must_use]
    pub const fn more_problems(&self) -> u64 {
        self.more
    }

    /// The first problem behind which nothing can be taken.
    #[must_use]
    pub fn broken(&self) -> Option<&StreamProblem> {
        self.problems.iter().find(|one| one.fault.breaks())
    }

    /// The last position that a head has closed.
    #[must_use]
    pub const fn closed(&self) -> u64 {
        self.closed
    }

    /// The tree of what is closed; meaningless once something was lost.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        self.history.edge()
    }

    /// The last head.
    #[must_use]
    pub const fn last_head(&self) -> Option<Previous> {
        self.head
    }

    /// How many events and heads were read.
    #[must_use]
    pub const fn read(&self) -> (u64, u64) {
        (self.events, self.heads)
    }

    /// The largest size whose checkpoint agrees with the events.
    #[must_use]
    pub const fn signed(&self) -> u64 {
        self.signed
    }

    /// The positions that are parked still: heads name them, and the stream does not have them.
    pub fn parked(&self) -> impl Iterator<Item = (u64, Cid)> + '_ {
        self.unread.iter().map(|(position, cid)| (*position, *cid))
    }

    /// How many events no head covers.
    #[must_use]
    pub fn unclosed(&self) -> usize {
        self.window.len()
    }

    /// The checkpoints that the history was held to and did not reach.
    pub fn unreached(&self) -> impl Iterator<Item = u64> + '_ {
        self.held.keys().copied()
    }
}

fn fork(position: u64, one: Cid, other: &PublishedEvent) -> StreamFault {
    StreamFault::Fork { position, one: Box::new(one), sequence: other.sequence, other: Box::new(other.cid) }
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
