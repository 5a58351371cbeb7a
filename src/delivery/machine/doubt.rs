//! Doubt, and how it ends: the machine reads the stream and finds out how far it is.

use super::super::protocol::{EventSeen, HeadSeen, Input, Mode, Notice, Output, Stop, StreamSeen};
use super::{Machine, Outputs, PATIENCE, Phase, SHARED_FOR};
use crate::delivery::head::{Head, Previous};
use crate::delivery::outbox::Cursor;

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reading {
    /// The stream's state.
    Stream,
    /// The newest head.
    Head,
    /// What is behind the newest head.
    Tail,
    /// Everything, since there is no head.
    Everything,
    /// What is before a head that is beyond the outbox.
    Before(Previous),
}

impl Machine {
    /// Stops sending and reads.
    pub(super) fn doubt(&mut self, out: &mut Outputs) {
        self.reading(Reading::Stream, Output::ReadStream, out);
    }

    fn reading(&mut self, reading: Reading, output: Output, out: &mut Outputs) {
        self.phase = Phase::Reading(reading);
        out.push(output);
        out.push(Output::Wake(Some(self.rules.read_ms)));
    }

    /// Takes the answer to a read, if it is the one that is waited for.
    pub(super) fn read(&mut self, input: Input, out: &mut Outputs) {
        let Phase::Reading(reading) = self.phase else { return };
        match (reading, input) {
            (Reading::Stream, Input::Stream(seen)) => self.stream_seen(seen, out),
            (Reading::Stream, Input::StreamRefused { problem }) => self.stop(Stop::Stream(problem), out),
            (Reading::Head, Input::Head(Some(seen))) => self.head_seen(*seen, out),
            // The head that was there a moment ago is gone, so nobody looked for what stands before it.
            (Reading::Head, Input::Head(None)) if self.base.is_none() => self.pause(out),
            (Reading::Head, Input::Head(None)) => {
                self.head = Previous { sequence: 0, position: 0 };
                let probe = self.known.map_or(0, |known| known.head_sequence);
                self.reading(Reading::Everything, Output::ReadEvents { after: 0, probe }, out);
            }
            (Reading::Head, Input::HeadUnreadable { sequence, problem }) => {
                self.stop(Stop::HeadUnreadable { sequence, problem }, out);
            }
            // The head that was read a moment ago is gone, and with it perhaps what stood behind it.
            (Reading::Tail, Input::Events { first, .. }) if first > self.head.sequence => self.pause(out),
            (Reading::Tail | Reading::Everything, Input::Events { newer_head: true, .. }) => self.pause(out),
            (Reading::Tail, Input::Events { through, events, .. }) => self.tail_seen(through, &events, out),
            (Reading::Everything, Input::Events { first, through, probed, events, .. }) => {
                self.everything_seen(first, through, probed, &events, out);
            }
            (Reading::Before(head), Input::Events { events, .. }) => self.before_seen(head, &events, out),
            (_, Input::ReadFailed { .. }) => self.pause(out),
            _ => {}
        }
    }

    fn stream_seen(&mut self, seen: StreamSeen, out: &mut Outputs) {
        if let Some(successor) = seen.successor {
            return self.stop(Stop::Succeeded(Box::new(successor)), out);
        }
        self.mode = seen.mode;
        self.known = seen.known;
        self.base = seen.base;
        self.parked = seen.parked.into_iter().collect();
        self.retries.retain(|position| self.parked.contains(position));
        if seen.mode == Mode::Core {
            // Nothing can be read back: what was not confirmed is sent again.
            self.position = seen.known.map_or(0, |known| known.position);
            self.head = Previous { sequence: 0, position: 0 };
            self.settled(None, 0, out);
        } else {
            self.reading(Reading::Head, Output::ReadHead, out);
        }
    }

    fn head_seen(&mut self, seen: HeadSeen, out: &mut Outputs) {
        let HeadSeen { sequence, head, ours } = seen;
        let published = self.known.map_or(0, |known| known.position);
        match ours {
            Some(ours) if ours != head.cid => {
                let position = head.position;
                return self.stop(Stop::Fork { position, sequence, theirs: head.cid, ours }, out);
            }
            None if head.position > self.end => {
                let after = self.known.map_or(0, |known| known.head_sequence);
                let before = Reading::Before(Previous { sequence, position: head.position });
                return self.reading(before, Output::ReadEvents { after, probe: 0 }, out);
            }
            // An outbox forgets what it knows to be published, and nothing else.
            None if head.position > published && !self.told_to_go_on(head.position) => {
                return self.stop(Stop::Unverifiable { position: head.position, sequence }, out);
            }
            _ => {}
        }
        self.end = self.end.max(head.position);
        self.head = Previous { sequence, position: head.position };
        self.position = head.position;
        self.adopt(&head, out);
        self.reading(Reading::Tail, Output::ReadEvents { after: sequence, probe: 0 }, out);
    }

    /// Whether a user has said that everything up to this position is well.
    fn told_to_go_on(&self, position: u64) -> bool {
        self.from.is_some_and(|from| from > position)
    }

    /// Takes over what a head says of parked events; another drainer of this outbox may have written it.
    fn adopt(&mut self, head: &Head, out: &mut Outputs) {
        for listed in &head.parked {
            if self.parked.insert(listed.position) {
                let reason = "another publisher of this log parked it, as the stream's head tells".to_owned();
                out.push(Output::Park { position: listed.position, reason });
            }
        }
        let published: Vec<u64> = self
            .parked
            .range(..=head.position)
            .copied()
            .filter(|position| head.parked.binary_search_by_key(position, |listed| listed.position).is_err())
            .collect();
        for position in published {
            self.unpark(position, out);
        }
        self.unclosed = false;
    }

    fn unpark(&mut self, position: u64, out: &mut Outputs) {
        self.parked.remove(&position);
        self.retries.remove(&position);
        out.push(Output::Unpark { position });
    }

    fn tail_seen(&mut self, through: u64, events: &[EventSeen], out: &mut Outputs) {
        if self.count_in(self.position, events, out) {
            self.tell_of_losses(out);
            let last_own = events.last().map_or(self.head.sequence, |event| event.sequence);
            self.settled(Some(through), last_own, out);
        }
    }

    /// There is no head: what is there of this source tells how far it is, if all of it is there. What an earlier source
    /// published is behind us.
    fn everything_seen(&mut self, first: u64, through: u64, probed: bool, events: &[EventSeen], out: &mut Outputs) {
        let base = self.base.unwrap_or(0);
        self.position = base;
        self.unclosed = false;
        // A purge keeps sequences: they go on from where they were, and what was purged leaves a hole. A stream that
        // ends before my head, or has another message in its place, was cut back: what was confirmed is not there. And a
        // stream that has everything since its first message says all there is to say.
        let cut_back = first <= 1 || self.known.is_none_or(|known| through < known.head_sequence || probed);
        let purged = events.first().map_or(0, |event| event.position - 1);
        let complete_from = match self.known {
            _ if first <= 1 => 0,
            Some(known) if !cut_back && first <= known.head_sequence + 1 => known.position,
            _ => purged,
        };
        if !self.count_in(complete_from, events, out) {
            return;
        }
        let found = self.position;
        if let Some(Cursor { position: confirmed, head_sequence }) = self.known {
            let whole = first <= if cut_back { 1 } else { head_sequence + 1 };
            if !cut_back {
                self.position = found.max(confirmed);
            }
            let unseen = if cut_back { found == base } else { found <= confirmed };
            if !whole && unseen && (cut_back || self.unresolved) && !self.go_on_from() {
                return self.stop(Stop::Unknowable { from: self.position + 1 }, out);
            }
            self.tell_of_losses(out);
        }
        self.settled(Some(through), events.last().map_or(0, |event| event.sequence), out);
    }

    /// Goes on where a user said, if one did.
    fn go_on_from(&mut self) -> bool {
        if let Some(from) = self.from {
            self.position = from.saturating_sub(1);
        }
        self.from.is_some()
    }

    fn tell_of_losses(&mut self, out: &mut Outputs) {
        let confirmed = self.known.map_or(0, |known| known.position);
        if confirmed > self.position {
            out.push(Output::Notice(Notice::Lost { from: self.position + 1, through: confirmed }));
        }
    }

    /// Counts in own events that no head covers; up to `complete` nothing can be missing among them. False where that
    /// stopped the machine.
    fn count_in(&mut self, complete: u64, events: &[EventSeen], out: &mut Outputs) -> bool {
        let published = self.known.map_or(0, |known| known.position);
        for &EventSeen { sequence, position, cid, ours } in events {
            match ours {
                Some(ours) if ours != cid => {
                    self.stop(Stop::Fork { position, sequence, theirs: cid, ours }, out);
                    return false;
                }
                None if position > published && !self.told_to_go_on(position) => {
                    self.stop(Stop::Unverifiable { position, sequence }, out);
                    return false;
                }
                _ => {}
            }
            if self.parked.contains(&position) {
                self.unpark(position, out);
                self.unclosed = true;
            }
            if position > self.position {
                // A batch leaves out only what is parked. Where that is news, another publisher has parked it.
                for skipped in self.position.max(complete) + 1..position {
                    let reason = "it is not in the stream, though a later event is".to_owned();
                    if !self.parked.contains(&skipped) && !self.park(skipped, reason, out) {
                        return false;
                    }
                }
                self.position = position;
                self.unclosed = true;
            }
        }
        true
    }

    /// The stream is ahead of the outbox. What both have must be equal; then the outbox is only late.
    fn before_seen(&mut self, head: Previous, events: &[EventSeen], out: &mut Outputs) {
        let mut compared = self.known.map_or(0, |known| known.position);
        for &EventSeen { sequence, position, cid, ours } in events {
            match ours {
                Some(ours) if ours != cid => {
                    return self.stop(Stop::Fork { position, sequence, theirs: cid, ours }, out);
                }
                Some(_) => compared = compared.max(position),
                None => {}
            }
        }
        compared = self.parked.iter().fold(compared, |compared, parked| compared + u64::from(*parked == compared + 1));
        if compared < self.end {
            return self.stop(Stop::Unverifiable { position: head.position, sequence: head.sequence }, out);
        }
        self.position = self.end;
        if self.known.is_none_or(|known| known.position < self.end) {
            // The head is not ours to remember yet: the next comparison begins where this one did.
            let head_sequence = self.known.map_or(0, |known| known.head_sequence);
            let cursor = Cursor { position: self.end, head_sequence };
            self.known = Some(cursor);
            out.push(Output::Persist(cursor));
        }
        self.failures = 0;
        self.phase = Phase::Behind;
        out.push(Output::Notice(Notice::Behind { theirs: head.position, ours: self.end }));
        out.push(Output::Wake(None));
    }

    /// Nothing is in doubt any more. `through` is the stream's last sequence, up to which everything is known, and
    /// `last_own` that of the last message there which is this source's.
    fn settled(&mut self, through: Option<u64>, last_own: u64, out: &mut Outputs) {
        while self.parked.contains(&(self.position + 1)) {
            self.position += 1;
            self.unclosed = true;
        }
        self.unclosed &= self.mode != Mode::Core;
        self.end = self.end.max(self.position);
        if self.moved_at.take() == Some((self.head, self.position)) {
            // Nothing of ours is new, so it was somebody else. Where other writers never rest, an expectation of the
            // stream's last sequence would never hold.
            self.crowded += 1;
            self.shared = if self.crowded > 1 { SHARED_FOR } else { self.shared };
        }
        // What is left of an abandoned fast batch can only follow its own last message. Where a stranger's message stands
        // at the end, it never will, and the expectation may be left out.
        let strange = through.is_some_and(|through| through > last_own);
        self.last_sequence = if self.crowded > PATIENCE && strange { None } else { through };
        // What no head covers is known now, and could be purged before the next look.
        self.unresolved = self.unclosed;
        if !self.unclosed && self.position > 0 {
            // What no head covers yet may be lost again; it is remembered with the next head.
            self.remember(out);
        }
        self.proceed(out);
    }
}
