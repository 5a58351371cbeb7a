//! What the connection tells: it is there, it is gone, the server objects.

use std::time::Duration;

use async_nats::{Client, Event, ServerError};
use tokio::time::Instant;

use super::super::super::denials::Denial;
use super::super::connect::{connect, pause};
use super::super::reads::is_under;
use super::{Done, Driver};
use crate::delivery::{Denied, Input};
use crate::text::visible;

impl Driver {
    pub(super) fn start_connecting(&self) {
        let (config, events, done, kick) =
            (self.config.clone(), self.events.clone(), self.done.clone(), self.kick.clone());
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
                let pause = tokio::time::sleep(pause(attempt, Duration::from_millis(250), Duration::from_secs(10)));
                tokio::select! {
                    () = pause => {}
                    () = kick.notified() => {}
                }
            }
        });
    }

    pub(super) async fn client_event(&mut self, event: Event) {
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

    pub(super) async fn connected(&mut self) {
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
        self.unheard = None;
        for waiting in self.connecting.drain(..) {
            let _ = waiting.send(Ok(()));
        }
        self.give(Input::Connected).await;
    }

    /// The server said that something is not allowed, or not well.
    pub(super) async fn server_error(&mut self, text: &str) {
        tracing::warn!(error = text, "the server objects");
        let denied = match Denial::read(text) {
            Some(Denial::Publish(subject)) if subject == self.inbox => {
                self.answered.notify_one();
                return;
            }
            // It only makes an explanation better.
            Some(Denial::Publish(subject)) if subject.ends_with(".STREAM.NAMES") => return,
            Some(Denial::Publish(subject)) if is_under(&subject, &self.config.head_subject) => Denied::Head(subject),
            Some(Denial::Publish(subject)) if is_under(&subject, &self.config.subject_prefix) => {
                if !self.subjects.contains(&subject) {
                    // Said of a batch that is no longer under way.
                    return;
                }
                Denied::Event(subject)
            }
            Some(denial @ Denial::Publish(_)) => Denied::Other(denial.to_string()),
            Some(denial @ Denial::Subscribe(_)) => {
                let what = format!("{denial}, where answers come (or set nats.inbox_prefix)");
                self.unheard = Some(what.clone());
                Denied::Other(what)
            }
            None => {
                self.status.send_modify(|status| status.last_error = Some(text.to_owned()));
                return;
            }
        };
        self.problem(text.to_owned(), false);
        self.give(Input::Denied(denied)).await;
    }

    /// Remembers what went wrong. A lasting one is not expected to pass within a moment.
    pub(super) fn problem(&mut self, text: String, lasting: bool) {
        tracing::debug!(problem = text, "publishing");
        self.problems += 1;
        self.lasting = lasting;
        self.status.send_modify(|status| status.last_error = Some(text));
    }
}

/// How often a client has connected.
pub(super) fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
}
