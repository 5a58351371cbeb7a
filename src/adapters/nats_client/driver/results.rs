//! What the driver's tasks bring back, told to the machine.

use std::sync::Arc;

use cid::Cid;

use super::super::super::object_store::Objects;
use super::super::compose::Outcome;
use super::super::keeper::{Kept, parked};
use super::super::reads::{Info, ReadError, Tail, context};
use super::super::send::Sent;
use super::events::connects;
use super::{Done, Driver};
use crate::delivery::outbox::OutboxError;
use crate::delivery::{Attempt, Denied, EventSeen, HeadSeen, Input, Refusal, StreamSeen, classify};

impl Driver {
    pub(super) async fn task_done(&mut self, generation: u64, done: Done) {
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
                self.failed_attempts += 1;
                return;
            }
            Done::Stream(Ok(info)) => {
                for warning in &info.warnings {
                    tracing::warn!(stream = info.key.stream, warning, "the stream is unusual");
                }
                self.key = info.key.clone();
                self.stream_seen(info).await
            }
            Done::Stream(Err(error)) | Done::Head(Err(error)) | Done::Tail(Err(error)) => self.read_failed(error),
            Done::Head(Ok(None)) => Some(Input::Head(None)),
            Done::Head(Ok(Some((sequence, head)))) => {
                let ours = self.ours(vec![head.position]).await;
                ours.map(|ours| {
                    let ours = ours.first().copied().flatten();
                    Input::Head(Some(Box::new(HeadSeen { sequence, head, ours })))
                })
            }
            Done::Tail(Ok(tail)) => self.tail_seen(tail).await,
            Done::Composed(attempt, outcome) => self.composed(attempt, outcome),
            Done::Blobs(attempt, Ok(())) => Some(Input::BlobsStored { attempt }),
            Done::Blobs(attempt, Err(reason)) => {
                self.problem(reason.clone(), true);
                Some(Input::BlobFailed { attempt, reason })
            }
            Done::Progress(attempt) => Some(Input::Progress { attempt }),
            Done::Sent(attempt, Sent::Stored { sequence }, pace_us) => {
                Some(Input::Acked { attempt, sequence, pace_us })
            }
            Done::Sent(attempt, Sent::Refused { code, reason }, _) => {
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

    pub(super) fn read_failed(&mut self, error: ReadError) -> Option<Input> {
        Some(match (error, &self.unheard) {
            // The client subscribes once a connection, so the server says once that no answer will ever come.
            (ReadError::Failed(_), Some(what)) => Input::Denied(Denied::Other(what.clone())),
            (ReadError::Failed(reason), None) => {
                self.problem(reason.clone(), true);
                Input::ReadFailed { reason }
            }
            (ReadError::Refused(problem), _) => Input::StreamRefused { problem },
            (ReadError::NoHead { sequence, problem }, _) => Input::HeadUnreadable { sequence, problem },
        })
    }

    /// Does something with the outbox. `None` where that failed; the machine knows then, or the outbox is closed.
    pub(super) async fn ask<T: Send + 'static>(
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
    pub(super) async fn kept(&mut self) {
        if let Some(keeping) = self.keeping.take()
            && let Ok(Some(Err(error))) = keeping.await
        {
            let _ = self.done.send((0, Done::Kept(Some(error))));
        }
    }

    pub(super) async fn stream_seen(&mut self, info: Info) -> Option<Input> {
        let Info { key, mode, base, successor, .. } = info;
        let known = self.ask(move |kept| {
            let outbox = kept.outbox();
            Ok((outbox.cursor(&key)?, parked(outbox)?))
        });
        known.await.map(|(known, parked)| Input::Stream(StreamSeen { mode, known, base, successor, parked }))
    }

    /// What the outbox has at these positions.
    pub(super) async fn ours(&mut self, positions: Vec<u64>) -> Option<Vec<Option<Cid>>> {
        self.ask(move |kept| positions.iter().map(|position| kept.outbox().cid_at(*position)).collect()).await
    }

    pub(super) async fn tail_seen(&mut self, tail: Tail) -> Option<Input> {
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

    pub(super) fn composed(&mut self, attempt: Attempt, outcome: Result<Outcome, OutboxError>) -> Option<Input> {
        if self.plan.as_ref().is_none_or(|plan| plan.attempt != attempt) {
            return None;
        }
        Some(match outcome {
            Ok(Outcome::Ready(batch)) => {
                let (through, events) = (batch.through, batch.events.len());
                self.sent = events as u64;
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
}
