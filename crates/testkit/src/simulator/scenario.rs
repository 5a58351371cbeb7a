//! What a simulated world is made of, and what can happen in it.

use std::collections::BTreeSet;

use cim_keys::delivery::{Mode, Rules};

/// What a world is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scenario {
    /// How the drainers send.
    pub mode: Mode,
    /// The logs: how many events each begins with.
    pub logs: Vec<u64>,
    /// The position from which a log differs from the first one, where it does.
    pub forks_at: Option<u64>,
    /// Which log each drainer drains.
    pub drainers: Vec<usize>,
    /// How many events each log may grow to.
    pub grow_to: u64,
    /// The positions of events that the server refuses for what they are.
    pub poison: BTreeSet<u64>,
    /// How many of each fault may happen.
    pub budget: Budget,
    /// Whether the machine of a ledger that was recovered elsewhere stays, and knows nothing of it.
    pub old_stays: bool,
    /// The machine's limits.
    pub rules: Rules,
    /// How long a message takes, in microseconds: slow fast batches are left for atomic ones.
    pub pace_us: u32,
    /// What the drainers do wrong, to see that it is noticed.
    pub mutant: Option<Mutant>,
}

/// How many times each fault may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Connections cut.
    pub cuts: u8,
    /// Answers lost, or so late that they are not waited for.
    pub silences: u8,
    /// Batches of which the server stores only the first messages.
    pub tears: u8,
    /// Batches that go one by one and come in parts, so that something can happen between two of their messages.
    pub parts: u8,
    /// Restarts of the server.
    pub restarts: u8,
    /// Messages that the server loses from its end in a restart.
    pub losses: u8,
    /// Messages of other writers.
    pub others: u8,
    /// Purges of the heads.
    pub head_purges: u8,
    /// Purges of everything.
    pub purges: u8,
    /// Streams deleted and made again.
    pub recreations: u8,
    /// Drainers killed and started again.
    pub crashes: u8,
    /// Times at which the stream is full for a while, or the server busy.
    pub refusals: u8,
    /// Parked events that a user asks to retry.
    pub retries: u8,
    /// Ledgers recovered from a backup: they go on under a new key, which is a new source.
    pub recoveries: u8,
}

/// Mistakes that a driver of the machine could make. Each breaks a promise, and a check that never fails proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// What stands behind the head is not read.
    SkipsTail,
    /// The newest head is read from a server that lags behind the leader.
    ReadsStaleHead,
    /// The batch does not say which head it follows.
    ExpectsNothing,
    /// The first batch after doubt does not name the stream's last sequence.
    ForgetsLastSequence,
    /// What the stream holds is not compared with the log.
    ComparesNothing,
    /// A full stream is told as an event that is too large.
    ParksWhenFull,
    /// A batch is taken for stored when it was sent.
    TrustsItself,
    /// The list of parked events is left out of heads.
    ForgetsParked,
    /// A fast batch does not move the source's head before its first event.
    OpensWithoutHead,
    /// What follows a refused message is not refused with it, though each names the stream's last sequence.
    TiesNothing,
    /// What stands in the stream under the key before is not looked for.
    ForgetsEarlier,
    /// What stands in the stream under the key before is taken for the log's own, wherever that went on.
    TrustsEarlier,
    /// That the ledger goes on under another key is not told.
    HidesSuccessor,
}

/// Something that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    Append {
        log: usize,
    },
    Retry {
        log: usize,
    },
    Connect {
        drainer: usize,
    },
    Cut {
        drainer: usize,
    },
    /// It is killed and started again; a cursor that was to be written down at leisure may not have been.
    Crash {
        drainer: usize,
        forgets: bool,
    },
    /// A read reaches the server and is answered.
    Read {
        drainer: usize,
    },
    /// The time that the machine asked for has come.
    Tick {
        drainer: usize,
    },
    /// A batch reaches the server.
    Arrive {
        packet: usize,
    },
    /// The next messages of one that goes one by one reach the server; the others may follow.
    Part {
        packet: usize,
        count: usize,
    },
    /// Only its first messages are stored.
    Tear {
        packet: usize,
        keep: usize,
    },
    /// It is lost with its connection.
    Drop {
        packet: usize,
    },
    /// An answer reaches its drainer.
    Answer {
        drainer: usize,
    },
    LoseAnswer {
        drainer: usize,
    },
    /// The server restarts; a torn batch at its end may be completed, or messages lost.
    Restart {
        complete: bool,
        lose: usize,
    },
    /// The ledger is recovered from what it was up to a position, and goes on under a new key; its outbox may remember how far
    /// the stream was.
    Recover {
        through: u64,
        remembers: bool,
    },
    OtherWriter,
    PurgeHeads,
    PurgeAll,
    Recreate,
    Refusing {
        code: u64,
    },
    Mend,
}
