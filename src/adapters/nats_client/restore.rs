//! Putting back what a stream has lost: batches of their own, marked, under the same expectations as any other.
//!
//! Each is an atomic batch of events that the stream lacks, closed by a head, all with the header
//! [`Cim-Restored`](super::super::message::RESTORED). A publisher of the same source that is at work meanwhile moves the
//! head, and one of the two batches is refused; neither is stored twice.

use std::time::Duration;

use async_nats::{Client, HeaderMap, HeaderValue, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde_json::Value;

use super::super::message::{EventObject, MessageError, MessageWriter, RESTORED};
use super::super::object_store::{ObjectStoreError, Objects};
use super::connect::connect;
use super::errors::ConnectError;
use super::reads::{ReadError, Reader, context, described};
use super::send::batch_id;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::config::NatsConfig;
use crate::delivery::outbox::{Entry, Source, StreamKey};
use crate::delivery::{Head, Mode};
use crate::text::visible;

/// How many bytes of blocks one batch holds at most.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Why nothing more was put back. What was acknowledged before is in the stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The stream could not be read.
    #[error("the stream could not be read: {0}")]
    Read(String),
    /// The stream can't keep the promise.
    #[error("the stream can't be published to: {0}")]
    Stream(String),
    /// The newest message on the head subject is no head.
    #[error("the message at sequence {sequence} of the stream is no head of this source: {problem}")]
    HeadUnreadable {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The server has no atomic batches.
    #[error("putting back needs atomic batches, and this stream does not take them")]
    NotAtomic,
    /// Another publisher moved the head.
    #[error("another publisher of this ledger moved the head meanwhile (code {code})")]
    Moved {
        /// The server's error code.
        code: u64,
    },
    /// The server refused the batch.
    #[error("the server refused what was to be put back: {0}")]
    Refused(String),
    /// An event has no message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// An event's object could not be stored.
    #[error(transparent)]
    Object(#[from] ObjectStoreError),
}

impl Explained for RestoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Read(_)
            | Self::Stream(_)
            | Self::HeadUnreadable { .. }
            | Self::NotAtomic
            | Self::Moved { .. }
            | Self::Refused(_)
            | Self::Message(_)
            | Self::Object(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Connect(error) => error.advice(),
            Self::HeadUnreadable { .. } => vec![Advice::Do("delete that message first")],
            Self::NotAtomic => vec![Advice::Do("use nats-server 2.12 or newer, and allow_atomic on the stream")],
            Self::Moved { .. } => vec![Advice::TRY_AGAIN],
            Self::Message(error) => error.advice(),
            Self::Read(_) | Self::Stream(_) | Self::Refused(_) | Self::Object(_) => Vec::new(),
        }
    }
}

impl From<ReadError> for RestoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(text) => Self::Read(text),
            ReadError::Refused(text) => Self::Stream(text),
            ReadError::NoHead { sequence, problem } => Self::HeadUnreadable { sequence, problem },
        }
    }
}

/// Puts back what the stream of one source has lost.
#[derive(Debug)]
pub struct Restorer {
    client: Client,
    config: NatsConfig,
    reader: Reader,
    writer: MessageWriter,
    objects: Objects,
}

impl Restorer {
    /// Connects.
    ///
    /// # Errors
    /// When no server answers, or it refuses the user.
    pub async fn connect(config: &NatsConfig, source: &Source) -> Result<Self, ConnectError> {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let client = connect(config, events).await?;
        Ok(Self {
            reader: Reader::new(client.clone(), config, source),
            writer: MessageWriter::new(config, source),
            objects: Objects::new(context(&client, config), config),
            config: config.clone(),
            client,
        })
    }

    /// Which stream it is, after checking that it can be published to.
    ///
    /// # Errors
    /// When it can't be read, or can't keep the promise.
    pub async fn stream(&self) -> Result<StreamKey, RestoreError> {
        let info = self.reader.stream().await?;
        if matches!(info.mode, Mode::Atomic | Mode::Fast) { Ok(info.key) } else { Err(RestoreError::NotAtomic) }
    }

    /// The newest head, with its sequence.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn head(&self) -> Result<Option<(u64, Head)>, RestoreError> {
        Ok(self.reader.head().await?)
    }

    /// Puts back the objects of events whose messages are there and whose objects are not.
    ///
    /// # Errors
    /// When the object store does not take it.
    pub async fn put_object(&self, entry: &Entry) -> Result<(), RestoreError> {
        let object = EventObject { name: entry.cid.to_string(), block: Bytes::copy_from_slice(&entry.block) };
        Ok(self.objects.put(&object, self.client.server_info().max_payload).await?)
    }

    /// Stores events and the head that closes them, all or nothing; answers with the sequence of the head. `expected` is
    /// the sequence of the head before it, 0 for none.
    ///
    /// # Errors
    /// When the server refuses it; [`RestoreError::Moved`] where another head came in between.
    pub async fn put_back(&self, entries: &[Entry], head: &Head, expected: u64) -> Result<u64, RestoreError> {
        let max_payload = self.client.server_info().max_payload;
        let mut messages = Vec::with_capacity(entries.len() + 1);
        for entry in entries {
            let mut message = self.writer.write(entry, max_payload, None)?;
            if let Some(object) = &message.object {
                self.objects.put(object, max_payload).await?;
            }
            message.headers.insert(RESTORED, "true");
            messages.push((message.subject, message.headers, message.body));
        }
        let mut closing = HeaderMap::new();
        closing.insert("Content-Type", "application/json");
        closing.insert("Nats-Expected-Stream", self.config.stream_name.as_str());
        closing.insert("Nats-Expected-Last-Subject-Sequence", HeaderValue::from(expected));
        if !entries.is_empty() {
            closing.insert(RESTORED, "true");
        }
        messages.push((self.reader.head_subject(), closing, head.to_json().into()));
        self.send(messages).await
    }

    async fn send(&self, messages: Vec<(String, HeaderMap, Bytes)>) -> Result<u64, RestoreError> {
        let (id, count) = (batch_id(), messages.len());
        for (number, (subject, mut headers, body)) in (1..).zip(messages) {
            if count > 1 {
                headers.insert("Nats-Batch-Id", id.as_str());
                headers.insert("Nats-Batch-Sequence", HeaderValue::from(number));
            }
            if number == count {
                if count > 1 {
                    headers.insert("Nats-Batch-Commit", "1");
                }
                let answer = self.request(subject, headers, body).await?;
                return acknowledged(&answer);
            }
            if number == 1 {
                headers.insert("Nats-Expected-Stream", self.config.stream_name.as_str());
                let answer = self.request(subject, headers, body).await?;
                if !answer.payload.is_empty() {
                    return Err(refused(&answer.payload));
                }
                continue;
            }
            let sent = self.client.publish_with_headers(subject, headers, body).await;
            sent.map_err(|error| RestoreError::Refused(visible(&error.to_string()).into_owned()))?;
        }
        Err(RestoreError::Refused("there was nothing to send".into()))
    }

    async fn request(&self, to: String, headers: HeaderMap, body: Bytes) -> Result<Message, RestoreError> {
        let patience: Duration = self.config.connection_timeout() * 3;
        let request = Request::new().headers(headers).payload(body).timeout(Some(patience));
        self.client.send_request(to, request).await.map_err(|error| {
            match error.kind() {
            RequestErrorKind::NoResponders => RestoreError::Refused("no stream takes these subjects for now".into()),
            RequestErrorKind::TimedOut => RestoreError::Refused(
                "no answer came: the user may lack the permission to publish events or heads. Run it again to see what \
                 was stored"
                    .into(),
            ),
            _ => RestoreError::Refused(visible(&error.to_string()).into_owned()),
        }
        })
    }
}

fn acknowledged(message: &Message) -> Result<u64, RestoreError> {
    let answer: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    let sequence = answer["seq"].as_u64().filter(|_| answer.get("error").is_none());
    sequence.ok_or_else(|| refused(&message.payload))
}

fn refused(body: &[u8]) -> RestoreError {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get("error") {
        Some(error) => match error["err_code"].as_u64().unwrap_or(0) {
            // The head is not the one that was expected; or an older attempt of somebody else's stands in between.
            code @ (10071 | 10164) => RestoreError::Moved { code },
            _ => RestoreError::Refused(described(error)),
        },
        None => RestoreError::Refused("the answer is no acknowledgement".into()),
    }
}
