//! What must be on the disk elsewhere before an append commits: secrets in custody, before the events that name them. It is
//! written while the append is, and waited for at the end.

use std::sync::{Arc, OnceLock};

/// What an append waits for before it commits.
#[derive(Debug, Clone)]
pub struct Prerequisite(Arc<OnceLock<bool>>);

/// The other end: whoever writes what an append waits for. Dropped unfulfilled, nothing is recorded.
#[derive(Debug)]
pub struct Fulfilment(Arc<OnceLock<bool>>);

impl Prerequisite {
    /// A prerequisite, and the means to fulfil it.
    #[must_use]
    pub fn new() -> (Fulfilment, Self) {
        let state = Arc::default();
        (Fulfilment(Arc::clone(&state)), Self(state))
    }

    /// Waits until it is known, and says whether it is fulfilled.
    pub(crate) fn wait(&self) -> bool {
        *self.0.wait()
    }
}

impl Fulfilment {
    /// It is on the disk.
    pub fn done(self) {
        let _ = self.0.set(true);
    }
}

impl Drop for Fulfilment {
    fn drop(&mut self) {
        let _ = self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_is_not_fulfilled() {
        let (fulfilment, prerequisite) = Prerequisite::new();
        let waiting = std::thread::spawn(move || (prerequisite.wait(), prerequisite.wait()));
        fulfilment.done();
        assert!(matches!(waiting.join(), Ok((true, true))));
        let (fulfilment, prerequisite) = Prerequisite::new();
        drop(fulfilment);
        assert!(!prerequisite.wait());
    }
}
