//! Publishing at the end of an act: the port, and its answer as data.

use serde::{Deserialize, Serialize};

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
        /// How many; `None` where nobody looked, or the outbox could not be read.
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
    /// Whether the configuration asks for events to wait. A user knows that, and need not hear it after every act.
    #[must_use]
    pub const fn is_intended(&self) -> bool {
        matches!(self, Self::NotConfigured | Self::AirGapped | Self::Disabled)
    }
}

/// Publishes nothing: what is recorded waits until something else publishes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPublisher;

impl Publisher for NoPublisher {
    fn wake(&mut self) -> Publication {
        Publication::Waiting { events: None, obstacle: Obstacle::NotConfigured }
    }
}

impl<P: Publisher + ?Sized> Publisher for &mut P {
    fn wake(&mut self) -> Publication {
        (**self).wake()
    }
}

/// What is known of a `sync` that runs on a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunningSync {
    /// The process, where it could be read.
    pub process: Option<u32>,
    /// The name of the stream, as the outbox's cursors have it.
    pub stream: Option<String>,
    /// The server that it is connected to, without credentials; `None` while it has no connection.
    pub server: Option<String>,
}

impl RunningSync {
    /// The process, as messages have it behind a noun: " (process 17)". Empty where it could not be read.
    #[must_use]
    pub fn in_brackets(&self) -> String {
        self.process.map(|process| format!(" (process {process})")).unwrap_or_default()
    }
}
