//! Publishing after an act: what waits in the outbox goes to the configured servers, within a few seconds or not at all.
//!
//! Every act ends with [`Publisher::wake`], and its answer is data that a front end renders. In order:
//!
//! 1. Nothing waits: nothing happens.
//! 2. A [`sync`](running_sync) runs on the same ledger: it publishes, and the act waits until the outbox's cursor has
//!    passed what was recorded. No second publisher starts.
//! 3. No server is named (`nats.url` is set in no layer), or publishing is off: nothing is tried. What listens at the
//!    built-in default address may be any program.
//! 4. A named server is asked whether it answers, and takes what waits.
//!
//! All of it takes at most [`BOUND`], and half a second to close. Nothing here is an error, and nothing panics: what is
//! recorded is recorded, and an [`Obstacle`] says why it waits.

mod probe;
mod sync_lock;

#[cfg(not(feature = "nats-client"))]
#[path = "publishing/disabled.rs"]
mod way;
#[cfg(feature = "nats-client")]
#[path = "publishing/enabled.rs"]
mod way;

use std::thread;
use std::time::{Duration, Instant};

pub use probe::answering_server;
pub use sync_lock::{SyncLock, SyncLockError, running_sync};

use super::queue::{self, QueueError};
use crate::act::{Obstacle, Publication, Publisher, RunningSync};
use crate::config::Resolved;
use crate::store::Store;

/// How long an act waits for its publication. What is not published then is left to `sync`.
pub const BOUND: Duration = Duration::from_secs(5);

/// How long an act waits for a running `sync` that has no connection.
const UNCONNECTED: Duration = Duration::from_millis(600);

/// How often the progress of a running `sync` is read.
const LOOK: Duration = Duration::from_millis(25);

/// What the configuration alone puts in the way of publishing after an act; `None` where a server is tried.
#[must_use]
pub fn obstacle_of(configuration: &Resolved) -> Option<Obstacle> {
    let nats = &configuration.config.nats;
    match configuration.named_servers() {
        _ if !nats.enabled => Some(Obstacle::Disabled),
        Some(_) => None,
        None if nats.air_gapped => Some(Obstacle::AirGapped),
        None => Some(Obstacle::NotConfigured),
    }
}

/// The publisher of a ledger's outbox.
pub struct LedgerPublisher<'a> {
    store: &'a Store,
    configuration: Result<Resolved, String>,
}

impl<'a> LedgerPublisher<'a> {
    /// A publisher of this ledger or mirror. A configuration that can't be used is given as its
    /// problem, a sentence: an act does not fail for it.
    #[must_use]
    pub const fn new(store: &'a Store, configuration: Result<Resolved, String>) -> Self {
        Self { store, configuration }
    }

    fn publish(&self, configuration: &Resolved) -> Result<Publication, QueueError> {
        let until = Instant::now() + BOUND;
        let stream = queue::stream(&configuration.config.nats);
        if let Some(sync) = running_sync(self.store)
            && let Some(publication) = self.wait_for(sync, stream, until)?
        {
            return Ok(publication);
        }
        if self.waiting(stream)? == 0 {
            return Ok(Publication::Nothing);
        }
        let obstacle = match self.attempt(configuration, until) {
            Ok(publication) => return Ok(publication),
            Err(obstacle) => obstacle,
        };
        Ok(match self.waiting(stream)? {
            // Another process has published them meanwhile.
            0 => Publication::Nothing,
            events => Publication::Waiting { events: Some(events), obstacle },
        })
    }

    fn waiting(&self, stream: &str) -> Result<u64, QueueError> {
        Ok(queue::standing(self.store, stream)?.queued)
    }

    fn attempt(&self, configuration: &Resolved, until: Instant) -> Result<Publication, Obstacle> {
        if let Some(obstacle) = obstacle_of(configuration) {
            return Err(obstacle);
        }
        let nats = &configuration.config.nats;
        way::publish(self.store, nats, until).map_err(|obstacle| match obstacle {
            // A machine behind an air gap is expected to have no server.
            Obstacle::NoServer { .. } if nats.air_gapped => Obstacle::AirGapped,
            obstacle => obstacle,
        })
    }

    /// Waits until a running `sync` has published everything up to the present end of the log. `None` when it has ended.
    fn wait_for(
        &self,
        mut sync: RunningSync,
        configured: &str,
        until: Instant,
    ) -> Result<Option<Publication>, QueueError> {
        let began = Instant::now();
        let stream = sync.stream.clone().unwrap_or_else(|| configured.to_owned());
        let outbox = self.store.outbox_read_only()?;
        let before = queue::standing_in(&outbox, &stream)?;
        let end = before.end;
        loop {
            let now = queue::standing_in(&outbox, &stream)?;
            if now.standing.queued == 0 || now.standing.last_published.is_some_and(|position| position >= end) {
                let (events, parked) = (before.standing.queued, now.standing.parked);
                return Ok(Some(Publication::BySync { sync, events, parked }));
            }
            match running_sync(self.store) {
                Some(still) => sync = still,
                None => return Ok(None),
            }
            let unconnected = sync.server.is_none() && began.elapsed() > UNCONNECTED;
            if unconnected || Instant::now() >= until {
                let events = Some(now.standing.queued);
                return Ok(Some(Publication::Waiting { events, obstacle: Obstacle::SyncRunning(sync) }));
            }
            thread::sleep(LOOK);
        }
    }
}

impl Publisher for LedgerPublisher<'_> {
    fn wake(&mut self) -> Publication {
        let waiting = |obstacle| Publication::Waiting { events: None, obstacle };
        match &self.configuration {
            Err(problem) => waiting(Obstacle::Invalid(problem.clone())),
            Ok(configuration) => {
                self.publish(configuration).unwrap_or_else(|error| waiting(Obstacle::Problem(error.to_string())))
            }
        }
    }
}

impl std::fmt::Debug for LedgerPublisher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LedgerPublisher").field("ledger", &self.store.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
