//! Delivery: exactly once, in order, however long the outage.
//!
//! An [`outbox`](outbox::Outbox) holds a **source**'s events under gap-free **positions**; a JetStream stream receives
//! them. What makes the two agree is one pure state machine, [`Machine`]: it takes [`Input`]s, answers with
//! [`Output`]s, does no input or output of its own and knows no clock. An asynchronous driver runs it against NATS; a
//! model checker and a seeded simulator run the very same code against a server that tears, loses, delays and repeats.
//!
//! # In the clear
//!
//! Events go out in batches, one in flight at a time. Each batch is closed by a [`Head`], a small message on
//! `{head_subject}.{source}` in the same stream, which carries the sequence of the head before it as an expectation: the
//! server stores the batch only if that is still the newest head. So a batch can't be stored twice, however often it is
//! sent, without any time window.
//!
//! # A backlog
//!
//! An atomic batch costs the server a staging area of its own on the disk and several syncs. Where the stream takes
//! fast-ingest batches, a backlog goes in those ([`Mode::Fast`]): the server stores each message as it comes, and once one
//! of them is refused or missing, it refuses what follows. Such a batch opens with a head that repeats the newest one, so
//! that any other batch of the source that follows the same head is refused from then on; each message names the stream's
//! last sequence, so that nothing gets in between unnoticed; and it closes with a head. Its beginning may be stored alone,
//! like that of a batch that tore. Which of the two ways is faster depends on how often the server syncs; the machine
//! measures it, with a small batch first.
//!
//! After refusals because of strangers the stream's last sequence is no longer named, and batches are atomic. It is named
//! all the same where the last message is the source's own: what is left of an abandoned fast batch could follow that one,
//! and nothing else.
//!
//! # In doubt
//!
//! Silence, a reconnect, a start, an answer that proves nothing: each is doubt, and ends it the same way. Nothing is
//! sent. The machine asks for the stream's state, for its own newest head, and for everything of its own behind that
//! head, because a batch can tear: a server that runs out of room in mid-commit keeps the first messages of a batch, and
//! no head. It resumes after the last own position that it found. The stream is the truth and the
//! [`Cursor`](outbox::Cursor) a memory of it.
//!
//! The first batch after doubt also names the stream's last sequence as the reads saw it. Whatever an earlier attempt
//! leaves there later, whole or torn, then refuses the batch instead of standing in the stream twice.
//!
//! # Older servers
//!
//! A server without atomic batches gets the same events and heads one after the other ([`Mode::Classic`]), each naming
//! the stream's last sequence and the identifier before it, so that the first failure refuses all that follow;
//! `Nats-Msg-Id` is the CID. Where other
//! writers keep moving the last sequence, messages go one at a time. Without JetStream ([`Mode::Core`]) there is nothing
//! to read back: an event leaves the outbox when the server has answered a flush, and subscribers get it at most once.
//!
//! # What is promised
//!
//! Of the events of one source: none lost, none twice, in order of position (an event that was parked and retried
//! comes when it is retried); and every run ends, either with an empty outbox or with a [`Stop`] that says what to do.
//!
//! # Where the promise ends
//!
//! A stream that loses messages which it had acknowledged, as after a power failure, gives their sequences to others.
//! What it lost is noticed and sent again. But a batch that was sent before the loss and arrives only after it could meet
//! the sequences that it expects by chance. And where other writers keep moving the stream's last sequence, so that it is
//! not expected any more, two drainers of one log can't tell a batch of the other that tore a moment ago. Each needs
//! several rare faults at once; the simulator leaves exactly these out.

mod earlier;
mod head;
mod machine;
pub mod outbox;
mod protocol;
mod refusal;
mod stream;

pub use earlier::last_of_ours;
pub use head::{Checkpoint, Head, HeadError, MAX_HEAD_BYTES, ParkedEvent, Previous};
pub use machine::{Machine, Rules};
pub use protocol::{
    Attempt, Denied, EventSeen, HeadSeen, Input, Mode, Notice, Output, Plan, Stop, StreamSeen, Successor,
};
pub use refusal::{Refusal, classify};
pub use stream::{Finding, Findings, StreamSettings, check_stream, subject_covers};
