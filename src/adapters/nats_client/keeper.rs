//! The outbox, shared between who appends and who publishes. Its methods block, so they run on threads that may.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::delivery::outbox::{Outbox, OutboxError};
use crate::queue::FileQueue;

/// The outbox of an adapter; gone after a shutdown.
#[derive(Clone)]
pub(super) struct Keeper(Arc<Mutex<Option<Kept>>>);

pub(super) enum Kept {
    Queue(Box<FileQueue>),
    Ledger(Box<dyn Outbox>),
}

impl Kept {
    pub(super) fn outbox(&self) -> &dyn Outbox {
        match self {
            Self::Queue(queue) => &**queue,
            Self::Ledger(outbox) => &**outbox,
        }
    }

    pub(super) fn outbox_mut(&mut self) -> &mut dyn Outbox {
        match self {
            Self::Queue(queue) => &mut **queue,
            Self::Ledger(outbox) => &mut **outbox,
        }
    }
}

impl Keeper {
    pub(super) fn new(kept: Kept) -> Self {
        Self(Arc::new(Mutex::new(Some(kept))))
    }

    /// Waits for the outbox; for threads that may block. An outbox judges for itself whether a failure left it usable, so
    /// a panic of another holder changes nothing.
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the outbox on a thread that may block. `None` after a shutdown.
    pub(super) async fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Kept) -> T + Send + 'static) -> Option<T> {
        let keeper = self.clone();
        let done = tokio::task::spawn_blocking(move || keeper.lock().as_mut().map(act)).await;
        // The blocking pool gives a task up only when its runtime ends.
        done.ok().flatten()
    }

    /// Closes the outbox: whoever comes later finds none.
    pub(super) async fn close(&self) {
        let keeper = self.clone();
        let _ = tokio::task::spawn_blocking(move || keeper.lock().take()).await;
    }
}

/// The positions of the parked events.
pub(super) fn parked(outbox: &dyn Outbox) -> Result<Vec<u64>, OutboxError> {
    Ok(outbox.parked()?.iter().map(|parked| parked.position).collect())
}
