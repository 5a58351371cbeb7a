//! What refusals do: wait, split, park or stop. What each code means is in [`classify`].

use super::super::protocol::{Denied, Mode, Output, Stop};
use super::super::refusal::{Refusal, classify};
use super::{Batch, Machine, Outputs, PATIENCE, Phase, SHARED_FOR};

impl Machine {
    pub(super) fn refused(&mut self, batch: Batch, code: u64, reason: String, out: &mut Outputs) {
        // Whatever was refused, and for whatever reason: some of it may be stored, so the stream is read before the next.
        self.unresolved = true;
        if batch.mode == Mode::Fast {
            // What is in its way, such as another writer, is seldom in the way of an atomic one.
            self.pace.rest(SHARED_FOR);
        }
        match classify(code) {
            Refusal::Moved => {
                self.moves += 1;
                self.moved_at = Some((self.head, self.position));
                if self.moves <= PATIENCE { self.doubt(out) } else { self.pause(out) }
            }
            Refusal::Event => self.event_refused(batch, format!("{reason} (code {code})"), out),
            Refusal::Broken => {
                self.broken += 1;
                if batch.events > 1 && self.broken >= 2 {
                    self.split(batch);
                    self.doubt(out);
                } else {
                    self.pause(out);
                }
            }
            Refusal::Contended => {
                self.moved_at = Some((self.head, self.position));
                self.pause(out);
            }
            Refusal::Full | Refusal::Busy | Refusal::Unknown => self.pause(out),
            Refusal::Never => self.stop(Stop::Refused { code, reason }, out),
        }
    }

    pub(super) fn denied(&mut self, denied: Denied, out: &mut Outputs) {
        match denied {
            Denied::Event(subject) => {
                if let Phase::InFlight(batch) = self.phase {
                    self.abandon(out);
                    self.event_refused(batch, format!("the user may not publish {subject}"), out);
                }
            }
            Denied::Head(subject) => self.stop(Stop::Permission(format!("publish heads under {subject}")), out),
            Denied::Other(what) => self.stop(Stop::Permission(what), out),
        }
    }

    /// A batch was refused because of an event in it.
    fn event_refused(&mut self, batch: Batch, reason: String, out: &mut Outputs) {
        if batch.events != 1 {
            if batch.events == 0 {
                return self
                    .stop(Stop::Refused { code: 0, reason: format!("the head alone was refused: {reason}") }, out);
            }
            self.split(batch);
            return self.doubt(out);
        }
        self.tries += 1;
        if self.tries < self.rules.max_retries {
            self.split(batch);
            return self.pause(out);
        }
        self.tries = 0;
        if let Some(position) = batch.only {
            self.retries.remove(&position);
            out.push(Output::Park { position, reason });
        } else {
            // The parked ones before it are counted in already, so it is the next.
            if !self.park(self.position + 1, reason, out) {
                return;
            }
            self.suspect = None;
            self.limit = self.rules.max_events;
        }
        self.doubt(out);
    }

    /// Parks an event. False where that are too many, which stops the machine.
    pub(super) fn park(&mut self, position: u64, reason: String, out: &mut Outputs) -> bool {
        if self.parked.len() >= self.rules.max_parked {
            self.stop(Stop::TooManyParked { limit: self.rules.max_parked, reason }, out);
            return false;
        }
        self.parked.insert(position);
        out.push(Output::Park { position, reason });
        true
    }

    fn split(&mut self, batch: Batch) {
        self.limit = (batch.events / 2).clamp(1, self.rules.max_events);
        if batch.only.is_none() {
            self.suspect = Some(batch.through);
        }
    }
}
