//! The publisher: it keeps events in an outbox and brings them to a NATS server whenever one can be reached.
//!
//! ```no_run
//! # async fn example(event: cim_keys::events::KeyEvent) -> Result<(), Box<dyn std::error::Error>> {
//! use cim_keys::adapters::NatsClientAdapter;
//! use cim_keys::config::NatsConfig;
//!
//! let config = NatsConfig { url: "nats://localhost:4222".parse()?, ..NatsConfig::default() };
//! let publisher = NatsClientAdapter::new(config, "events.jsonl")?;
//! publisher.publish_event(&event).await?; // It is on the disk now; publishing goes on in the background.
//! publisher.flush_queue().await?; // Everything is in the stream now, or an error says why not.
//! publisher.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! How events come to be there exactly once and in order is the business of [`delivery`](crate::delivery); this module
//! runs that protocol against real servers. Nothing is ever queued inside the NATS client.
//!
//! # Permissions
//!
//! The user of the credentials needs to
//! - publish to `{subject_prefix}.>` and `{head_subject}.>`,
//! - publish to `$JS.API.STREAM.INFO.{stream_name}` and `$JS.API.STREAM.MSG.GET.{stream_name}`, and to
//!   `$JS.API.STREAM.CREATE.{stream_name}` where the publisher is to make the stream,
//! - publish to `$O.{object_store_bucket}.>` and the API of the stream `OBJ_{object_store_bucket}`, where events may be
//!   larger than the server's `max_payload`,
//! - subscribe to `_INBOX.>`, or below the configured `inbox_prefix`.
//!
//! `$JS.API.STREAM.NAMES` is optional: with it, an error about the stream's subjects names the stream that has them.

mod compose;
pub(in crate::adapters) mod connect;
mod driver;
mod earlier;
mod errors;
mod keeper;
pub(in crate::adapters) mod reads;
pub mod restore;
mod send;
mod status;
mod successor;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cid::Cid;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{oneshot, watch};

pub use connect::log_in;
pub use errors::{ConnectError, FlushError, NewAdapterError, PublishError, QueueError};
pub use status::{LastPublished, Status};

use self::driver::{Command, Driver};
use self::keeper::{Keeper, Kept};
use crate::config::NatsConfig;
use crate::delivery::outbox::{Outbox, OutboxError, Parked, Source};
use crate::events::KeyEvent;
use crate::ipld_support::ContentAddressedEvent;
use crate::queue::FileQueue;

/// Publishes the events of one outbox. See the [module](self).
///
/// The background task begins with the first call inside a tokio runtime, and ends with [`shutdown`](Self::shutdown) or
/// when the adapter is dropped; what is not published then stays in the outbox.
pub struct NatsClientAdapter {
    config: NatsConfig,
    source: Source,
    keeper: Keeper,
    status: watch::Sender<Status>,
    commands: Mutex<Option<UnboundedSender<Command>>>,
}

impl NatsClientAdapter {
    /// A publisher with a file queue at this path; both are made where they are absent.
    ///
    /// # Errors
    /// See [`NewAdapterError`].
    pub fn new(config: NatsConfig, queue_path: impl AsRef<Path>) -> Result<Self, NewAdapterError> {
        config.validate()?;
        let queue = FileQueue::open(queue_path.as_ref())?;
        Ok(Self::with(config, Kept::Queue(Box::new(queue))))
    }

    /// A publisher of what a ledger records. Appending is the ledger's business; what it appends is noticed within half a
    /// second, or at once after [`load_queue`](Self::load_queue).
    ///
    /// # Errors
    /// See [`NewAdapterError`].
    pub fn with_ledger(config: NatsConfig, outbox: Box<dyn Outbox>) -> Result<Self, NewAdapterError> {
        config.validate()?;
        Ok(Self::with(config, Kept::Ledger(outbox)))
    }

    fn with(config: NatsConfig, kept: Kept) -> Self {
        let source = kept.outbox().source().clone();
        let status = Status { state: "not started", ..Status::default() };
        let adapter = Self {
            config,
            source,
            keeper: Keeper::new(kept),
            status: watch::Sender::new(status),
            commands: Mutex::new(None),
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            adapter.commands();
        }
        adapter
    }

    /// The way to the driver, which starts with the first use.
    fn commands(&self) -> UnboundedSender<Command> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let start =
            || Driver::spawn(self.config.clone(), self.keeper.clone(), self.source.clone(), self.status.clone());
        commands.get_or_insert_with(start).clone()
    }

    /// Under which source the events are published.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Waits for a connection: the one that there is, or the next attempt. After a [`Stop`](crate::delivery::Stop) this
    /// also makes the publisher try again. Without a call to this the publisher connects in the background all the same.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self) -> Result<(), ConnectError> {
        let (answer, connected) = oneshot::channel();
        let _ = self.commands().send(Command::Connect(answer));
        connected.await.unwrap_or(Err(ConnectError::ShutDown))
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.status.borrow().connected
    }

    /// How publishing goes: the state now, and a way to wait for its next change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Accepts an event. It is durable in the queue when this returns, and is published in the background.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_event(&self, event: &KeyEvent) -> Result<Cid, PublishError> {
        let accepted = self.publish_batch(std::slice::from_ref(event)).await?;
        accepted.first().copied().ok_or(PublishError::ShutDown)
    }

    /// Accepts events, all of them or none, with one write to the disk. An event that the queue has already is not queued
    /// again.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish_batch(&self, events: &[KeyEvent]) -> Result<Vec<Cid>, PublishError> {
        let addressed: Vec<_> = events.iter().cloned().map(ContentAddressedEvent::new).collect::<Result<_, _>>()?;
        let append = move |kept: &mut Kept| match kept {
            Kept::Ledger(_) => Err(PublishError::Ledger),
            Kept::Queue(queue) => {
                queue.append(&addressed)?;
                Ok((addressed.iter().map(|event| event.cid).collect::<Vec<_>>(), queue.end().map_err(append_error)?))
            }
        };
        let (cids, end) = self.keeper.with(append).await.ok_or(PublishError::ShutDown)??;
        let _ = self.commands().send(Command::Appended(end));
        Ok(cids)
    }

    /// How many events wait in the outbox. Parked ones do not wait.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn queue_size(&self) -> Result<usize, QueueError> {
        let position = self.status.borrow().last_published.map_or(0, |last| last.position);
        let waiting = move |kept: &mut Kept| match kept {
            Kept::Queue(queue) => Ok(queue.waiting()),
            Kept::Ledger(outbox) => {
                let parked = outbox.parked()?.iter().filter(|parked| parked.position > position).count() as u64;
                Ok(outbox.end()?.saturating_sub(position + parked) + outbox.retries()?.len() as u64)
            }
        };
        let waiting: u64 = self.keep(waiting).await?;
        Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
    }

    /// Waits until the outbox is empty, and returns how many events were published meanwhile; or fails with what is in the
    /// way. Events stay in the outbox then, and the publisher goes on trying in the background. After a
    /// [`Stop`](crate::delivery::Stop) this tries again first.
    ///
    /// # Errors
    /// See [`FlushError`].
    pub async fn flush_queue(&self) -> Result<u64, FlushError> {
        let (answer, flushed) = oneshot::channel();
        let _ = self.commands().send(Command::Flush(answer));
        flushed.await.unwrap_or(Err(FlushError::Connect(ConnectError::ShutDown)))
    }

    /// Looks at the outbox for what others have put there, tells the publisher, and returns how many events wait.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn load_queue(&self) -> Result<usize, QueueError> {
        let _ = self.commands().send(Command::Look);
        self.queue_size().await
    }

    /// The parked events: refused by the server for what they are, kept with the reason.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn parked(&self) -> Result<Vec<Parked>, QueueError> {
        self.keep(|kept| kept.outbox().parked()).await
    }

    /// Tries parked events again.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn retry(&self, positions: &[u64]) -> Result<(), QueueError> {
        let positions = positions.to_vec();
        self.keep(move |kept| positions.iter().try_for_each(|p| kept.outbox_mut().set_retry(*p, true))).await?;
        let _ = self.commands().send(Command::Look);
        Ok(())
    }

    /// Says at which position to go on, after a [`Stop`](crate::delivery::Stop) that asked for it.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn from(&self, position: u64) -> Result<(), QueueError> {
        let _ = self.commands().send(Command::From(position));
        Ok(())
    }

    /// Ends the publisher and closes the outbox. What is not published stays there. Calling it again does nothing.
    ///
    /// # Errors
    /// See [`QueueError`].
    pub async fn shutdown(&self) -> Result<(), QueueError> {
        let (answer, down) = oneshot::channel();
        let _ = self.commands().send(Command::ShutDown(answer));
        let _ = down.await;
        self.keeper.close().await;
        Ok(())
    }

    async fn keep<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Kept) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, QueueError> {
        Ok(self.keeper.with(act).await.ok_or(QueueError::ShutDown)??)
    }
}

fn append_error(error: OutboxError) -> PublishError {
    PublishError::Append(error.into())
}

impl std::fmt::Debug for NatsClientAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsClientAdapter")
            .field("url", &self.config.url)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
