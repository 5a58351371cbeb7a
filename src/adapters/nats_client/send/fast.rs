//! A fast-ingest batch: messages that the server stores as they come, tied together, so that what follows one that was
//! refused or lost is refused too (NATS ADR-50).

use async_nats::header::{NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM};
use async_nats::{HeaderMap, HeaderValue, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::Value;

use super::super::compose::Composed;
use super::{PROGRESS, Sender, Sent, acknowledged, following, no_responders, refusal, unsent};
use crate::delivery::{Head, Plan, Previous};

/// After how many messages the server tells how far it is.
const FLOW: usize = 128;

/// What a message does to its batch, as its reply subject says.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Start = 0,
    Append = 1,
    Commit = 2,
}

impl Sender {
    /// Sends the newest head again, the events, and a head that closes them. Each names the stream's last sequence, so that
    /// nobody gets in between unnoticed, and the first head moves the source's, so that no other batch of the source gets in
    /// behind it.
    pub(super) async fn as_fast(
        &self,
        plan: &Plan,
        batch: Composed,
        opening: Head,
        last: u64,
        progress: impl Fn(),
    ) -> Result<Sent, Sent> {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(format!("{inbox}.>")).await.map_err(|error| unsent(&error))?;
        let count = batch.events.len() + 2;
        let mut under_way = UnderWay { inbox, answers, count };
        let opened = Previous { sequence: last + 1, position: plan.after };
        let closing = batch.head.map(|head| following(head, Some(opened))).unwrap_or_default();
        let mut headers = self.head_headers(plan.head_sequence);
        headers.insert(NATS_EXPECTED_STREAM, self.stream.as_str());
        let opening = following(opening, plan.previous);
        self.tied(&under_way, 1, Operation::Start, last, self.head_subject.clone(), headers, opening).await?;
        for (number, message) in (2..).zip(batch.events) {
            let (to, headers, body) = (message.subject, message.headers, message.body);
            self.tied(&under_way, number, Operation::Append, last, to, headers, body).await?;
            if number % PROGRESS == 0 {
                progress();
                under_way.look()?;
            }
        }
        let headers = self.head_headers(opened.sequence);
        self.tied(&under_way, count, Operation::Commit, last, self.head_subject.clone(), headers, closing).await?;
        under_way.acknowledged(progress).await
    }

    #[allow(clippy::too_many_arguments)]
    async fn tied(
        &self,
        batch: &UnderWay,
        number: usize,
        operation: Operation,
        last: u64,
        to: String,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Sent> {
        headers.insert(NATS_EXPECTED_LAST_SEQUENCE, HeaderValue::from(last + number as u64 - 1));
        let reply = format!("{}.{FLOW}.fail.{number}.{}.$FI", batch.inbox, operation as u8);
        self.publish(to, Some(reply), headers, body).await
    }
}

/// A batch of which not all is answered.
struct UnderWay {
    /// Where the answers come; its last token is the batch's id.
    inbox: String,
    answers: Subscriber,
    count: usize,
}

impl UnderWay {
    /// Looks whether the server has refused something already.
    fn look(&mut self) -> Result<(), Sent> {
        while let Some(Some(message)) = self.answers.next().now_or_never() {
            if let Some(answer) = self.judge(&message) {
                return answer.map(drop);
            }
        }
        Ok(())
    }

    /// Waits until all of it is stored.
    async fn acknowledged(mut self, progress: impl Fn()) -> Result<Sent, Sent> {
        while let Some(message) = self.answers.next().await {
            progress();
            if let Some(answer) = self.judge(&message) {
                return answer;
            }
        }
        Err(Sent::Refused { code: 0, reason: "the connection was closed".into() })
    }

    /// What an answer says of the whole batch; nothing where it only tells how far the server is.
    fn judge(&self, message: &Message) -> Option<Result<Sent, Sent>> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Some(Err(no_responders()));
        }
        let answer: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        match answer["type"].as_str() {
            Some("ack") => None,
            Some("gap") => {
                let reason = format!("the server missed a message of the batch, before number {}", answer["seq"]);
                Some(Err(Sent::Refused { code: 10_176, reason }))
            }
            Some(_) => Some(Err(refusal(&message.payload))),
            None => Some(acknowledged(message, self.count, self.inbox.rsplit('.').next())),
        }
    }
}
