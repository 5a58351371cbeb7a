//! Batches on their way: as one atomic batch, as a fast one, one after the other, or through core NATS.

mod fast;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, HeaderValue, Message, Request, RequestErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::Notify;

use super::compose::Composed;
use super::reads::described;
use crate::delivery::{Head, Mode, Plan, Previous};
use crate::text::visible;

/// How many messages go out between two signs of progress.
const PROGRESS: usize = 64;

/// What came of sending a batch. Silence is no answer: the machine ends the wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Stored { sequence: u64 },
    Refused { code: u64, reason: String },
}

/// What a batch is sent with.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) head_subject: String,
    /// In core mode: wakes when the server has refused the publication that asks for its answer.
    pub(super) answered: Arc<Notify>,
    /// In core mode: the subject of that publication.
    pub(super) inbox: String,
}

impl Sender {
    /// Sends a batch and waits for the server's answer to it; as long as it takes.
    pub(super) async fn send(&self, plan: &Plan, mut batch: Composed, progress: impl Fn()) -> Sent {
        let sent = match plan.mode {
            Mode::Classic => self.one_by_one(plan, batch, progress).await,
            Mode::Core => self.through_core(batch, progress).await,
            // Where all that follows is parked, a head alone says so.
            Mode::Fast if !batch.events.is_empty() => match (batch.opening.take(), plan.last_sequence) {
                (Some(opening), Some(last)) => self.as_fast(plan, batch, opening, last, progress).await,
                _ => self.as_one(plan, batch, progress).await,
            },
            _ => self.as_one(plan, batch, progress).await,
        };
        sent.unwrap_or_else(|refused| refused)
    }

    /// One atomic batch. A head alone needs none.
    async fn as_one(&self, plan: &Plan, batch: Composed, progress: impl Fn()) -> Result<Sent, Sent> {
        let (head, count) = (head_body(plan, &batch), batch.events.len() + 1);
        let mut events = batch.events.into_iter();
        let Some(first) = events.next() else {
            let answer = self.request(self.head_subject.clone(), self.head_headers(plan.head_sequence), head).await?;
            return acknowledged(&answer, 1, None);
        };
        let id = batch_id();
        let headers = |mut headers: HeaderMap, number: usize| {
            headers.insert("Nats-Batch-Id", id.as_str());
            headers.insert("Nats-Batch-Sequence", HeaderValue::from(number));
            headers
        };
        let mut opening = headers(first.headers, 1);
        opening.insert("Nats-Expected-Stream", self.stream.as_str());
        if let Some(last) = plan.last_sequence {
            opening.insert("Nats-Expected-Last-Sequence", HeaderValue::from(last));
        }
        // The server takes the batch when it answers its first message with nothing.
        let answer = self.request(first.subject, opening, first.body).await?;
        if !answer.payload.is_empty() {
            return Err(refusal(&answer.payload));
        }
        progress();
        for (number, message) in (2..).zip(events) {
            self.publish(message.subject, None, headers(message.headers, number), message.body).await?;
            if number % PROGRESS == 0 {
                progress();
            }
        }
        let mut closing = headers(self.head_headers(plan.head_sequence), count);
        closing.insert("Nats-Batch-Commit", "1");
        let answer = self.request(self.head_subject.clone(), closing, head).await?;
        acknowledged(&answer, count, Some(&id))
    }

    /// Each message by itself. With the stream's last sequence each expects the one before it, by its sequence and its
    /// identifier, so that all can be under way: the first that is refused lets the others be refused too. Without it, each waits for its acknowledgement.
    async fn one_by_one(&self, plan: &Plan, batch: Composed, progress: impl Fn()) -> Result<Sent, Sent> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(format!("{inbox}.*")).await.map_err(|error| unsent(&error))?;
        let (head, count) = (head_body(plan, &batch), batch.events.len() + 1);
        let events = batch.events.into_iter().zip(batch.ids).map(|(mut message, id)| {
            message.headers.insert("Nats-Msg-Id", id.to_string());
            message.headers.insert("Nats-Expected-Stream", self.stream.as_str());
            (message.subject, message.headers, message.body)
        });
        let closing = (self.head_subject.clone(), self.head_headers(plan.head_sequence), head);
        let mut last = Sent::Stored { sequence: 0 };
        let mut before: Option<HeaderValue> = None;
        for (index, (to, mut headers, body)) in events.chain(std::iter::once(closing)).enumerate() {
            if let Some(expected) = plan.last_sequence {
                headers.insert("Nats-Expected-Last-Sequence", HeaderValue::from(expected + index as u64));
                // Where a stranger's message took the place of one of these, the next would find its sequence all the same.
                if let Some(before) = before.take() {
                    headers.insert("Nats-Expected-Last-Msg-Id", before);
                }
                before = headers.get("Nats-Msg-Id").cloned();
            }
            self.publish(to, Some(format!("{inbox}.{index}")), headers, body).await?;
            if plan.last_sequence.is_none() {
                last = next_answer(&mut answers).await?;
                progress();
            } else if index % PROGRESS == 0 {
                progress();
            }
        }
        if plan.last_sequence.is_some() {
            for _ in 0..count {
                last = next_answer(&mut answers).await?;
                progress();
            }
        }
        Ok(last)
    }

    /// Through core NATS: nobody acknowledges anything, but the server handles a connection's messages in their order, so
    /// that one which it sends back, or refuses, proves that it has seen those before.
    async fn through_core(&self, batch: Composed, progress: impl Fn()) -> Result<Sent, Sent> {
        let mut answers = self.client.subscribe(self.inbox.clone()).await.map_err(|error| unsent(&error))?;
        for (index, message) in batch.events.into_iter().enumerate() {
            self.publish(message.subject, None, message.headers, message.body).await?;
            if index % PROGRESS == 0 {
                progress();
            }
        }
        self.publish(self.inbox.clone(), None, HeaderMap::new(), Bytes::new()).await?;
        self.client.flush().await.map_err(|error| unsent(&error))?;
        tokio::select! {
            _ = answers.next() => {}
            () = self.answered.notified() => {}
        }
        // What the server has said against single events comes by another way, and a moment later.
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(Sent::Stored { sequence: 0 })
    }

    fn head_headers(&self, newest: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", "application/json");
        headers.insert("Nats-Expected-Stream", self.stream.as_str());
        headers.insert("Nats-Expected-Last-Subject-Sequence", HeaderValue::from(newest));
        headers
    }

    async fn request(&self, to: String, headers: HeaderMap, body: Bytes) -> Result<Message, Sent> {
        let request = Request::new().headers(headers).payload(body).timeout(None);
        match self.client.send_request(to, request).await {
            Ok(message) => Ok(message),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Err(no_responders()),
            Err(error) => Err(unsent(&error)),
        }
    }

    async fn publish(&self, to: String, reply: Option<String>, headers: HeaderMap, body: Bytes) -> Result<(), Sent> {
        let sent = match reply {
            Some(reply) => self.client.publish_with_reply_and_headers(to, reply, headers, body).await,
            None => self.client.publish_with_headers(to, headers, body).await,
        };
        sent.map_err(|error| unsent(&error))
    }
}

async fn next_answer(answers: &mut Subscriber) -> Result<Sent, Sent> {
    match answers.next().await {
        Some(message) if message.status == Some(StatusCode::NO_RESPONDERS) => Err(no_responders()),
        Some(message) => {
            let answer: Value = serde_json::from_slice(&message.payload).map_err(|_| refusal(&message.payload))?;
            let sequence = answer["seq"].as_u64().filter(|_| answer.get("error").is_none());
            sequence.map(|sequence| Sent::Stored { sequence }).ok_or_else(|| refusal(&message.payload))
        }
        None => Err(Sent::Refused { code: 0, reason: "the connection was closed".into() }),
    }
}

/// Reads the acknowledgement of a batch, or of a head alone.
fn acknowledged(message: &Message, count: usize, id: Option<&str>) -> Result<Sent, Sent> {
    let answer: Value = serde_json::from_slice(&message.payload).map_err(|_| refusal(&message.payload))?;
    let whole = id.is_none_or(|id| answer["batch"] == id && answer["count"].as_u64() == Some(count as u64));
    match answer["seq"].as_u64() {
        Some(sequence) if answer.get("error").is_none() && whole => Ok(Sent::Stored { sequence }),
        _ => Err(refusal(&message.payload)),
    }
}

fn refusal(body: &[u8]) -> Sent {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get("error") {
        Some(error) => {
            let code = error["err_code"].as_u64().or(error["code"].as_u64()).unwrap_or(0);
            Sent::Refused { code, reason: described(error) }
        }
        None => Sent::Refused { code: 0, reason: "the answer is no acknowledgement of this batch".into() },
    }
}

fn no_responders() -> Sent {
    Sent::Refused { code: 503, reason: "no stream takes these subjects for now: it has no leader, or is gone".into() }
}

fn unsent(error: &dyn std::error::Error) -> Sent {
    Sent::Refused { code: 0, reason: visible(&error.to_string()).into_owned() }
}

fn head_body(plan: &Plan, batch: &Composed) -> Bytes {
    batch.head.clone().map(|head| following(head, plan.previous)).unwrap_or_default()
}

/// The body of a head that follows another.
fn following(mut head: Head, previous: Option<Previous>) -> Bytes {
    head.previous = previous;
    head.to_json().into()
}

/// A batch's id: 22 characters of its own for every attempt.
pub(super) fn batch_id() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..22).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect()
}
