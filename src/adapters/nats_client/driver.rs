//! The task that runs the delivery machine: it carries out what the machine wants, and tells it what happened.

mod events;
mod outputs;
mod results;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event};
use cid::Cid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use self::events::connects;
use super::super::message::MessageWriter;
use super::super::object_store::Objects;
use super::compose::{Composed, Outcome};
use super::errors::{ConnectError, FlushError};
use super::keeper::{Keeper, Kept};
use super::reads::{Info, ReadError, Tail};
use super::send::Sent;
use super::status::{LastPublished, Status};
use crate::config::NatsConfig;
use crate::delivery::outbox::{Cursor, OutboxError, Source, StreamKey};
use crate::delivery::{Attempt, Head, Input, Machine, Plan, Rules};
use crate::time::Timestamp;

/// How often the outbox is looked at for what others appended to it, or asked to retry.
const LOOK: Duration = Duration::from_millis(500);

/// What the adapter asks of its driver.
pub(super) enum Command {
    Appended(u64),
    Connect(oneshot::Sender<Result<(), ConnectError>>),
    Flush(oneshot::Sender<Result<u64, FlushError>>),
    From(u64),
    Look,
    ShutDown(oneshot::Sender<()>),
}

/// What a task of the driver brings back.
enum Done {
    Connected(Box<Client>),
    NotConnected(ConnectError),
    Stream(Result<Info, ReadError>),
    Head(Result<Option<(u64, Head)>, ReadError>),
    Tail(Result<Tail, ReadError>),
    Composed(Attempt, Result<Outcome, OutboxError>),
    Blobs(Attempt, Result<(), String>),
    Progress(Attempt),
    /// With how long it took, in microseconds a message.
    Sent(Attempt, Sent, u32),
    Kept(Option<OutboxError>),
}

struct Flush {
    answer: oneshot::Sender<Result<u64, FlushError>>,
    published: u64,
    /// Until when a connection may be missing.
    patience: Instant,
    /// How many problems there had been when it began.
    problems: u64,
    /// And how many attempts to connect had failed.
    failed_attempts: u64,
}

pub(super) struct Driver {
    config: NatsConfig,
    keeper: Keeper,
    source: Source,
    machine: Machine,
    writer: Arc<MessageWriter>,
    status: watch::Sender<Status>,
    client: Option<Client>,
    connects: u64,
    key: StreamKey,
    objects: Option<Arc<Objects>>,
    /// The subject that core mode publishes to in order to hear from the server.
    inbox: String,
    answered: Arc<Notify>,
    done: UnboundedSender<(u64, Done)>,
    events: UnboundedSender<Event>,
    /// What the server will not let this connection hear, where it refused the subscription that answers come to.
    unheard: Option<String>,
    /// Answers to older reads are not waited for.
    reads: u64,
    reading: Option<AbortHandle>,
    plan: Option<Plan>,
    batch: Option<Box<Composed>>,
    ahead: Option<JoinHandle<Option<Result<Outcome, OutboxError>>>>,
    /// The position and the event that the last batch ended with.
    before: Option<(u64, Cid)>,
    subjects: BTreeSet<String>,
    sending: Option<AbortHandle>,
    /// A cursor that is not written down yet.
    unkept: Option<Cursor>,
    /// When one was last.
    kept_at: Instant,
    keeping: Option<JoinHandle<Option<Result<(), OutboxError>>>>,
    wake: Option<Instant>,
    connecting: Vec<oneshot::Sender<Result<(), ConnectError>>>,
    flushes: Vec<Flush>,
    problems: u64,
    /// Whether the last problem is one that waiting alone may end.
    lasting: bool,
    last_connect_error: Option<ConnectError>,
    /// Attempts to connect that failed.
    failed_attempts: u64,
    /// Ends the pause before the next attempt.
    kick: Arc<Notify>,
    /// How many events the batch holds that is under way.
    sent: u64,
}

impl Driver {
    /// Starts a driver as a task of its own.
    pub(super) fn spawn(
        config: NatsConfig,
        keeper: Keeper,
        source: Source,
        status: watch::Sender<Status>,
    ) -> UnboundedSender<Command> {
        let (commands, receiver) = unbounded_channel();
        tokio::spawn(async move {
            let (done, finished) = unbounded_channel();
            let (events, happened) = unbounded_channel();
            let rules =
                Rules { max_events: config.publish_batch.into(), max_retries: config.max_retries, ..Rules::default() };
            let driver = Self {
                machine: Machine::new(rules, 0, BTreeSet::new(), BTreeSet::new()),
                writer: Arc::new(MessageWriter::new(&config, &source)),
                client: None,
                connects: 0,
                key: core_stream(),
                objects: None,
                inbox: String::new(),
                answered: Arc::new(Notify::new()),
                done,
                events,
                unheard: None,
                reads: 0,
                reading: None,
                plan: None,
                batch: None,
                ahead: None,
                before: None,
                subjects: BTreeSet::new(),
                sending: None,
                unkept: None,
                kept_at: Instant::now(),
                keeping: None,
                wake: None,
                connecting: Vec::new(),
                flushes: Vec::new(),
                problems: 0,
                lasting: false,
                last_connect_error: None,
                failed_attempts: 0,
                kick: Arc::new(Notify::new()),
                sent: 0,
                config,
                keeper,
                source,
                status,
            };
            driver.run(receiver, finished, happened).await;
        });
        commands
    }

    async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        mut finished: UnboundedReceiver<(u64, Done)>,
        mut happened: UnboundedReceiver<Event>,
    ) {
        if self.config.enabled {
            self.start_connecting();
        }
        self.look().await;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.wake.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                biased;
                Some(event) = happened.recv() => self.client_event(event).await,
                Some((generation, done)) = finished.recv() => self.task_done(generation, done).await,
                command = commands.recv() => match command {
                    Some(Command::ShutDown(answer)) => {
                        self.shut_down().await;
                        let _ = answer.send(());
                        return;
                    }
                    // Every handle is gone: nobody can wait for anything any more.
                    None => return self.shut_down().await,
                    Some(command) => self.command(command).await,
                },
                _ = looks.tick() => self.look().await,
                () = tokio::time::sleep_until(wake) => {
                    self.wake = None;
                    self.give(Input::Tick).await;
                }
            }
            if !self.flushes.is_empty() && self.machine.is_drained() {
                // Whoever hears that all is published finds the outbox empty.
                self.keep_cursor().await;
                self.kept().await;
            }
            self.answer_flushes();
        }
    }

    async fn shut_down(&mut self) {
        for task in [self.reading.take(), self.sending.take()].into_iter().flatten() {
            task.abort();
        }
        if let Some(ahead) = self.ahead.take() {
            ahead.abort();
        }
        self.keep_cursor().await;
        self.kept().await;
        for flush in self.flushes.drain(..) {
            let _ = flush.answer.send(Err(ConnectError::ShutDown.into()));
        }
        for waiting in self.connecting.drain(..) {
            let _ = waiting.send(Err(ConnectError::ShutDown));
        }
        if let Some(client) = self.client.take() {
            // Ends the client's own task too; what it still held is doubt for the next publisher.
            let _ = client.drain().await;
        }
        self.keeper.close().await;
        self.status.send_modify(|status| {
            status.connected = false;
            status.state = "shut down";
        });
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Appended(end) => self.give(Input::Appended { end }).await,
            Command::Look => self.look().await,
            Command::From(position) => self.give(Input::From { position }).await,
            Command::Connect(answer) => {
                if !self.config.enabled {
                    let _ = answer.send(Err(ConnectError::Disabled));
                } else if self.is_connected() {
                    let _ = answer.send(Ok(()));
                    self.give(Input::Resume).await;
                } else {
                    self.connecting.push(answer);
                    self.kick.notify_one();
                }
            }
            Command::Flush(answer) => {
                if !self.config.enabled {
                    let _ = answer.send(Err(ConnectError::Disabled.into()));
                    return;
                }
                self.look().await;
                self.give(Input::Resume).await;
                self.kick.notify_one();
                let patience = Instant::now() + self.config.connection_timeout();
                let published = self.status.borrow().published;
                let (problems, failed_attempts) = (self.problems, self.failed_attempts);
                self.flushes.push(Flush { answer, published, patience, problems, failed_attempts });
            }
            Command::ShutDown(_) => {}
        }
    }

    fn is_connected(&self) -> bool {
        self.status.borrow().connected
    }

    /// Looks at the outbox: others may have appended to it, or asked for another try.
    async fn look(&mut self) {
        let seen = self.keeper.with(|kept| {
            let waiting = match &*kept {
                Kept::Queue(queue) => Some(queue.waiting()),
                Kept::Ledger(_) => None,
            };
            let outbox = kept.outbox();
            Ok::<_, OutboxError>((outbox.end()?, outbox.retries()?, outbox.parked()?, waiting))
        });
        match seen.await {
            Some(Ok((end, retries, parked, waiting))) => {
                let position = self.machine.position();
                let aside = parked.iter().filter(|parked| parked.position > position).count() as u64;
                let parked = parked.len() as u64;
                self.status.send_if_modified(|status| {
                    let behind = end.saturating_sub(position + aside);
                    let queued = waiting.unwrap_or(behind + retries.len() as u64);
                    let changed = (status.queued, status.parked) != (queued, parked);
                    (status.queued, status.parked) = (queued, parked);
                    changed
                });
                if end > self.machine.end() {
                    self.give(Input::Appended { end }).await;
                }
                if !retries.is_empty() {
                    self.give(Input::Retry { positions: retries }).await;
                }
            }
            Some(Err(error)) => self.give(Input::OutboxFailed { reason: error.to_string() }).await,
            None => {}
        }
        // A reconnect that nobody told of, because too much happened at once.
        let connects = self.client.as_ref().map_or(0, connects);
        if connects > self.connects {
            self.client_event(Event::Disconnected).await;
            self.client_event(Event::Connected).await;
        }
    }

    /// Keeps the status up to date.
    pub(super) fn tell(&mut self, before: u64, acked: bool) {
        let (position, end, state) = (self.machine.position(), self.machine.end(), self.machine.state());
        let (parked, sent) = (self.machine.parked().count() as u64, self.sent);
        self.status.send_if_modified(|status| {
            let mut changed = status.state != state;
            status.state = state;
            if position != before && position > 0 {
                status.last_published = Some(LastPublished { position, at: Timestamp::now() });
                changed = true;
            }
            if acked {
                status.published += sent;
                status.queued = end.saturating_sub(position);
                status.parked = parked;
                status.last_error = None;
                changed = true;
            }
            changed
        });
    }

    /// Why there is no connection, if an attempt failed since a flush began and none has ever succeeded.
    fn failed_to_connect(&self, flush: &Flush) -> Option<ConnectError> {
        let failed = self.client.is_none() && self.failed_attempts > flush.failed_attempts;
        self.last_connect_error.clone().filter(|_| failed)
    }

    /// Answers those who wait for the outbox to be empty, or for the server to fail.
    fn answer_flushes(&mut self) {
        let flushes = std::mem::take(&mut self.flushes);
        for flush in flushes {
            let published = self.status.borrow().published - flush.published;
            let problem = || self.status.borrow().last_error.clone().unwrap_or_default();
            let lasting = |flush: &Flush| self.lasting && self.problems > flush.problems;
            let result = if let Some(stop) = self.machine.stopped() {
                Err(stop.clone().into())
            } else if self.machine.is_drained() || self.machine.is_behind() {
                Ok(published)
            } else if let Some(error) = self.failed_to_connect(&flush) {
                Err(error.into())
            } else if !self.is_connected() && self.client.is_some() && Instant::now() > flush.patience {
                let servers = self.config.url.to_string();
                Err(ConnectError::NoServer { servers, problem: problem() }.into())
            } else if self.machine.is_waiting() && (lasting(&flush) || self.machine.failures() > 4) {
                Err(FlushError::Refused(problem()))
            } else {
                self.flushes.push(flush);
                continue;
            };
            let _ = flush.answer.send(result);
        }
    }
}

/// What stands for the stream where there is none.
fn core_stream() -> StreamKey {
    StreamKey { account: String::new(), stream: "(core)".into(), created: String::new() }
}
