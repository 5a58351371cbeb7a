//! Publishing within a bound, on threads of its own.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::time::{timeout, timeout_at};

use super::answering_server;
use crate::act::{Obstacle, Publication};
use crate::adapters::NatsClientAdapter;
use crate::adapters::nats_client::{ConnectError, FlushError, NewAdapterError};
use crate::config::NatsConfig;
use crate::store::{LedgerOutbox, Store};

/// How long a publisher may take to write down how far it got, and to leave the server.
const CLOSING: Duration = Duration::from_millis(500);

/// Publishes what waits, when a server answers at once. What takes longer than the bound is left where it stands: the
/// outbox's cursor and the stream tell the next publisher how far it got.
///
/// It runs on a thread of its own. So a caller may itself be inside an async runtime, a name that is not resolved for long
/// holds nothing up, and a panic is an obstacle like any other.
pub(super) fn publish(store: &Store, config: &NatsConfig, until: Instant) -> Result<Publication, Obstacle> {
    let outbox = store.outbox().map_err(problem)?;
    let config = config.clone();
    let (answer, answered) = mpsc::channel();
    let work = move || {
        // The receiver is gone when the bound has passed.
        let _ = answer.send(run(config, outbox, until));
    };
    thread::Builder::new().name("cim-keys-publisher".into()).spawn(work).map_err(problem)?;
    let left = until.saturating_duration_since(Instant::now()) + CLOSING;
    answered.recv_timeout(left).unwrap_or_else(|error| match error {
        mpsc::RecvTimeoutError::Timeout => Err(Obstacle::TimeUp),
        mpsc::RecvTimeoutError::Disconnected => Err(problem("the publisher ended unexpectedly")),
    })
}

fn run(config: NatsConfig, outbox: LedgerOutbox, until: Instant) -> Result<Publication, Obstacle> {
    // Without credentials.
    let servers = config.url.to_string();
    if answering_server(&config).is_none() {
        return Err(Obstacle::NoServer { servers });
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(problem)?;
    let answer = runtime.block_on(async {
        let adapter = NatsClientAdapter::with_ledger(config, Box::new(outbox)).map_err(|error| match error {
            NewAdapterError::Config(error) => {
                Obstacle::Invalid(format!("the configuration is not valid: {}", error.to_string().replace('\n', "; ")))
            }
            NewAdapterError::Queue(error) => problem(error),
        })?;
        let answer = timeout_at(until.into(), adapter.flush_queue()).await;
        let status = adapter.status().borrow().clone();
        // What is not published stays in the outbox: a publisher that does not end well loses nothing.
        let _ = timeout(CLOSING, adapter.shutdown()).await;
        match answer {
            Ok(Ok(_)) => Ok(Publication::Published {
                server: status.server.unwrap_or_default(),
                events: status.published,
                parked: status.parked,
            }),
            Ok(Err(FlushError::Connect(ConnectError::NoServer { .. } | ConnectError::Silent { .. }))) => {
                Err(Obstacle::NoServer { servers })
            }
            Ok(Err(error)) => Err(problem(error)),
            Err(_) => Err(Obstacle::TimeUp),
        }
    });
    // A database that is locked for long must not hold the answer up.
    runtime.shutdown_background();
    answer
}

fn problem(error: impl ToString) -> Obstacle {
    Obstacle::Problem(error.to_string())
}
