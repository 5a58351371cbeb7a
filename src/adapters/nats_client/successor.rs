//! Whether another source has taken the place of the outbox's: a ledger that was recovered elsewhere goes on under a new key,
//! and says so in the stream. The machine that it was recovered from may be alive, and knows nothing of it.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};

use super::reads::{ReadError, Reader};
use crate::delivery::Successor;
use crate::delivery::outbox::{Source, source_of};
use crate::events::{self, EventData, KeyEvent, LedgerKeyRotated};
use crate::ipld_support::{decode_block, from_dag_json, parse_cid, parse_message_body, verify_block};
use crate::text::visible;

/// How many announcements are looked at. Each ledger has few, and whoever fills a stream with them must not keep others busy.
const MOST: usize = 256;

impl Reader {
    /// The source that announced itself in the place of this one, or, after this one had announced itself, in the place of one
    /// `before` it. Where nobody has announced anything this is one question.
    pub(super) async fn successor(&self, before: &[(Source, u64)]) -> Result<Option<Successor>, ReadError> {
        let subject = events::subject(self.subject_prefix(), "ledger", "LedgerKeyRotated");
        let stream = self.handle().await?;
        let there = |answer: Result<StreamMessage, RawMessageError>| match answer {
            Ok(message) if message.subject.as_str() == subject => Ok(Some(message)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::Failed(format!("new keys: {}", visible(&error.to_string())))),
        };
        let Some(newest) = there(stream.get_last_raw_message_by_subject(&subject).await)? else { return Ok(None) };
        let mut all = Vec::new();
        while all.len() < MOST {
            let from = all.last().map_or(1, |last: &StreamMessage| last.sequence + 1);
            if from >= newest.sequence {
                break;
            }
            match there(stream.get_first_raw_message_by_subject(&subject, from).await)? {
                Some(message) => all.push(message),
                None => break,
            }
        }
        if all.last().is_none_or(|last| last.sequence < newest.sequence) {
            all.push(newest);
        }
        Ok(judge(self.source(), before, all.iter().filter_map(announcement)))
    }
}

/// An announcement: its sequence, the source that ends, the one that takes its place.
type Announcement = (u64, Source, Source);

/// What a message announces. As for any reader it counts only under the source that it announces, and whole.
fn announcement(message: &StreamMessage) -> Option<Announcement> {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
    let block = match header("ce-datacontenttype")? {
        "application/vnd.ipld.dag-cbor" => message.payload.to_vec(),
        "application/json" => from_dag_json(&message.payload).ok()?,
        _ => parse_message_body(&message.payload).ok()?.1,
    };
    if !verify_block(&block, &parse_cid(header("ce-id")?).ok()?) {
        return None;
    }
    let EventData::LedgerKeyRotated(LedgerKeyRotated { previous_public_key, public_key, .. }) =
        decode_block::<KeyEvent>(&block).ok()?.data
    else {
        return None;
    };
    let next = source_of(&public_key).ok()?;
    let is_its_own = header("ce-source") == Some(next.as_str());
    is_its_own.then_some((message.sequence, source_of(&previous_public_key).ok()?, next))
}

/// Which of the announcements, in their order, ends this source.
fn judge(
    own: &Source,
    before: &[(Source, u64)],
    announcements: impl IntoIterator<Item = Announcement>,
) -> Option<Successor> {
    let is_before = |source: &Source| before.iter().any(|(earlier, _)| earlier == source);
    let (mut announced, mut found) = (false, None);
    for (sequence, previous, source) in announcements {
        if source == *own {
            announced = true;
        } else if previous == *own {
            return Some(Successor { source, sequence });
        } else if announced && is_before(&previous) && !is_before(&source) {
            // The same ledger was recovered twice, and that one came later.
            found = Some(Successor { source, sequence });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_later_of_two_that_take_one_place_goes_on() {
        let source = |name: &str| name.parse::<Source>().unwrap();
        let ends = |own: &str, before: &[&str], announcements: &[(u64, &str, &str)]| {
            let before: Vec<_> = before.iter().map(|name| (source(name), 0)).collect();
            let announcements = announcements.iter().map(|(at, from, to)| (*at, source(from), source(to)));
            judge(&source(own), &before, announcements)
                .map(|successor| (successor.sequence, successor.source.to_string()))
        };
        assert_eq!(ends("a", &[], &[]), None);
        // Another ledger's keys are none of ours.
        assert_eq!(ends("a", &[], &[(5, "x", "y")]), None);
        assert_eq!(ends("a", &[], &[(5, "x", "y"), (7, "a", "b"), (9, "b", "c")]), Some((7, "b".into())));
        // Whoever knows of the keys before is not ended by them.
        assert_eq!(ends("b", &["a"], &[(7, "a", "b")]), None);
        assert_eq!(ends("c", &["b", "a"], &[(7, "a", "b"), (9, "b", "c")]), None);
        // Recovered twice from the same key: the second one's loss was accepted, the first one is not told otherwise.
        assert_eq!(ends("c", &["a"], &[(7, "a", "b")]), None);
        assert_eq!(ends("c", &["a"], &[(7, "a", "b"), (9, "a", "c")]), None);
        assert_eq!(ends("b", &["a"], &[(7, "a", "b"), (9, "a", "c")]), Some((9, "c".into())));
    }
}
