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
pub use sync_lock::{RunningSync, SyncLock, SyncLockError, running_sync};

use super::queue::{self, QueueError};
use crate::config::Resolved;
use crate::store::Store;

/// How long an act waits for its publication. What is not published then is left to `sync`.
pub const BOUND: Duration = Duration::from_secs(5);

/// How long an act waits for a running `sync` that has no connection.
const UNCONNECTED: Duration = Duration::from_millis(600);

/// How often the progress of a running `sync` is read.
const LOOK: Duration = Duration::from_millis(25);

/// Publishes what acts have recorded.
///
/// A publisher persists nothing of its own: what waits is in the outbox, and how far it got is in the outbox's cursor. An
/// implementation is bounded in time, and never fails: the caller's act is recorded already. No caller retries; the next
/// act or a `sync` does.
pub trait Publisher {
    /// Publishes what waits, as far as possible within the bound.
    fn wake(&mut self) -> Publication;
}

/// What became of the events that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Publication {
    /// No event waited.
    Nothing,
    /// The stream has every event that waited.
    Published {
        /// The server, without credentials.
        server: String,
        /// How many events were published.
        events: u64,
        /// How many events of the outbox are parked: a server refused them for what they are.
        parked: u64,
    },
    /// A running `sync` has published every event that waited.
    BySync {
        /// The `sync`.
        sync: RunningSync,
        /// How many events waited; 0 where it was quicker than the first look.
        events: u64,
        /// How many events of the outbox are parked.
        parked: u64,
    },
    /// Events wait in the outbox.
    Waiting {
        /// How many; `None` where the outbox could not be read.
        events: Option<u64>,
        /// Why.
        obstacle: Obstacle,
    },
}

/// Why events wait.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// No layer of the configuration names a server (`nats.url`).
    NotConfigured,
    /// The ledger is behind an air gap (`nats.air_gapped`), and no server on this machine is named or answers.
    AirGapped,
    /// Publishing is off (`nats.enabled = false`).
    Disabled,
    /// This build can't publish: it lacks the feature `nats-client`.
    NoPublisher,
    /// None of the named servers answers.
    NoServer {
        /// The addresses, without credentials.
        servers: String,
    },
    /// The bound passed before everything was published.
    TimeUp,
    /// A `sync` runs, and had not published the events when the bound passed.
    SyncRunning(RunningSync),
    /// The configuration can't be used: what is wrong with it, as a sentence.
    Invalid(String),
    /// Something else failed: the server refuses the credentials, the stream can't be used, the outbox can't be written.
    Problem(String),
}

impl Obstacle {
    /// What the configuration alone puts in the way of publishing after an act; `None` where a server is tried.
    #[must_use]
    pub fn of(configuration: &Resolved) -> Option<Self> {
        let nats = &configuration.config.nats;
        match configuration.named_servers() {
            _ if !nats.enabled => Some(Self::Disabled),
            Some(_) => None,
            None if nats.air_gapped => Some(Self::AirGapped),
            None => Some(Self::NotConfigured),
        }
    }

    /// Whether the configuration asks for events to wait. A user knows that, and need not hear it after every act.
    #[must_use]
    pub const fn is_intended(&self) -> bool {
        matches!(self, Self::NotConfigured | Self::AirGapped | Self::Disabled)
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
        if let Some(obstacle) = Obstacle::of(configuration) {
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
