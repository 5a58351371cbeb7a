//! A history as a stream has it: events in batches, each closed by a head. Pure: whoever reads the stream hands the
//! messages in, in the order of their sequences, and fetches what comes late.
//!
//! A ledger publishes under one source a key. Each key has its **turn**, counted from 0: a new one begins where the one
//! before it ended in the stream, and what comes under an earlier one after that is not the ledger's any more.

mod fault;

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;

use super::chain::KeyChain;
use super::checkpoint::SignedCheckpoint;
use super::history::{History, HistoryProblem};
use super::tree::Edge;
use crate::delivery::{Head, Previous};
use crate::ipld_support::EventBlock;
use crate::text::SubjectPrefix;

pub use fault::{StreamFault, StreamProblem};

use fault::MOST_UNCLOSED;

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
    pub block: EventBlock,
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

/// The sources before the key that is trusted: their heads are signed with keys that nobody vouched for, so they count as
/// far as a head of the trusted key covers them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The last position of each turn that the next one goes on from; what stands behind it was given up.
    pub ends: Vec<u64>,
    /// The smallest head that the trusted key signs.
    pub trusted_from: u64,
}

/// How many turns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// All of them.
    pub all: usize,
    /// Those before the trusted key.
    pub earlier: usize,
}

/// A ledger's history, as far as its messages were read.
#[derive(Debug)]
pub struct PublishedHistory {
    history: History,
    chain: Option<KeyChain>,
    earlier: Earlier,
    /// Whose turn it is; absent until the first message.
    turn: Option<usize>,
    /// How many turns are read for.
    turns: Option<Turns>,
    /// Whether the head before the next one is known, if there is any.
    chained: bool,
    given_up: u64,
    /// Checkpoints that came on another way, by size.
    held: BTreeMap<u64, SignedCheckpoint>,
    /// Whether the tree can be compared still: false once a position was lost.
    whole: bool,
    /// The first position that was lost.
    lost_from: u64,
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
    /// A history from its beginning. With keys, the checkpoints in heads must be signed with the one whose turn it is.
    #[must_use]
    pub fn new(chain: Option<KeyChain>) -> Self {
        Self::from_head(History::new(), None, chain)
    }

    /// A history that goes on behind a head: `history` is the tree of what is known already, which is at least what the
    /// head covers, and `chain` has the keys up to there. The head comes with its turn; without a head it goes on from
    /// wherever the stream begins.
    #[must_use]
    pub fn from_head(history: History, head: Option<(usize, Previous)>, chain: Option<KeyChain>) -> Self {
        let closed = history.size();
        let (turn, head) = head.unzip();
        Self {
            history,
            chain,
            earlier: Earlier::default(),
            turn,
            turns: None,
            // A history that begins in the middle of a stream, or whose beginning has expired, has no head to follow.
            chained: head.is_some() || closed == 0,
            given_up: 0,
            held: BTreeMap::new(),
            whole: true,
            lost_from: u64::MAX,
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

    /// Holds the history to a checkpoint that came on another way.
    pub fn hold_to(&mut self, checkpoint: SignedCheckpoint) {
        self.held.insert(checkpoint.size(), checkpoint);
    }

    /// Says how many turns the messages are read for, and what is known of those before the trusted key. Answers with what
    /// was said before; nothing at first.
    pub fn set_turns(&mut self, turns: usize, earlier: &Earlier) -> Option<Turns> {
        self.earlier = earlier.clone();
        self.turns.replace(Turns { all: turns, earlier: earlier.ends.len() })
    }

    /// Takes the next event, with its turn. One that was closed as parked and comes later is given back, and so is one of what was known
    /// before the first message: whether it is the same one is for the caller to say.
    pub fn event(&mut self, turn: usize, event: PublishedEvent) -> Option<PublishedEvent> {
        let (position, sequence) = (event.position, event.sequence);
        if self.early.remove(&sequence) || self.is_given_up(turn, position) {
            return None;
        }
        self.events += 1;
        // What is put back comes under the key of now.
        if !event.restored && !self.take_turn(turn, sequence, position, event.cid) {
            return None;
        }
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

    /// What an earlier source published, and the next one did not go on from.
    fn is_given_up(&mut self, turn: usize, position: u64) -> bool {
        let given_up = self.earlier.ends.get(turn).is_some_and(|end| position > *end);
        self.given_up += u64::from(given_up);
        given_up
    }

    /// Whether a message comes under the source whose turn it is, or whose turn it is now.
    fn take_turn(&mut self, turn: usize, sequence: u64, position: u64, cid: Cid) -> bool {
        let Some(now) = self.turn.filter(|now| *now != turn) else {
            self.turn = Some(turn);
            return true;
        };
        if turn < now {
            self.add(Some(sequence), Some(position), Some(cid), StreamFault::Superseded { sequence, position });
            return false;
        }
        (self.turn, self.head, self.chained) = (Some(turn), None, true);
        let after = self.window.keys().next_back().map_or(self.closed, |last| self.closed.max(*last));
        // What was known before is compared by whoever has it.
        if position > self.begun && position <= after {
            self.add(Some(sequence), Some(position), Some(cid), StreamFault::Restarted { sequence, position, after });
        }
        true
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

    /// Takes the next head, with its turn, and says which positions are missing: those that are found later in the stream
    /// are to be handed to [`supply`](Self::supply) before [`close`](Self::close). Nothing for a head that closes nothing,
    /// since its source had no turn any more.
    pub fn head(&mut self, turn: usize, sequence: u64, head: Head, restored: bool) -> Option<Vec<u64>> {
        let position = head.position;
        if self.is_given_up(turn, position) || !self.take_turn(turn, sequence, position, head.cid) {
            return None;
        }
        self.heads += 1;
        if restored {
            // Whoever put back what was lost could not put heads back into their places.
            self.problems.retain(|one| !matches!(one.fault, StreamFault::Chain { .. }));
        }
        if self.chained && head.previous != self.head {
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
        Some(missing)
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
                self.judge(sequence, held, &mut closed);
            }
        }
        self.checkpoint(sequence, &head, &mut closed);
        self.parked = named.into_keys().collect();
        (self.head, self.chained) = (Some(here), true);
        closed
    }

    /// All positions up to the next that is there, or parked, are lost.
    fn lost(&mut self, sequence: u64, head: &Head, named: &BTreeMap<u64, Cid>) {
        let from = self.closed + 1;
        let there = self.window.range(from..).next().map(|(position, _)| *position);
        let parked = named.range(from..).next().map(|(position, _)| *position);
        let next = there.into_iter().chain(parked).min().unwrap_or(head.position + 1).min(head.position + 1);
        self.add(Some(sequence), Some(from), None, StreamFault::Lost { from, through: next - 1 });
        if std::mem::take(&mut self.whole) {
            self.lost_from = from;
        }
        self.closed = next - 1;
    }

    fn push(&mut self, leaf: &Leaf) {
        let pushed = match &leaf.event {
            None => self.history.push_unread(&leaf.cid),
            Some(event) => {
                let envelope = event.block.envelope();
                match self.history.push_read(&leaf.cid, &envelope) {
                    Ok(()) => {
                        if let Some(chain) = &mut self.chain {
                            chain.see_block(leaf.position, &leaf.cid, envelope.event_type, &event.block);
                        }
                        Ok(())
                    }
                    Err(error) => self.history.push_unread(&leaf.cid).and(Err(error)),
                }
            }
        };
        let sequence = leaf.event.as_ref().map(|event| event.sequence);
        if let Err(mut error) = pushed {
            error.position = leaf.position;
            // Where something is missing, what follows from it can't be found.
            if self.whole || !matches!(error.problem, HistoryProblem::Cause(_)) {
                self.add(sequence, Some(leaf.position), Some(leaf.cid), error.into());
            }
        }
    }

    /// When all messages were read: looks for what could not be told before.
    pub fn finish(&mut self) {
        if let Err(error) = self.history.finish()
            && error.position <= self.lost_from
        {
            self.add(None, Some(error.position), Some(*error.cid), error.into());
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
        // A head that closes nothing new repeats the checkpoint of the one before it.
        self.judge(sequence, signed, closed);
    }

    /// Holds a checkpoint against the keys, and against the events once they are there.
    fn judge(&mut self, sequence: u64, signed: SignedCheckpoint, closed: &mut Closed) {
        let size = signed.size();
        let trusted = size >= self.earlier.trusted_from;
        if trusted && let Some(Err(error)) = self.chain.as_ref().map(|chain| chain.verify(&signed)) {
            return self.add(Some(sequence), Some(size), None, error.into());
        }
        if self.closed == size {
            let mut untrusted = Closed::default();
            self.compare(sequence, signed, if trusted { closed } else { &mut untrusted });
        }
    }

    fn compare(&mut self, sequence: u64, signed: SignedCheckpoint, closed: &mut Closed) {
        if !self.whole {
            return;
        }
        let size = signed.size();
        match self.history.agrees(&signed) {
            Some(true) => {
                if size >= self.earlier.trusted_from {
                    self.signed = self.signed.max(size);
                }
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

    /// Adds a problem that a message shows, unless it was added before.
    pub fn add_once(&mut self, sequence: u64, fault: StreamFault) {
        if !self.problems.iter().any(|there| there.fault == fault) {
            self.add(Some(sequence), None, None, fault);
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

    /// How many messages under earlier keys were left out, since the ledger did not go on from them.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// The keys, as far as they were followed.
    #[must_use]
    pub const fn chain(&self) -> Option<&KeyChain> {
        self.chain.as_ref()
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
