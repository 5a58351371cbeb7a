//! What goes into the machine and what comes out of it.

use cid::Cid;

use super::head::{Head, Previous};
use super::outbox::{Cursor, Source};
use crate::advice::{Action, Advice, ErrorKind, Explained};

/// One try to send one batch. Numbers are never used twice by one machine; a driver gives each a fresh batch id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt(pub u64);

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Atomic batches: the stream says `allow_atomic`.
    Atomic,
    /// Fast-ingest batches: the stream says `allow_batched` too. Of a stream, that it takes both; of a batch, that it goes
    /// this way: it opens with a head that repeats the newest one, each message names the stream's last sequence, and what
    /// follows a message that was refused or got lost is refused as well. Its beginning may be stored alone.
    Fast,
    /// One message after the other, with `Nats-Msg-Id` and the stream's expected last sequence.
    Classic,
    /// Without JetStream: at most once, and no heads.
    Core,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Input {
    /// The outbox holds events up to this position.
    Appended {
        /// The last durable position.
        end: u64,
    },
    /// A user asked to try these parked events again.
    Retry {
        /// Their positions.
        positions: Vec<u64>,
    },
    /// A user said where to go on, after a [`Stop`] that asked for it. It is used where the machine would stop so again,
    /// and nowhere else.
    From {
        /// The first position to send.
        position: u64,
    },
    /// A user asked to go on after a [`Stop`], because what stopped it is mended.
    Resume,
    /// There is a connection, the first or a new one.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// The answer to [`Output::ReadStream`].
    Stream(StreamSeen),
    /// The answer to [`Output::ReadStream`]: the stream can't keep the promise.
    StreamRefused {
        /// Why, and what to do.
        problem: String,
    },
    /// The answer to [`Output::ReadHead`]; `None` where there is none.
    Head(Option<Box<HeadSeen>>),
    /// The answer to [`Output::ReadHead`]: a message that does not read as a head of ours.
    HeadUnreadable {
        /// Its sequence in the stream.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The answer to [`Output::ReadEvents`].
    Events {
        /// The first sequence that the stream still has.
        first: u64,
        /// The stream's last sequence; everything up to it was read.
        through: u64,
        /// Whether a message stands at the sequence that was probed.
        probed: bool,
        /// Whether a head of the source stands among what was read: then a batch arrived after the head was read.
        newer_head: bool,
        /// The source's own events, in order of sequence.
        events: Vec<EventSeen>,
    },
    /// A read was not answered, or with an error that may pass.
    ReadFailed {
        /// What was said.
        reason: String,
    },
    /// The answer to [`Output::Compose`]: the batch is ready.
    Composed {
        /// Which.
        attempt: Attempt,
        /// The last position that it covers.
        through: u64,
        /// How many events it holds; 0 for a head alone.
        events: usize,
        /// Whether some of its events are too large for a message and have to be put into the object store before.
        blobs: bool,
    },
    /// The answer to [`Output::Compose`]: the outbox no longer holds what comes next.
    Missing {
        /// Which.
        attempt: Attempt,
        /// The first position that it does hold.
        first: u64,
    },
    /// The answer to [`Output::Compose`]: the next event can't be made into a message, however often it is tried.
    Unsendable {
        /// Which.
        attempt: Attempt,
        /// Why.
        reason: String,
    },
    /// The answer to [`Output::PutBlobs`]: all of them are in the object store.
    BlobsStored {
        /// Which.
        attempt: Attempt,
    },
    /// The answer to [`Output::PutBlobs`]: one is not.
    BlobFailed {
        /// Which.
        attempt: Attempt,
        /// What was said.
        reason: String,
    },
    /// More of the batch was handed to the connection; a slow network is not silence.
    Progress {
        /// Which.
        attempt: Attempt,
    },
    /// The server has stored the batch.
    Acked {
        /// Which.
        attempt: Attempt,
        /// The sequence of the head that closes it; 0 in [`Mode::Core`].
        sequence: u64,
        /// How long it took, in microseconds a message.
        pace_us: u32,
    },
    /// The server refused the batch.
    Refused {
        /// Which.
        attempt: Attempt,
        /// The JetStream error code, or a status such as 503; 0 for an answer that makes no sense.
        code: u64,
        /// What was said.
        reason: String,
    },
    /// The server said that the user may not do this.
    Denied(Denied),
    /// The outbox failed.
    OutboxFailed {
        /// What was said.
        reason: String,
    },
    /// The time of the last [`Output::Wake`] has come.
    Tick,
}

/// What STREAM.INFO told, and what the outbox remembers of that stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamSeen {
    /// How to send; [`Mode::Fast`] where the stream takes fast and atomic batches.
    pub mode: Mode,
    /// What the outbox remembers of this incarnation of the stream.
    pub known: Option<Cursor>,
    /// The last position that stands in the stream under an earlier source of the same outbox; 0 without one. `None` where
    /// nobody looked, because a head of the source itself was there: that tells.
    pub base: Option<u64>,
    /// The source that took this one's place, where the stream announces one.
    pub successor: Option<Successor>,
    /// What the outbox has parked; another drainer of it may have parked more. Read after the cursor, never before.
    pub parked: Vec<u64>,
}

/// A source that announced itself in the stream as the one that takes another's place: the ledger goes on under a new key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Successor {
    /// Its name.
    pub source: Source,
    /// The sequence of the announcement.
    pub sequence: u64,
}

/// The newest message on the source's head subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeadSeen {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// What it says.
    pub head: Head,
    /// What the outbox has at the head's position, where it has anything.
    pub ours: Option<Cid>,
}

/// One event of the source in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventSeen {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Its position.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// What the outbox has at this position, where it has anything.
    pub ours: Option<Cid>,
}

/// What a user is not allowed to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// Publish an event under its subject.
    Event(String),
    /// Publish heads under their subject.
    Head(String),
    /// Something that no event can do without: subscribe to the replies, or use an API subject.
    Other(String),
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Output {
    /// Read STREAM.INFO, make the stream where it is absent, check its settings. A newer read replaces the one that is
    /// under way, whatever the two are.
    ReadStream,
    /// Read the newest message on the source's head subject, from the leader.
    ReadHead,
    /// Read the source's own events behind a sequence, to the stream's end as it is now.
    ReadEvents {
        /// Only what has a higher sequence.
        after: u64,
        /// A sequence to look at: does a message stand there? 0 for none.
        probe: u64,
    },
    /// Make a batch ready; nothing is sent yet.
    Compose(Plan),
    /// Put the large events of the composed batch into the object store; look before putting.
    PutBlobs {
        /// Which.
        attempt: Attempt,
    },
    /// Send the composed batch.
    Transmit {
        /// Which.
        attempt: Attempt,
    },
    /// Send no more of this batch, and expect no answer.
    Abandon {
        /// Which.
        attempt: Attempt,
    },
    /// Remember how far the stream is, before a [`Transmit`](Self::Transmit) that follows among the same outputs is done;
    /// otherwise at leisure, and the newest suffices, except in [`Mode::Core`], where nothing else tells.
    Persist(Cursor),
    /// Park an event, with the reason; it is no longer to be retried.
    Park {
        /// Its position.
        position: u64,
        /// Why.
        reason: String,
    },
    /// The stream has a parked event now.
    Unpark {
        /// Its position.
        position: u64,
    },
    /// Come back with [`Input::Tick`] after this many milliseconds, or never; replaces what was asked before.
    Wake(Option<u64>),
    /// Tell the user.
    Notice(Notice),
    /// Nothing more is sent until [`Input::Resume`], [`Input::From`] or a new machine.
    Stopped(Stop),
}

/// What a batch is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Which try this is.
    pub attempt: Attempt,
    /// How it is sent.
    pub mode: Mode,
    /// A parked event that is tried again: it alone goes out.
    pub only: Option<u64>,
    /// Otherwise: the events behind this position, without the parked ones.
    pub after: u64,
    /// How many at most; with 0 the head goes out alone.
    pub max_events: usize,
    /// The sequence of the source's newest head, 0 where there is none: what the new head expects.
    pub head_sequence: u64,
    /// The head before this one, as the new head names it.
    pub previous: Option<Previous>,
    /// The parked positions: the batch leaves them out, and the new head lists those up to the batch's end.
    pub parked: Vec<u64>,
    /// The last sequence of the whole stream that the first message expects. In [`Mode::Fast`] there is always one; each
    /// message expects the one before it, and the closing head that the opening one is the newest.
    pub last_sequence: Option<u64>,
}

/// What a user should hear of, though nothing has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// The stream no longer has events that it had acknowledged. They are sent again.
    #[error(
        "the stream has lost events that it had acknowledged, from position {from} to {through}: they are sent again"
    )]
    Lost {
        /// The first lost position.
        from: u64,
        /// The last.
        through: u64,
    },
    /// Another holder of the same log has published further than the log goes here.
    #[error(
        "the stream is at position {theirs} of this source and the log here at {ours}, all of it equal: waiting for the \
         log to catch up"
    )]
    Behind {
        /// The position of the stream's head.
        theirs: u64,
        /// The last position here.
        ours: u64,
    },
}

/// Why nothing more is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The stream has another event at a position than the outbox: two logs go under one name.
    #[error(
        "the stream has {theirs} at position {position} (sequence {sequence}) and the log here has {ours}: two logs are \
         being written under one source. Nothing is published"
    )]
    Fork {
        /// The position at which the two differ.
        position: u64,
        /// The sequence in the stream.
        sequence: u64,
        /// What the stream has.
        theirs: Cid,
        /// What the outbox has.
        ours: Cid,
    },
    /// The ledger goes on under another key elsewhere.
    #[error(
        "the ledger goes on under another key: at sequence {sequence} the stream announces {source} in the place of the key \
         here, and readers take what comes under the old one for a second history. Nothing is published",
        sequence = .0.sequence,
        source = .0.source
    )]
    Succeeded(Box<Successor>),
    /// The stream has something of this source that the outbox can't compare.
    #[error(
        "the stream has position {position} of this source at sequence {sequence}, which can't be compared with the log \
         here"
    )]
    Unverifiable {
        /// The position in the stream.
        position: u64,
        /// Its sequence.
        sequence: u64,
    },
    /// The newest message on the head subject is no head.
    #[error(
        "the message at sequence {sequence} of the stream is no head of this source: {problem}. Another publisher uses \
         the head subject"
    )]
    HeadUnreadable {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The stream's settings break the promise.
    #[error("the stream can't be published to: {0}")]
    Stream(String),
    /// The server refuses what no retry changes.
    #[error("the server refused the batch for good: {reason} (code {code})")]
    Refused {
        /// The JetStream error code.
        code: u64,
        /// What was said.
        reason: String,
    },
    /// The user lacks a permission.
    #[error("the user of these credentials may not {0}")]
    Permission(String),
    /// The stream has expired or lost what would tell how far it got.
    #[error(
        "the stream no longer tells whether it had the events from position {from} on: the newest head is gone, and so \
         is what stood behind it"
    )]
    Unknowable {
        /// The first position in doubt.
        from: u64,
    },
    /// The stream does not have events that the outbox no longer holds: it lost them, or it is a new stream.
    #[error(
        "the stream does not have the events from position {from} on, and the outbox holds only those from {first}: they \
         were published before, and the stream has lost them or was made anew"
    )]
    Forgotten {
        /// The first position that is missing in the stream.
        from: u64,
        /// The first that the outbox holds.
        first: u64,
    },
    /// Too many events are parked: something is wrong that is not about single events.
    #[error("{limit} events are parked and one more was refused ({reason})")]
    TooManyParked {
        /// How many may be.
        limit: usize,
        /// Why the last one was refused.
        reason: String,
    },
    /// The outbox failed.
    #[error("the outbox failed: {0}")]
    Outbox(String),
}

impl Explained for Stop {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Succeeded(_) => ErrorKind::Refused,
            Self::Fork { .. } => ErrorKind::Verification,
            Self::Unverifiable { .. }
            | Self::HeadUnreadable { .. }
            | Self::Stream(_)
            | Self::Refused { .. }
            | Self::Permission(_)
            | Self::Unknowable { .. }
            | Self::Forgotten { .. }
            | Self::TooManyParked { .. }
            | Self::Outbox(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Fork { .. } => vec![Advice::Do("find out which copy is the true one, and stop the other")],
            Self::Succeeded(_) => vec![
                Advice::Do(
                    "where the ledger was recovered, go on there and keep this copy as evidence, or make a mirror of it with \
                     the new key",
                ),
                Advice::Do(
                    "where it was not recovered, another publisher uses its name: forbid that, delete the message, then \
                     start again",
                ),
            ],
            Self::Unverifiable { position, .. } => vec![
                Advice::Run(
                    Action::SyncFrom { position: Some(position.saturating_add(1)) },
                    "goes on, if the log is complete",
                ),
                Advice::Do("bring the log up to date first, if it is not complete"),
            ],
            Self::HeadUnreadable { .. } => {
                vec![Advice::Do("forbid that publisher, delete the message, then start again")]
            }
            Self::Permission(_) => vec![Advice::Do("grant that, then connect again")],
            Self::Unknowable { .. } => vec![
                Advice::Do("ask a subscriber for the last position that it has seen"),
                Advice::Run(Action::SyncFrom { position: None }, "goes on there"),
            ],
            Self::Forgotten { first, .. } => {
                vec![Advice::Run(Action::SyncFrom { position: Some(*first) }, "goes on without the missing events")]
            }
            Self::TooManyParked { .. } => vec![
                Advice::Run(Action::QueueList, "shows them and why they were refused"),
                Advice::Run(Action::QueueRetry, "tries them again, once the cause is gone"),
            ],
            Self::Stream(_) | Self::Refused { .. } | Self::Outbox(_) => Vec::new(),
        }
    }
}
