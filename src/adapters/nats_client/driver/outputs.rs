//! What the machine wants, carried out.

use std::time::Duration;

use async_nats::Client;
use futures_util::FutureExt as _;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::Instant;

use super::super::super::message::EventObject;
use super::super::compose::{Limits, Outcome, compose};
use super::super::connect::jitter;
use super::super::keeper::Kept;
use super::super::reads::{Info, Reader};
use super::super::send::Sender;
use super::{Done, Driver, core_stream};
use crate::delivery::outbox::OutboxError;
use crate::delivery::{Attempt, Input, Mode, Output, Plan};

/// How often the cursor is written down while batches follow each other. The stream is the truth, and an older memory of it
/// only makes the next start read a little more; each write is a sync of the disk, and the next batch is not read meanwhile.
const KEEP_EVERY: Duration = Duration::from_millis(250);

impl Driver {
    /// Gives the machine an input, and carries out what it wants.
    pub(super) async fn give(&mut self, input: Input) {
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
                        self.keep_cursor().await;
                        self.kept().await;
                    }
                    self.transmit(attempt);
                }
                Output::Persist(cursor) => {
                    persisted = true;
                    self.unkept = Some(cursor);
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
        let later = self.config.enable_jetstream && self.machine.is_publishing() && self.kept_at.elapsed() < KEEP_EVERY;
        if !later {
            self.keep_cursor().await;
        }
    }

    /// Begins to write down the newest cursor.
    pub(super) async fn keep_cursor(&mut self) {
        let Some(cursor) = self.unkept.take() else { return };
        self.kept().await;
        self.kept_at = Instant::now();
        let (keeper, key) = (self.keeper.clone(), self.key.clone());
        self.keeping = Some(tokio::task::spawn_blocking(move || {
            keeper.lock().as_mut().map(|kept| kept.outbox_mut().set_cursor(&key, cursor))
        }));
    }

    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::ReadStream if !self.config.enable_jetstream => {
                self.reads += 1;
                let info = Info {
                    key: core_stream(),
                    mode: Mode::Core,
                    first: 0,
                    last: 0,
                    base: Some(0),
                    successor: None,
                    warnings: Vec::new(),
                };
                let _ = self.done.send((self.reads, Done::Stream(Ok(info))));
            }
            Output::ReadStream => {
                let keeper = self.keeper.clone();
                self.read(move |reader| async move { Done::Stream(reader.stream_and_others(&keeper).await) });
            }
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

    pub(super) fn read<F: Future<Output = Done> + Send + 'static>(&mut self, read: impl FnOnce(Reader) -> F) {
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

    pub(super) fn limits(&self) -> Limits {
        let max_payload = self.client.as_ref().map_or(0, Client::max_payload);
        // A server that has not told yet takes at least the protocol's default.
        let max_payload = if max_payload == 0 { 1024 * 1024 } else { max_payload };
        Limits { max_payload, objects: self.config.enable_jetstream }
    }

    pub(super) fn compose(&mut self, plan: Plan) {
        let (keeper, writer, limits, done) =
            (self.keeper.clone(), self.writer.clone(), self.limits(), self.done.clone());
        let (mut ahead, before) = (self.ahead.take(), self.before);
        self.plan = Some(plan.clone());
        let attempt = plan.attempt;
        let composed = move |outcome| drop(done.send((0, Done::Composed(attempt, outcome))));
        // One that is ready need not wait for another task's turn.
        let ready = ahead.take_if(|ahead| ahead.is_finished());
        let ready = ready.and_then(|ready| tokio::task::unconstrained(ready).now_or_never());
        if let Some(batch) = ready.and_then(|made| fitting(made, &plan)) {
            return composed(Ok(batch));
        }
        tokio::spawn(async move {
            if let Some(ahead) = ahead
                && let Some(batch) = fitting(ahead.await, &plan)
            {
                return composed(Ok(batch));
            }
            let made = tokio::task::spawn_blocking(move || {
                keeper.lock().as_ref().map(|kept| compose(kept.outbox(), &writer, &plan, limits, before))
            });
            if let Ok(Some(outcome)) = made.await {
                composed(outcome);
            }
        });
    }

    /// Makes the batch behind this one ready while this one is on its way.
    pub(super) fn compose_ahead(&mut self, plan: &Plan, through: u64) {
        if plan.only.is_some() || through >= self.machine.end() {
            return;
        }
        let (keeper, writer, limits, before) = (self.keeper.clone(), self.writer.clone(), self.limits(), self.before);
        let rules = self.machine.rules();
        let times = if plan.mode == Mode::Fast { rules.fast_times } else { 1 };
        let next = Plan { after: through, max_events: rules.max_events.saturating_mul(times), ..plan.clone() };
        self.ahead = Some(tokio::task::spawn_blocking(move || {
            keeper.lock().as_ref().map(|kept| compose(kept.outbox(), &writer, &next, limits, before))
        }));
    }

    pub(super) fn put_blobs(&mut self, attempt: Attempt) {
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

    pub(super) fn transmit(&mut self, attempt: Attempt) {
        let (Some(client), Some(plan), Some(batch)) = (self.client.clone(), self.plan.clone(), self.batch.take())
        else {
            return;
        };
        self.before = batch.head.as_ref().map(|head| (head.position, head.cid));
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
            let (started, messages) = (Instant::now(), batch.events.len().max(1) as u128);
            let sent = sender.send(&plan, *batch, progress).await;
            let pace_us = u32::try_from(started.elapsed().as_micros() / messages).unwrap_or(u32::MAX);
            let _ = done.send((0, Done::Sent(attempt, sent, pace_us)));
        });
        self.sending = Some(task.abort_handle());
    }
}

/// The batch that was made ahead, if it is what a plan asks for.
fn fitting(made: Result<Option<Result<Outcome, OutboxError>>, JoinError>, plan: &Plan) -> Option<Outcome> {
    match made {
        Ok(Some(Ok(Outcome::Ready(batch)))) if batch.fits(plan) => Some(Outcome::Ready(batch)),
        _ => None,
    }
}
