//! Turns for writing within a process.
//!
//! SQLite lets whoever asks at the right moment write next, so that one who appends without a pause can keep a publisher
//! from ever moving its cursor. Here each waits for its turn, in the order in which they came.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Tickets {
    next: u64,
    serving: u64,
}

/// Gives turns.
#[derive(Default)]
pub(super) struct Gate {
    tickets: Mutex<Tickets>,
    changed: Condvar,
}

impl Gate {
    /// Waits for a turn, which lasts until the answer is dropped.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut tickets = self.tickets();
        let mine = tickets.next;
        tickets.next += 1;
        while tickets.serving != mine {
            tickets = self.changed.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
        Turn(self)
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One turn.
pub(super) struct Turn<'a>(&'a Gate);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.tickets().serving += 1;
        self.0.changed.notify_all();
    }
}
