//! The server of a simulated world: one stream, and all that it may do to a batch.

use std::collections::BTreeSet;

use cid::Cid;
use cim_keys::delivery::{Attempt, Head, Mode};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// An event of one of the sources.
    Event {
        /// Which.
        source: u8,
        /// Its position.
        position: u64,
        /// Its identifier.
        cid: Cid,
    },
    /// A head of one of the sources.
    Head {
        /// Which.
        source: u8,
        /// What it says.
        head: Head,
    },
    /// Another writer's.
    Other,
}

/// One batch on its way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Who sent it.
    pub drainer: usize,
    /// Under which source.
    pub source: u8,
    /// On which of its connections.
    pub connection: u32,
    /// Which try it is.
    pub attempt: Attempt,
    /// How it is sent.
    pub mode: Mode,
    /// The last position that it covers.
    pub through: u64,
    /// The newest head that it expects.
    pub head_sequence: Option<u64>,
    /// The last sequence of the stream that it expects.
    pub last_sequence: Option<u64>,
    /// What it holds; the head is last, and first too where it is a fast batch.
    pub messages: Vec<Message>,
    /// How many of them the server has taken already.
    pub taken: usize,
    /// Whether what follows a refused message is taken all the same: a mistake.
    pub untied: bool,
}

impl Packet {
    /// Whether its messages are stored as they come, each expecting the one before it.
    #[must_use]
    pub const fn is_one_by_one(&self) -> bool {
        matches!(self.mode, Mode::Fast | Mode::Classic)
    }

    /// How many of its messages may still come.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.messages.len() - self.taken
    }

    fn opens(&self) -> bool {
        matches!(self.messages.first(), Some(Message::Head { .. })) && self.messages.len() > 1
    }

    /// Its events.
    #[must_use]
    pub fn events(&self) -> Vec<(u64, Cid)> {
        let event = |message: &Message| match message {
            Message::Event { position, cid, .. } => Some((*position, *cid)),
            _ => None,
        };
        self.messages.iter().filter_map(event).collect()
    }
}

/// What the server says to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is stored.
    Stored {
        /// The sequence of its last message.
        sequence: u64,
    },
    /// It is not.
    Refused {
        /// The error's code.
        code: u64,
    },
}

/// An event that was stored and not lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ever {
    sequence: u64,
    /// Under which source.
    pub(super) source: u8,
    /// Its position.
    pub(super) position: u64,
    /// Its identifier.
    pub(super) cid: Cid,
}

/// A server with one stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Which stream of its name this is; a deleted stream that is made again is another.
    pub incarnation: u32,
    /// The code with which it refuses every batch for now.
    pub refusing: Option<u64>,
    stored: Vec<(u64, Message)>,
    /// Events that were stored and not lost, purged ones included.
    ever: Vec<Ever>,
    /// Whether what stands there under one source may come again under another: two machines publish one log.
    pub(super) shared: bool,
    last: u64,
    first: u64,
    /// What is missing of the torn batch at the end.
    torn: Vec<Message>,
    poison: BTreeSet<u64>,
    problem: Option<&'static str>,
}

impl Server {
    pub(super) fn new(poison: BTreeSet<u64>) -> Self {
        Self {
            incarnation: 1,
            refusing: None,
            stored: Vec::new(),
            ever: Vec::new(),
            shared: false,
            last: 0,
            first: 1,
            torn: Vec::new(),
            poison,
            problem: None,
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.stored.first().map_or(self.last + 1, |(sequence, _)| *sequence).max(self.first)
    }

    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) const fn is_torn(&self) -> bool {
        !self.torn.is_empty()
    }

    pub(super) fn holds(&self, sequence: u64) -> bool {
        self.stored.iter().any(|(there, _)| *there == sequence)
    }

    /// The newest head of a source, or one further `back`.
    pub(super) fn head(&self, of: u8, back: usize) -> Option<(u64, &Head)> {
        let heads = self.stored.iter().rev().filter_map(|(sequence, message)| match message {
            Message::Head { source, head } if *source == of => Some((*sequence, head)),
            _ => None,
        });
        heads.take(back + 1).last()
    }

    /// The events of a source behind a sequence: sequence, position, identifier.
    pub(super) fn events_after(&self, of: u8, after: u64) -> impl Iterator<Item = (u64, u64, Cid)> {
        self.stored.iter().filter_map(move |(sequence, message)| match message {
            Message::Event { source, position, cid } if *source == of && *sequence > after => {
                Some((*sequence, *position, *cid))
            }
            _ => None,
        })
    }

    /// Every event that was stored and not lost.
    pub(super) fn ever(&self) -> impl Iterator<Item = &Ever> {
        self.ever.iter()
    }

    pub(super) fn store(&mut self, message: Message) {
        self.last += 1;
        self.torn.clear();
        match &message {
            Message::Event { source, position, cid } => self.count(*source, *position, *cid),
            Message::Head { head, .. } => {
                let told = |p: u64| {
                    self.ever.iter().any(|there| there.position == p) != head.parked.iter().any(|l| l.position == p)
                };
                if !(1..=head.position).all(told) {
                    self.problem = Some("a head says of an event that it is there, or parked, and it is not so");
                }
            }
            Message::Other => {}
        }
        self.stored.push((self.last, message));
    }

    fn count(&mut self, source: u8, position: u64, cid: Cid) {
        let same = |there: &Ever| there.source == source || there.cid == cid && !self.shared;
        if self.ever.iter().any(|there| there.position == position && same(there)) {
            self.problem = Some("an event is there twice");
        }
        let retried = self.head(source, 0).is_some_and(|(_, head)| head.parked.iter().any(|l| l.position == position));
        if !retried && self.ever.iter().any(|there| there.source == source && there.position > position) {
            self.problem = Some("an event was overtaken");
        }
        self.ever.push(Ever { sequence: self.last, source, position, cid });
    }

    /// Takes a batch, or what is left of it: stores all of it or nothing, or one by one as much as is not refused.
    pub(super) fn take(&mut self, packet: &Packet) -> Answer {
        let refused = |code| Answer::Refused { code };
        if packet.is_one_by_one() {
            let mut packet = packet.clone();
            let left = packet.left();
            return self.take_some(&mut packet, left).unwrap_or(Answer::Stored { sequence: self.last });
        }
        if let Some(code) = self.refusing {
            return refused(code);
        }
        let is_poison = |(position, _): &(u64, Cid)| self.poison.contains(position);
        if packet.events().first().is_some_and(is_poison) {
            return refused(10054);
        }
        if packet.events().iter().any(is_poison) {
            return refused(10176);
        }
        if packet.mode == Mode::Atomic && !self.expects_truly(packet) {
            return refused(10071);
        }
        packet.messages.iter().for_each(|message| self.store(message.clone()));
        Answer::Stored { sequence: self.last }
    }

    fn expects_truly(&self, packet: &Packet) -> bool {
        self.newest_head_is(packet.source, packet.head_sequence)
            && packet.last_sequence.is_none_or(|expected| expected == self.last)
    }

    fn newest_head_is(&self, source: u8, expected: Option<u64>) -> bool {
        let head = self.head(source, 0).map_or(0, |(sequence, _)| sequence);
        expected.is_none_or(|expected| expected == head)
    }

    /// Takes the next messages of a batch that goes one by one. The first that is refused is the answer, and ends it.
    pub(super) fn take_some(&mut self, packet: &mut Packet, count: usize) -> Option<Answer> {
        let mut answer = self.refusing.map(|code| Answer::Refused { code });
        for _ in 0..count {
            if answer.is_some() && !packet.untied {
                break;
            }
            if let Some(code) = self.take_one(packet) {
                answer = answer.or(Some(Answer::Refused { code }));
            }
            packet.taken += 1;
        }
        answer
    }

    fn take_one(&mut self, packet: &Packet) -> Option<u64> {
        let message = &packet.messages[packet.taken];
        let expected = packet.last_sequence.map(|last| last + packet.taken as u64);
        if expected.is_some_and(|expected| expected != self.last) {
            return Some(10071);
        }
        let closes_opened = packet.opens() && packet.taken > 0;
        let head = if closes_opened { packet.last_sequence.map(|last| last + 1) } else { packet.head_sequence };
        match message {
            Message::Event { position, .. } if self.poison.contains(position) => return Some(10054),
            // Without the stream's last sequence there is the identifier, which the server knows for a while.
            Message::Event { position, cid, .. }
                if expected.is_none()
                    && self.ever.iter().any(|there| there.position == *position && there.cid == *cid) => {}
            Message::Head { source, .. } if !self.newest_head_is(*source, head) => return Some(10071),
            _ => self.store(message.clone()),
        }
        None
    }

    /// Stores the first messages of a batch and is silent about it.
    pub(super) fn tear(&mut self, packet: &Packet, keep: usize) {
        if self.refusing.is_some() {
            return;
        }
        if packet.is_one_by_one() {
            self.take_some(&mut packet.clone(), keep);
            return;
        }
        let poisoned = packet.events().iter().any(|(position, _)| self.poison.contains(position));
        if !poisoned && (packet.mode == Mode::Core || self.expects_truly(packet)) {
            packet.messages.iter().take(keep).for_each(|message| self.store(message.clone()));
            if packet.mode == Mode::Atomic {
                self.torn = packet.messages.iter().skip(keep).cloned().collect();
            }
        }
    }

    /// Starts again: completes the torn batch at the end, or loses the last messages.
    pub(super) fn restart(&mut self, complete: bool, lose: usize) {
        let torn = std::mem::take(&mut self.torn);
        if complete {
            torn.into_iter().for_each(|message| self.store(message));
        }
        for _ in 0..lose {
            let Some((sequence, _)) = self.stored.pop() else { break };
            self.ever.retain(|there| there.sequence < sequence);
            self.last = sequence - 1;
        }
    }

    pub(super) fn purge(&mut self, heads_only: bool) {
        self.torn.clear();
        self.stored.retain(|(_, message)| heads_only && !matches!(message, Message::Head { .. }));
        if !heads_only {
            self.first = self.last + 1;
        }
    }

    pub(super) fn recreate(&mut self) {
        *self = Self {
            incarnation: self.incarnation + 1,
            refusing: self.refusing,
            shared: self.shared,
            ..Self::new(self.poison.clone())
        };
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.problem.map_or(Ok(()), |problem| Err(problem.to_owned()))
    }
}
