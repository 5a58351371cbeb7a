//! In the clear: what is sent next, and how, and what follows when it is stored.

use super::super::head::Previous;
use super::super::outbox::Cursor;
use super::super::protocol::{Attempt, Mode, Output, Plan, Stop};
use super::{Batch, Machine, Outputs, Phase};

impl Machine {
    /// Nothing is in doubt: sends what comes next.
    pub(super) fn proceed(&mut self, out: &mut Outputs) {
        let only = if self.unclosed { None } else { self.retries.iter().copied().find(|p| *p <= self.head_reach()) };
        let next = self.position < self.end;
        if only.is_none() && !next && !self.unclosed {
            self.phase = Phase::Idle;
            out.push(Output::Wake(None));
            return;
        }
        self.attempts += 1;
        let mode = self.way(only);
        let probing = mode == Mode::Fast && !self.pace.is_proved();
        let batch = Batch { attempt: Attempt(self.attempts), mode, only, through: self.position, events: 0 };
        self.phase = Phase::Composing(batch);
        out.push(Output::Wake(None));
        out.push(Output::Compose(Plan {
            attempt: batch.attempt,
            mode,
            only,
            after: self.position,
            max_events: if only.is_some() {
                1
            } else if probing {
                self.limit.min(self.rules.fast_from)
            } else if next && mode == Mode::Fast && self.limit == self.rules.max_events && self.suspect.is_none() {
                self.limit.saturating_mul(self.rules.fast_times)
            } else if next {
                self.limit
            } else {
                0
            },
            head_sequence: self.head.sequence,
            previous: (self.head.sequence > 0).then_some(self.head),
            parked: self.parked.iter().copied().filter(|position| Some(*position) != only).collect(),
            last_sequence: self.last_sequence,
        }));
    }

    /// How the next batch goes where the stream takes both: as a fast one if there is much to send, if a head is there for it
    /// to repeat, and if each of its messages can name the stream's last sequence.
    fn way(&self, only: Option<u64>) -> Mode {
        let much = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(self.limit);
        match self.mode {
            Mode::Fast
                if only.is_some()
                    || much < self.rules.fast_from
                    || self.head.sequence == 0
                    || self.last_sequence.is_none()
                    || !self.pace.prefers_fast() =>
            {
                Mode::Atomic
            }
            mode => mode,
        }
    }

    /// How far parked events are told of, so that they can be retried.
    const fn head_reach(&self) -> u64 {
        match self.mode {
            Mode::Core => self.position,
            _ => self.head.position,
        }
    }

    pub(super) fn composed(&mut self, attempt: Attempt, through: u64, events: usize, blobs: bool, out: &mut Outputs) {
        let Phase::Composing(planned) = self.phase else { return };
        if planned.attempt != attempt {
            return;
        }
        let batch = Batch { through: through.max(self.position), events, ..planned };
        if blobs {
            self.phase = Phase::Storing(batch);
            out.push(Output::PutBlobs { attempt });
        } else {
            self.transmit(batch, out);
        }
    }

    pub(super) fn transmit(&mut self, batch: Batch, out: &mut Outputs) {
        if self.known.is_none() {
            // From here on this outbox may have something in the stream; a restart must know that.
            self.remember(out);
        }
        self.phase = Phase::InFlight(batch);
        out.push(Output::Transmit { attempt: batch.attempt });
        out.push(Output::Wake(Some(self.rules.answer_ms)));
    }

    /// Persists what is confirmed.
    pub(super) fn remember(&mut self, out: &mut Outputs) {
        // Without a head the sequence of the last one is worth keeping: it tells what the stream had confirmed.
        let last = self.known.map_or(0, |known| known.head_sequence);
        let head_sequence = if self.head.sequence > 0 { self.head.sequence } else { last };
        let cursor = Cursor { position: self.position, head_sequence };
        if self.known != Some(cursor) {
            self.known = Some(cursor);
            out.push(Output::Persist(cursor));
        }
    }

    pub(super) fn missing(&mut self, attempt: Attempt, first: u64, out: &mut Outputs) {
        if !matches!(self.phase, Phase::Composing(batch) if batch.attempt == attempt) {
            return;
        }
        let from = self.position + 1;
        if let Some(wanted) = self.from.filter(|wanted| *wanted >= first) {
            self.position = wanted.saturating_sub(1);
            self.proceed(out);
        } else {
            self.stop(Stop::Forgotten { from, first }, out);
        }
    }

    pub(super) fn acked(&mut self, batch: Batch, sequence: u64, pace_us: u32, out: &mut Outputs) {
        match batch.mode {
            // A small one tells how long the way is, not how fast. One that ends at a checkpoint may be somewhat smaller than
            // was asked for.
            _ if batch.events * 2 < self.rules.fast_from => {}
            Mode::Fast => self.pace.fast(pace_us),
            Mode::Atomic => self.pace.atomic(pace_us),
            Mode::Classic | Mode::Core => {}
        }
        self.position = batch.through;
        self.unclosed = false;
        if self.mode != Mode::Core {
            self.head = Previous { sequence, position: batch.through };
        }
        self.shared = self.shared.saturating_sub(1);
        self.last_sequence = (self.mode != Mode::Core && self.shared == 0).then_some(sequence);
        (self.failures, self.broken, self.moves, self.crowded, self.tries) = (0, 0, 0, 0, 0);
        self.unresolved = false;
        self.from = None;
        if let Some(position) = batch.only {
            self.parked.remove(&position);
            self.retries.remove(&position);
            out.push(Output::Unpark { position });
        }
        match self.suspect {
            // The refused batch held something else: half of what is left of it.
            Some(suspect) if self.position < suspect => {
                self.limit = usize::try_from((suspect - self.position) / 2).unwrap_or(usize::MAX).clamp(1, self.limit);
            }
            _ => {
                self.suspect = None;
                self.limit = (self.limit * 2).min(self.rules.max_events);
            }
        }
        self.remember(out);
        self.proceed(out);
    }

    /// The next event can't even be made into a message: no server needs to be asked.
    pub(super) fn unsendable(&mut self, reason: String, out: &mut Outputs) {
        if let Phase::Composing(Batch { only: Some(position), .. }) = self.phase {
            self.retries.remove(&position);
            out.push(Output::Park { position, reason });
        } else if self.park(self.position + 1, reason, out) {
            self.position += 1;
            self.unclosed = self.mode != Mode::Core;
        } else {
            return;
        }
        self.proceed(out);
    }
}
