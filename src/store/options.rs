//! Where a ledger is and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Timestamp;

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where a ledger is and how it is opened.
#[derive(Clone)]
pub struct StoreOptions {
    pub(super) path: PathBuf,
    pub(super) tokens: PathBuf,
    pub(super) wait: Duration,
    pub(super) clock: Clock,
}

impl StoreOptions {
    /// The database file, and the folder outside the ledger where this machine keeps its rights to write.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, tokens: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), tokens: tokens.into(), wait: Duration::from_secs(5), clock: Arc::new(Timestamp::now) }
    }

    /// How long a write waits for another process that writes; 5 seconds when nothing is said.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Where the time of events comes from; this machine's clock when nothing is said.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}
