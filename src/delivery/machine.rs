//! The protocol as a state machine: what it sends, and how it takes the answers.

mod doubt;
mod pace;
mod refusals;
mod sending;

use std::collections::BTreeSet;

use self::doubt::Reading;
use self::pace::Pace;
use super::head::Previous;
use super::outbox::Cursor;
use super::protocol::{Attempt, Input, Mode, Output, Stop};

/// The limits that a machine keeps to. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    /// How many events a batch holds at most: 1 to 999.
    pub max_events: usize,
    /// From how many events on a batch may go as a fast one ([`Mode::Fast`]); also how many the first of them holds, which
    /// measures whether the server is fast that way.
    pub fast_from: usize,
    /// How many times [`max_events`](Self::max_events) a fast batch holds once the server has proved to be fast that way: the
    /// server stores its messages as they come, so only the pause between two batches counts. At least 1.
    pub fast_times: usize,
    /// How many refusals that are about one event it takes to park it.
    pub max_retries: u32,
    /// How many events may be parked before the machine stops: their list travels in every head.
    pub max_parked: usize,
    /// How long an answer to a batch may take after its last sign of progress.
    pub answer_ms: u64,
    /// How long a read may take. Reads of long tails report nothing in between, so this is generous.
    pub read_ms: u64,
    /// The first pause after a failure; each further one is twice as long.
    pub pause_ms: u64,
    /// The longest pause.
    pub max_pause_ms: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_events: 999,
            fast_from: 128,
            fast_times: 3,
            max_retries: 3,
            max_parked: 200,
            answer_ms: 10_000,
            read_ms: 600_000,
            pause_ms: 250,
            max_pause_ms: 30_000,
        }
    }
}

/// How often the same obstacle is met at once before the machine changes its way or pauses.
const PATIENCE: u32 = 3;

/// For how many batches a stream counts as shared after other writers got in between.
const SHARED_FOR: u32 = 16;

/// One source on its way into one stream. See the [module](crate::delivery) for the protocol.
///
/// Give it every input as it happens, one at a time, and carry out the outputs in their order. It starts in doubt and
/// without a connection, so that a machine can be thrown away at any moment and replaced by a new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    rules: Rules,
    phase: Phase,
    connected: bool,

    // What the outbox holds.
    end: u64,
    parked: BTreeSet<u64>,
    retries: BTreeSet<u64>,

    // What is known of the stream.
    mode: Mode,
    /// What the outbox remembers of it.
    known: Option<Cursor>,
    /// Where an earlier source of the outbox ended in it.
    base: Option<u64>,
    /// The last own position that is in the stream or parked.
    position: u64,
    /// The newest own head: its sequence and position; 0 without one.
    head: Previous,
    /// Whether the stream has, or the outbox has parked, what no head tells of yet.
    unclosed: bool,
    /// The stream's last sequence, where the next batch must find it unchanged.
    last_sequence: Option<u64>,
    /// Whether something may be in the stream that this machine does not know of.
    unresolved: bool,
    /// Where a user said to go on.
    from: Option<u64>,

    // How it goes.
    attempts: u64,
    /// How large the next batch may be.
    limit: usize,
    /// The end of the smallest batch that was refused because of an event in it.
    suspect: Option<u64>,
    /// Refusals of the event that is next.
    tries: u32,
    /// Failures since the last success, by kind.
    failures: u32,
    broken: u32,
    moves: u32,
    /// Where the source was when the last refusal for a moved sequence came.
    moved_at: Option<(Previous, u64)>,
    /// Refusals because other writers moved the stream's last sequence.
    crowded: u32,
    /// For how many batches the stream's last sequence is not named, because others keep moving it.
    shared: u32,
    /// Which way is faster, where there are two.
    pace: Pace,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Offline,
    Reading(Reading),
    /// Everything is published.
    Idle,
    Composing(Batch),
    Storing(Batch),
    InFlight(Batch),
    /// A pause; doubt follows.
    Waiting,
    /// The stream is ahead of the outbox.
    Behind,
    Stopped(Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Batch {
    attempt: Attempt,
    mode: Mode,
    only: Option<u64>,
    through: u64,
    events: usize,
}

type Outputs = Vec<Output>;

impl Machine {
    /// The limits that it keeps to.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A machine for an outbox that holds events up to `end` and has these parked, and of those these to be retried.
    #[must_use]
    pub fn new(mut rules: Rules, end: u64, parked: BTreeSet<u64>, retries: BTreeSet<u64>) -> Self {
        // With the head, a batch has one message more; the server takes 1,000.
        rules.max_events = rules.max_events.clamp(1, 999);
        rules.fast_times = rules.fast_times.max(1);
        Self {
            phase: Phase::Offline,
            connected: false,
            end,
            parked,
            retries,
            mode: Mode::Atomic,
            known: None,
            base: None,
            position: 0,
            head: Previous { sequence: 0, position: 0 },
            unclosed: false,
            last_sequence: None,
            unresolved: true,
            from: None,
            attempts: 0,
            limit: rules.max_events,
            suspect: None,
            tries: 0,
            failures: 0,
            broken: 0,
            moves: 0,
            moved_at: None,
            crowded: 0,
            shared: 0,
            pace: Pace::default(),
            rules,
        }
    }

    /// Takes what happened and says what to do.
    pub fn handle(&mut self, input: Input) -> Outputs {
        let mut out = Vec::new();
        match input {
            Input::Appended { end } => self.appended(end, &mut out),
            Input::Retry { positions } => {
                self.retries = positions.into_iter().filter(|p| self.parked.contains(p)).collect();
                if self.phase == Phase::Idle {
                    self.proceed(&mut out);
                }
            }
            Input::From { position } => {
                self.from = Some(position);
                self.resume(&mut out);
            }
            Input::Resume => self.resume(&mut out),
            Input::Connected => {
                self.connected = true;
                if !matches!(self.phase, Phase::Stopped(_)) {
                    // Nobody may have told that the former connection is gone.
                    self.abandon(&mut out);
                    self.doubt(&mut out);
                }
            }
            Input::Disconnected => self.disconnected(&mut out),
            Input::Composed { attempt, through, events, blobs } => {
                self.composed(attempt, through, events, blobs, &mut out);
            }
            Input::Missing { attempt, first } => self.missing(attempt, first, &mut out),
            Input::Unsendable { attempt, reason } => {
                if matches!(self.phase, Phase::Composing(batch) if batch.attempt == attempt) {
                    self.unsendable(reason, &mut out);
                }
            }
            Input::BlobsStored { attempt } => {
                if let Phase::Storing(batch) = self.phase
                    && batch.attempt == attempt
                {
                    self.transmit(batch, &mut out);
                }
            }
            Input::BlobFailed { attempt, .. } => {
                if matches!(self.phase, Phase::Storing(batch) if batch.attempt == attempt) {
                    self.pause(&mut out);
                }
            }
            Input::Progress { attempt } => {
                if matches!(self.phase, Phase::InFlight(batch) if batch.attempt == attempt) {
                    out.push(Output::Wake(Some(self.rules.answer_ms)));
                }
            }
            Input::Acked { attempt, sequence, pace_us } => {
                if let Phase::InFlight(batch) = self.phase
                    && batch.attempt == attempt
                {
                    self.acked(batch, sequence, pace_us, &mut out);
                }
            }
            Input::Refused { attempt, code, reason } => {
                if let Phase::InFlight(batch) = self.phase
                    && batch.attempt == attempt
                {
                    self.refused(batch, code, reason, &mut out);
                }
            }
            Input::Denied(denied) => self.denied(denied, &mut out),
            Input::OutboxFailed { reason } => self.stop(Stop::Outbox(reason), &mut out),
            Input::Tick => self.tick(&mut out),
            Input::Stream(_)
            | Input::StreamRefused { .. }
            | Input::Head(_)
            | Input::HeadUnreadable { .. }
            | Input::Events { .. }
            | Input::ReadFailed { .. } => self.read(input, &mut out),
        }
        out
    }

    /// The last own position that is known to be in the stream, or parked.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The last position that the outbox is known to hold.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// The positions of the parked events.
    pub fn parked(&self) -> impl Iterator<Item = u64> {
        self.parked.iter().copied()
    }

    /// Whether everything is published or parked, and the stream says so too.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether the stream is ahead of the outbox, and equal as far as both go.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.phase == Phase::Behind
    }

    /// Whether a pause is made before the next try.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// Whether one batch follows another.
    #[must_use]
    pub const fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Composing(_) | Phase::Storing(_) | Phase::InFlight(_))
    }

    /// How many tries have failed in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Why nothing more is sent, if so.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Stop> {
        match &self.phase {
            Phase::Stopped(stop) => Some(stop),
            _ => None,
        }
    }

    /// What the machine does, in a few words.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Offline => "not connected",
            Phase::Reading(_) => "reading the stream",
            Phase::Idle => "everything is published",
            Phase::Composing(_) | Phase::InFlight(_) => "publishing",
            Phase::Storing(_) => "storing large events",
            Phase::Waiting => "waiting before the next try",
            Phase::Behind => "the stream is ahead of the log here",
            Phase::Stopped(_) => "stopped",
        }
    }

    fn appended(&mut self, end: u64, out: &mut Outputs) {
        let grew = end > self.end;
        self.end = self.end.max(end);
        match self.phase {
            Phase::Idle => self.proceed(out),
            Phase::Behind if grew => self.doubt(out),
            _ => {}
        }
    }

    fn resume(&mut self, out: &mut Outputs) {
        if matches!(self.phase, Phase::Stopped(_)) {
            if self.connected { self.doubt(out) } else { self.phase = Phase::Offline }
        }
    }

    fn disconnected(&mut self, out: &mut Outputs) {
        self.connected = false;
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.abandon(out);
            self.phase = Phase::Offline;
            out.push(Output::Wake(None));
        }
    }

    /// Gives up the batch that is on its way, whatever becomes of it.
    fn abandon(&mut self, out: &mut Outputs) {
        if let Phase::Composing(batch) | Phase::Storing(batch) | Phase::InFlight(batch) = self.phase {
            self.unresolved |= matches!(self.phase, Phase::InFlight(_));
            out.push(Output::Abandon { attempt: batch.attempt });
        }
    }

    fn tick(&mut self, out: &mut Outputs) {
        match self.phase {
            Phase::Waiting => self.doubt(out),
            Phase::InFlight(_) => {
                // Silence. A smaller batch has a better chance on a slow way.
                self.abandon(out);
                self.pace.rest(SHARED_FOR);
                self.limit = (self.limit / 2).max(1);
                self.pause(out);
            }
            Phase::Reading(_) => self.pause(out),
            _ => {}
        }
    }

    /// Pauses, longer each time, and is in doubt afterwards.
    fn pause(&mut self, out: &mut Outputs) {
        let factor = 1_u64.checked_shl(self.failures.min(20)).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting;
        out.push(Output::Wake(Some(self.rules.pause_ms.saturating_mul(factor).min(self.rules.max_pause_ms))));
    }

    fn stop(&mut self, stop: Stop, out: &mut Outputs) {
        self.abandon(out);
        self.phase = Phase::Stopped(stop.clone());
        out.push(Output::Wake(None));
        out.push(Output::Stopped(stop));
    }
}
