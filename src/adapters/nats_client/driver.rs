//! The task that runs the delivery machine: it carries out what the machine wants, and tells it what happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Event, ServerError};
use cid::Cid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use super::super::message::{EventObject, MessageWriter};
use super::super::object_store::Objects;
use super::compose::{Composed, Limits, Outcome, compose};
use super::connect::{connect, jitter, pause};
use super::errors::{ConnectError, FlushError};
use super::keeper::{Keeper, Kept, parked};
use super::reads::{Info, ReadError, Reader, Tail, context, is_under};
use super::send::{Sender, Sent};
use super::status::{LastPublished, Status};
use crate::config::NatsConfig;
use crate::delivery::outbox::{OutboxError, Source, StreamKey};
use crate::delivery::{
    Attempt, Denied, EventSeen, Head, HeadSeen, Input, Machine, Mode, Output, Plan, Refusal, Rules, StreamSeen,
    classify,
};
use crate::text::visible;
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
    Sent(Attempt, Sent),
    Kept(Option<OutboxError>),
}

struct Flush {
    answer: oneshot::Sender<Result<u64, FlushError>>,
    published: u64,
    /// Until when a connection may be missing.
    patience: Instant,
    /// How many problems there had been when it began.
    problems: u64,
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
    /// Answers to older reads are not waited for.
    reads: u64,
    reading: Option<AbortHandle>,
    plan: Option<Plan>,
    batch: Option<Box<Composed>>,
    ahead: Option<JoinHandle<Option<Result<Outcome, OutboxError>>>>,
    subjects: BTreeSet<String>,
    sending: Option<AbortHandle>,
    keeping: Option<JoinHandle<Option<Result<(), OutboxError>>>>,
    wake: Option<Instant>,
    connecting: Vec<oneshot::Sender<Result<(), ConnectError>>>,
    flushes: Vec<Flush>,
    problems: u64,
    /// Whether the last problem is one that waiting alone may end.
    lasting: bool,
    last_connect_error: Option<ConnectError>,
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
                key: StreamKey { account: String::new(), stream: "(core)".into(), created: String::new() },
                objects: None,
                inbox: String::new(),
                answered: Arc::new(Notify::new()),
                done,
                events,
                reads: 0,
                reading: None,
                plan: None,
                batch: None,
                ahead: None,
                subjects: BTreeSet::new(),
                sending: None,
                keeping: None,
                wake: None,
                connecting: Vec::new(),
                flushes: Vec::new(),
                problems: 0,
                lasting: false,
                last_connect_error: None,
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
                } else if let Some(error) = self.last_connect_error.clone().filter(|_| self.client.is_none()) {
                    let _ = answer.send(Err(error));
                } else {
                    self.connecting.push(answer);
                }
            }
            Command::Flush(answer) => {
                if !self.config.enabled {
                    let _ = answer.send(Err(ConnectError::Disabled.into()));
                    return;
                }
                self.look().await;
                self.give(Input::Resume).await;
                let patience = Instant::now() + self.config.connection_timeout();
                let published = self.status.borrow().published;
                self.flushes.push(Flush { answer, published, patience, problems: self.problems });
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
            Ok::<_, OutboxError>((outbox.end()?, outbox.retries()?, outbox.parked()?.len() as u64, waiting))
        });
        match seen.await {
            Some(Ok((end, retries, parked, waiting))) => {
                let position = self.machine.position();
                self.status.send_if_modified(|status| {
                    let queued = waiting.unwrap_or_else(|| end.saturating_sub(position) + retries.len() as u64);
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

    fn start_connecting(&self) {
        let (config, events, done) = (self.config.clone(), self.events.clone(), self.done.clone());
        tokio::spawn(async move {
            for attempt in 1.. {
                let result = connect(&config, events.clone()).await;
                let (done_with, outcome) = match result {
                    Ok(client) => (true, Done::Connected(Box::new(client))),
                    Err(error) => (false, Done::NotConnected(error)),
                };
                if done.send((0, outcome)).is_err() || done_with {
                    return;
                }
                tokio::time::sleep(pause(attempt, Duration::from_millis(250), Duration::from_secs(10))).await;
            }
        });
    }

    async fn client_event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                let Some(client) = &self.client else { return };
                let now = connects(client);
                if now > self.connects || !self.is_connected() {
                    self.connects = now;
                    self.connected().await;
                }
            }
            Event::Disconnected | Event::Closed => {
                self.status.send_modify(|status| status.connected = false);
                let patience = Instant::now() + self.config.connection_timeout();
                self.flushes.iter_mut().for_each(|flush| flush.patience = flush.patience.max(patience));
                self.give(Input::Disconnected).await;
            }
            Event::ServerError(error) => {
                let text = match &error {
                    ServerError::Other(text) => visible(text).into_owned(),
                    other => other.to_string(),
                };
                self.server_error(&text).await;
            }
            Event::ClientError(error) => {
                let text = visible(&error.to_string()).into_owned();
                self.status.send_modify(|status| status.last_error = Some(text));
            }
            _ => {}
        }
    }

    async fn connected(&mut self) {
        let server = self.client.as_ref().map(|client| {
            let info = client.server_info();
            let name = if info.server_name.is_empty() { info.server_id } else { info.server_name };
            format!("{} ({}:{}, {})", visible(&name), visible(&info.host), info.port, visible(&info.version))
        });
        self.status.send_modify(|status| {
            status.connected = true;
            status.server = server;
            status.last_error = None;
        });
        for waiting in self.connecting.drain(..) {
            let _ = waiting.send(Ok(()));
        }
        self.give(Input::Connected).await;
    }

    /// The server said that something is not allowed, or not well.
    async fn server_error(&mut self, text: &str) {
        tracing::warn!(error = text, "the server objects");
        let subject = text.split('"').nth(1).unwrap_or_default();
        let lower = text.to_lowercase();
        let denied = if lower.contains("permissions violation for publish") {
            if subject == self.inbox {
                self.answered.notify_one();
                return;
            }
            if subject.ends_with(".STREAM.NAMES") {
                // It only makes an explanation better.
                return;
            }
            if is_under(subject, &self.config.head_subject) {
                Denied::Head(subject.to_owned())
            } else if is_under(subject, &self.config.subject_prefix) {
                if !self.subjects.contains(subject) {
                    // Said of a batch that is no longer under way.
                    return;
                }
                Denied::Event(subject.to_owned())
            } else {
                Denied::Other(format!("publish to {subject}"))
            }
        } else if lower.contains("permissions violation for subscription") {
            Denied::Other(format!("subscribe to {subject}, where answers come (or set nats.inbox_prefix)"))
        } else {
            self.status.send_modify(|status| status.last_error = Some(text.to_owned()));
            return;
        };
        self.problem(text.to_owned(), false);
        self.give(Input::Denied(denied)).await;
    }

    /// Remembers what went wrong. A lasting one is not expected to pass within a moment.
    fn problem(&mut self, text: String, lasting: bool) {
        tracing::debug!(problem = text, "publishing");
        self.problems += 1;
        self.lasting = lasting;
        self.status.send_modify(|status| status.last_error = Some(text));
    }

    async fn task_done(&mut self, generation: u64, done: Done) {
        let is_read = matches!(done, Done::Stream(_) | Done::Head(_) | Done::Tail(_));
        if is_read && generation != self.reads {
            return;
        }
        let input = match done {
            Done::Connected(client) => {
                self.objects = Some(Arc::new(Objects::new(context(&client, &self.config), &self.config)));
                self.inbox = client.new_inbox();
                self.connects = connects(&client);
                self.client = Some(*client);
                self.last_connect_error = None;
                return self.connected().await;
            }
            Done::NotConnected(error) => {
                self.problem(error.to_string(), true);
                for waiting in self.connecting.drain(..) {
                    let _ = waiting.send(Err(error.clone()));
                }
                self.last_connect_error = Some(error);
                return;
            }
            Done::Stream(Ok(info)) => {
                for warning in &info.warnings {
                    tracing::warn!(stream = info.key.stream, warning, "the stream is unusual");
                }
                let (mode, key) = (info.mode, info.key.clone());
                self.key = info.key;
                self.stream_seen(mode, key).await
            }
            Done::Stream(Err(error)) | Done::Head(Err(error)) | Done::Tail(Err(error)) => self.read_failed(error),
            Done::Head(Ok(None)) => Some(Input::Head(None)),
            Done::Head(Ok(Some((sequence, head)))) => {
                let ours = self.ours(vec![head.position]).await;
                ours.map(|ours| Input::Head(Some(HeadSeen { sequence, head, ours: ours.first().copied().flatten() })))
            }
            Done::Tail(Ok(tail)) => self.tail_seen(tail).await,
            Done::Composed(attempt, outcome) => self.composed(attempt, outcome),
            Done::Blobs(attempt, Ok(())) => Some(Input::BlobsStored { attempt }),
            Done::Blobs(attempt, Err(reason)) => {
                self.problem(reason.clone(), true);
                Some(Input::BlobFailed { attempt, reason })
            }
            Done::Progress(attempt) => Some(Input::Progress { attempt }),
            Done::Sent(attempt, Sent::Stored { sequence }) => Some(Input::Acked { attempt, sequence }),
            Done::Sent(attempt, Sent::Refused { code, reason }) => {
                let lasting = matches!(classify(code), Refusal::Full | Refusal::Busy | Refusal::Unknown);
                self.problem(reason.clone(), lasting);
                Some(Input::Refused { attempt, code, reason })
            }
            Done::Kept(None) => None,
            Done::Kept(Some(error)) => Some(Input::OutboxFailed { reason: error.to_string() }),
        };
        if let Some(input) = input {
            self.give(input).await;
        }
    }

    fn read_failed(&mut self, error: ReadError) -> Option<Input> {
        Some(match error {
            ReadError::Failed(reason) => {
                self.problem(reason.clone(), true);
                Input::ReadFailed { reason }
            }
            ReadError::Refused(problem) => Input::StreamRefused { problem },
            ReadError::NoHead { sequence, problem } => Input::HeadUnreadable { sequence, problem },
        })
    }

    /// Does something with the outbox. `None` where that failed; the machine knows then, or the outbox is closed.
    async fn ask<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Kept) -> Result<T, OutboxError> + Send + 'static,
    ) -> Option<T> {
        self.kept().await;
        match self.keeper.with(act).await? {
            Ok(value) => Some(value),
            Err(error) => {
                let _ = self.done.send((0, Done::Kept(Some(error))));
                None
            }
        }
    }

    /// Waits until what was to be remembered is on the disk.
    async fn kept(&mut self) {
        if let Some(keeping) = self.keeping.take()
            && let Ok(Some(Err(error))) = keeping.await
        {
            let _ = self.done.send((0, Done::Kept(Some(error))));
        }
    }

    async fn stream_seen(&mut self, mode: Mode, key: StreamKey) -> Option<Input> {
        let known = self.ask(move |kept| {
            let outbox = kept.outbox();
            Ok((outbox.cursor(&key)?, parked(outbox)?))
        });
        known.await.map(|(known, parked)| Input::Stream(StreamSeen { mode, known, parked }))
    }

    /// What the outbox has at these positions.
    async fn ours(&mut self, positions: Vec<u64>) -> Option<Vec<Option<Cid>>> {
        self.ask(move |kept| positions.iter().map(|position| kept.outbox().cid_at(*position)).collect()).await
    }

    async fn tail_seen(&mut self, tail: Tail) -> Option<Input> {
        let ours = self.ours(tail.events.iter().map(|event| event.position).collect()).await?;
        let events = tail.events.iter().zip(ours);
        Some(Input::Events {
            first: tail.first,
            through: tail.through,
            probed: tail.probed,
            newer_head: tail.newer_head,
            events: events
                .map(|(event, ours)| {
                    let (sequence, position, cid) = (event.sequence, event.position, event.cid);
                    EventSeen { sequence, position, cid, ours }
                })
                .collect(),
        })
    }

    fn composed(&mut self, attempt: Attempt, outcome: Result<Outcome, OutboxError>) -> Option<Input> {
        if self.plan.as_ref().is_none_or(|plan| plan.attempt != attempt) {
            return None;
        }
        Some(match outcome {
            Ok(Outcome::Ready(batch)) => {
                let (through, events) = (batch.through, batch.events.len());
                let blobs = batch.events.iter().any(|event| event.object.is_some());
                self.subjects = batch.events.iter().map(|event| event.subject.clone()).collect();
                self.batch = Some(batch);
                Input::Composed { attempt, through, events, blobs }
            }
            Ok(Outcome::Missing { first }) => Input::Missing { attempt, first },
            Ok(Outcome::Unsendable { reason }) => {
                self.problem(reason.clone(), false);
                Input::Unsendable { attempt, reason }
            }
            Err(error) => Input::OutboxFailed { reason: error.to_string() },
        })
    }

    /// Gives the machine an input, and carries out what it wants.
    async fn give(&mut self, input: Input) {
        let before = self.machine.position();
        let acked = matches!(input, Input::Acked { .. });
        let outputs = self.machine.handle(input);
        self.tell(before, acked);
        let mut persisted = false;
        for output in outputs {
            match output {
                Output::Transmit { attempt } => {
                    if persisted {
                        // A restart must know that something was sent.
                        self.kept().await;
                    }
                    self.transmit(attempt);
                }
                Output::Persist(cursor) => {
                    persisted = true;
                    self.kept().await;
                    let (keeper, key) = (self.keeper.clone(), self.key.clone());
                    self.keeping = Some(tokio::task::spawn_blocking(move || {
                        keeper.lock().as_mut().map(|kept| kept.outbox_mut().set_cursor(&key, cursor))
                    }));
                }
                Output::Park { position, reason } => {
                    tracing::warn!(position, reason, "parked");
                    let park = move |kept: &mut Kept| {
                        kept.outbox_mut().park(position, &reason)?;
                        kept.outbox_mut().set_retry(position, false)
                    };
                    self.ask(park).await;
                }
                Output::Unpark { position } => {
                    let unpark = move |kept: &mut Kept| {
                        kept.outbox_mut().set_retry(position, false)?;
                        kept.outbox_mut().unpark(position)
                    };
                    self.ask(unpark).await;
                }
                other => self.carry_out(other),
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::ReadStream if !self.config.enable_jetstream => {
                self.reads += 1;
                let info = Info {
                    key: StreamKey { account: String::new(), stream: "(core)".into(), created: String::new() },
                    mode: Mode::Core,
                    first: 0,
                    last: 0,
                    warnings: Vec::new(),
                };
                let _ = self.done.send((self.reads, Done::Stream(Ok(info))));
            }
            Output::ReadStream => self.read(|reader| async move { Done::Stream(reader.stream().await) }),
            Output::ReadHead => self.read(|reader| async move { Done::Head(reader.head().await) }),
            Output::ReadEvents { after, probe } => {
                let key = self.key.clone();
                self.read(move |reader| async move { Done::Tail(reader.tail(&key, after, probe).await) });
            }
            Output::Compose(plan) => self.compose(plan),
            Output::PutBlobs { attempt } => self.put_blobs(attempt),
            Output::Abandon { .. } => {
                self.sending.take().inspect(AbortHandle::abort);
                self.plan = None;
                self.batch = None;
                self.subjects.clear();
            }
            Output::Wake(after) => {
                let after = after.map(Duration::from_millis);
                let waiting = self.machine.state() == "waiting before the next try";
                self.wake = after.map(|after| Instant::now() + if waiting { jitter(after) } else { after });
            }
            Output::Notice(notice) => {
                tracing::warn!(%notice, "publishing");
                self.status.send_modify(|status| status.last_error = Some(notice.to_string()));
            }
            Output::Stopped(stop) => self.problem(stop.to_string(), true),
            _ => {}
        }
    }

    fn read<F: Future<Output = Done> + Send + 'static>(&mut self, read: impl FnOnce(Reader) -> F) {
        self.reading.take().inspect(AbortHandle::abort);
        self.reads += 1;
        let Some(client) = self.client.clone() else { return };
        let (generation, done) = (self.reads, self.done.clone());
        let reading = read(Reader::new(client, &self.config, &self.source));
        let task = tokio::spawn(async move {
            let _ = done.send((generation, reading.await));
        });
        self.reading = Some(task.abort_handle());
    }

    fn limits(&self) -> Limits {
        let max_payload = self.client.as_ref().map_or(0, Client::max_payload);
        // A server that has not told yet takes at least the protocol's default.
        let max_payload = if max_payload == 0 { 1024 * 1024 } else { max_payload };
        Limits { max_payload, objects: self.config.enable_jetstream }
    }

    fn compose(&mut self, plan: Plan) {
        let (keeper, writer, limits, done) =
            (self.keeper.clone(), self.writer.clone(), self.limits(), self.done.clone());
        let ahead = self.ahead.take();
        self.plan = Some(plan.clone());
        tokio::spawn(async move {
            let attempt = plan.attempt;
            if let Some(ahead) = ahead
                && let Ok(Some(Ok(Outcome::Ready(batch)))) = ahead.await
                && batch.fits(&plan)
            {
                let _ = done.send((0, Done::Composed(attempt, Ok(Outcome::Ready(batch)))));
                return;
            }
            let made = tokio::task::spawn_blocking(move || {
                keeper.lock().as_ref().map(|kept| compose(kept.outbox(), &writer, &plan, limits))
            });
            if let Ok(Some(outcome)) = made.await {
                let _ = done.send((0, Done::Composed(attempt, outcome)));
            }
        });
    }

    /// Makes the batch behind this one ready while this one is on its way.
    fn compose_ahead(&mut self, plan: &Plan, through: u64) {
        if plan.only.is_some() || through >= self.machine.end() {
            return;
        }
        let (keeper, writer, limits) = (self.keeper.clone(), self.writer.clone(), self.limits());
        let next =
            Plan { after: through, max_events: usize::from(self.config.publish_batch).clamp(1, 999), ..plan.clone() };
        self.ahead = Some(tokio::task::spawn_blocking(move || {
            keeper.lock().as_ref().map(|kept| compose(kept.outbox(), &writer, &next, limits))
        }));
    }

    fn put_blobs(&mut self, attempt: Attempt) {
        let (Some(objects), Some(batch)) = (self.objects.clone(), &self.batch) else { return };
        let blobs: Vec<EventObject> = batch.events.iter().filter_map(|event| event.object.clone()).collect();
        let (done, max_payload) = (self.done.clone(), self.limits().max_payload);
        let task = tokio::spawn(async move {
            for blob in &blobs {
                if let Err(error) = objects.put(blob, max_payload).await {
                    let _ = done.send((0, Done::Blobs(attempt, Err(error.to_string()))));
                    return;
                }
            }
            let _ = done.send((0, Done::Blobs(attempt, Ok(()))));
        });
        self.sending = Some(task.abort_handle());
    }

    fn transmit(&mut self, attempt: Attempt) {
        let (Some(client), Some(plan), Some(batch)) = (self.client.clone(), self.plan.clone(), self.batch.take())
        else {
            return;
        };
        self.compose_ahead(&plan, batch.through);
        let sender = Sender {
            client,
            stream: self.config.stream_name.to_string(),
            head_subject: format!("{}.{}", self.config.head_subject, self.source),
            answered: self.answered.clone(),
            inbox: self.inbox.clone(),
        };
        let done = self.done.clone();
        let task = tokio::spawn(async move {
            let progress = || drop(done.send((0, Done::Progress(attempt))));
            let sent = sender.send(&plan, *batch, progress).await;
            let _ = done.send((0, Done::Sent(attempt, sent)));
        });
        self.sending = Some(task.abort_handle());
    }

    /// Keeps the status up to date.
    fn tell(&mut self, before: u64, acked: bool) {
        let (position, end, state) = (self.machine.position(), self.machine.end(), self.machine.state());
        let parked = self.machine.parked().count() as u64;
        self.status.send_if_modified(|status| {
            let mut changed = status.state != state;
            status.state = state;
            if position != before && position > 0 {
                status.last_published = Some(LastPublished { position, at: Timestamp::now() });
                changed = true;
            }
            if acked {
                status.published += position.saturating_sub(before);
                status.queued = end.saturating_sub(position);
                status.parked = parked;
                status.last_error = None;
                changed = true;
            }
            changed
        });
    }

    /// Answers those who wait for the outbox to be empty, or for the server to fail.
    fn answer_flushes(&mut self) {
        let flushes = std::mem::take(&mut self.flushes);
        for flush in flushes {
            let published = self.status.borrow().published - flush.published;
            let problem = || self.status.borrow().last_error.clone().unwrap_or_default();
            let result = if let Some(stop) = self.machine.stopped() {
                Err(stop.clone().into())
            } else if self.machine.is_drained() || self.machine.is_behind() {
                Ok(published)
            } else if let Some(error) = self.last_connect_error.clone().filter(|_| self.client.is_none()) {
                Err(error.into())
            } else if !self.is_connected() && self.client.is_some() && Instant::now() > flush.patience {
                let servers = self.config.url.to_string();
                Err(ConnectError::NoServer { servers, problem: problem() }.into())
            } else if self.machine.is_waiting() && self.problems > flush.problems && self.lasting {
                Err(FlushError::Refused(problem()))
            } else if self.machine.is_waiting() && self.machine.failures() > 4 {
                Err(FlushError::Refused(problem()))
            } else {
                self.flushes.push(flush);
                continue;
            };
            let _ = flush.answer.send(result);
        }
    }
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
}
