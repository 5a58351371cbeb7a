//! Which of two ways a stream that takes both is sent to: the one that proves faster.
//!
//! A fast batch is many times cheaper for a server than an atomic one, unless the server syncs every message to the disk
//! (`sync_interval: always`): an atomic batch needs a few syncs, a fast one as many as it has messages. No server tells
//! how it is set, so it is measured: with a small batch first.

/// From how many microseconds a message on a way counts as slow. A server that does not sync each message needs 5 to 20.
const SLOW_US: u32 = 100;

/// How many slow fast batches in a row it takes to leave that way: one may have met a busy moment.
const PATIENCE: u8 = 2;

/// A first one that is so many times slower than an atomic one met no accident.
const FAR_SLOWER: u32 = 5;

/// For how many batches the slow way is left then.
const LONG_REST: u32 = 256;

/// For how many batches the slow way is left, at first and at most: each time twice as many.
const RESTS: (u32, u32) = (32, 1_024);

/// What is known of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Pace {
    /// Whether the last fast batch was fast.
    proved: bool,
    /// What a message of the last atomic batch took, in microseconds.
    atomic_us: Option<u32>,
    /// Whether any fast batch ever was.
    ever_fast: bool,
    /// Slow fast batches in a row.
    slow: u8,
    /// For how many batches fast ones are left alone.
    rest: u32,
    /// How long the last rest was that slowness made.
    rested: u32,
}

impl Pace {
    /// Whether a fast batch is worth it.
    pub(super) const fn prefers_fast(&self) -> bool {
        self.rest == 0
    }

    /// Whether the last fast batch was fast: the next one need not be small.
    pub(super) const fn is_proved(&self) -> bool {
        self.proved
    }

    /// Leaves fast batches alone for so many batches.
    pub(super) fn rest(&mut self, batches: u32) {
        self.rest = self.rest.max(batches);
    }

    /// A fast batch was stored, and took so long a message.
    pub(super) fn fast(&mut self, us: u32) {
        self.proved = us < SLOW_US || self.atomic_us.is_some_and(|atomic| us <= atomic);
        if self.proved {
            self.ever_fast = true;
            (self.slow, self.rested) = (0, 0);
            return;
        }
        self.slow = self.slow.saturating_add(1);
        let far = self.atomic_us.is_some_and(|atomic| us > atomic.saturating_mul(FAR_SLOWER));
        let first = if far && !self.ever_fast { LONG_REST } else { RESTS.0 };
        if self.slow >= PATIENCE || first == LONG_REST {
            self.rested = (self.rested * 2).clamp(first, RESTS.1);
            self.rest = self.rested;
        }
    }

    /// An atomic batch was stored, and took so long a message.
    pub(super) fn atomic(&mut self, us: u32) {
        self.atomic_us = Some(us);
        self.rest = self.rest.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_stays_slow_is_left_for_longer_each_time() {
        let mut pace = Pace::default();
        pace.fast(2_000);
        assert!(pace.prefers_fast() && !pace.is_proved(), "one may be an accident");
        let mut rests = Vec::new();
        for _ in 0..7 {
            pace.fast(2_000);
            let mut batches = 0;
            while !pace.prefers_fast() {
                pace.atomic(500);
                batches += 1;
            }
            rests.push(batches);
        }
        assert_eq!(rests, [32, 64, 128, 256, 512, 1_024, 1_024]);
        pace.fast(10);
        assert!(pace.prefers_fast() && pace.is_proved());
        pace.fast(2_000);
        assert!(pace.prefers_fast(), "what was learned is forgotten once it is not true any more");
    }

    #[test]
    fn a_way_that_is_many_times_slower_is_left_at_once() {
        let mut pace = Pace::default();
        pace.atomic(20);
        pace.fast(210);
        assert_eq!(pace.rest, LONG_REST);
        pace = Pace::default();
        pace.fast(8);
        pace.atomic(20);
        pace.fast(210);
        assert!(pace.prefers_fast(), "it was fast before: one may be an accident");
    }

    #[test]
    fn a_slow_network_makes_both_slow_and_fast_batches_stay() {
        let mut pace = Pace::default();
        pace.atomic(400);
        for _ in 0..5 {
            pace.fast(390);
            assert!(pace.prefers_fast() && pace.is_proved());
        }
    }
}
