//! Following a history message by message, and fetching what stands out of its turn.

use std::collections::{HashMap, HashSet};

use super::sources::Sources;
use crate::adapters::message::{BadMessage, Incoming, LinkedEvent, MessageReader, StreamMessage};
use crate::adapters::stream_reader::StreamReadError;
use crate::log::{Closed, PublishedEvent, PublishedHistory, StreamFault};

/// How many messages are fetched by their sequences at a time.
const SOME: usize = 512;

/// What is handed on.
#[derive(Debug)]
pub enum Step {
    /// A head has closed these positions.
    Closed(Closed),
    /// An event that comes when the history is past its position: one that was parked, or one that was known before.
    Late(PublishedEvent),
}

/// Whether to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Read on.
    On,
    /// That was enough.
    Stop,
}

/// Where messages are fetched from that are needed out of their turn.
pub(super) trait Fetch {
    /// The messages at these sequences that are there.
    fn at(&self, sequences: &[u64]) -> Result<Vec<StreamMessage>, StreamReadError>;

    /// Looks at the headers of every message behind a sequence.
    fn headers_behind(&self, after: u64, look: &mut dyn FnMut(&StreamMessage)) -> Result<(), StreamReadError>;

    /// An object of the object store, or what is wrong with it.
    fn object(&self, bucket: &str, name: &str) -> Result<Vec<u8>, String>;
}

/// Messages that were recorded from a stream, in order of their sequences.
pub(super) struct Recording<'a>(pub(super) &'a [StreamMessage]);

impl Fetch for Recording<'_> {
    fn at(&self, sequences: &[u64]) -> Result<Vec<StreamMessage>, StreamReadError> {
        let found = sequences.iter().filter_map(|wanted| {
            let index = self.0.binary_search_by_key(wanted, |message| message.sequence).ok()?;
            self.0.get(index).cloned()
        });
        Ok(found.collect())
    }

    fn headers_behind(&self, after: u64, look: &mut dyn FnMut(&StreamMessage)) -> Result<(), StreamReadError> {
        self.0.iter().filter(|message| message.sequence > after).for_each(look);
        Ok(())
    }

    fn object(&self, _: &str, _: &str) -> Result<Vec<u8>, String> {
        Err("a recording has no objects".into())
    }
}

/// What follows a history message by message.
pub(super) struct Follower<'a> {
    pub(super) from: &'a dyn Fetch,
    pub(super) sources: &'a Sources,
    pub(super) history: &'a mut PublishedHistory,
    /// Where events stand that come later than they should; absent until something is missing.
    pub(super) late: Option<HashMap<u64, Vec<u64>>>,
}

impl Follower<'_> {
    pub(super) fn chunk<E: From<StreamReadError>>(
        &mut self,
        chunk: &[StreamMessage],
        visit: &mut dyn FnMut(&mut PublishedHistory, Step) -> Result<Flow, E>,
    ) -> Result<Flow, E> {
        for message in chunk {
            let (turn, read) = self.sources.read(message);
            let step = match read {
                Ok(Incoming::Other) => None,
                Ok(Incoming::Event(event)) => self.history.event(turn, event).map(Step::Late),
                Ok(Incoming::Linked(linked)) => match self.fetch(turn, linked) {
                    Ok(event) => self.history.event(turn, event).map(Step::Late),
                    Err(bad) => self.bad(bad),
                },
                Ok(Incoming::Head { head, restored }) => {
                    let (sequence, position) = (message.sequence, head.position);
                    match self.history.head(turn, sequence, *head, restored) {
                        Some(missing) => {
                            if !missing.is_empty() {
                                self.supply(&missing, turn, sequence, position)?;
                            }
                            Some(Step::Closed(self.history.close()))
                        }
                        None => None,
                    }
                }
                Err(bad) => self.bad(bad),
            };
            if let Some(step) = step
                && visit(self.history, step)? == Flow::Stop
            {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    /// Reads what stands before a sequence under sources that were not known when that was read.
    pub(super) fn backlog<E: From<StreamReadError>>(
        &mut self,
        turns: usize,
        before: u64,
        visit: &mut dyn FnMut(&mut PublishedHistory, Step) -> Result<Flow, E>,
    ) -> Result<Flow, E> {
        let new = &self.sources.readers[turns..];
        let is_new = |message: &StreamMessage| {
            let is = |reader: &MessageReader| {
                message.subject == reader.head_subject() || matches!(reader.position(message), Ok(Some(_)))
            };
            message.sequence < before && new.iter().any(is)
        };
        let mut sequences = Vec::new();
        self.from.headers_behind(0, &mut |message| {
            if is_new(message) {
                sequences.push(message.sequence);
            }
        })?;
        for some in sequences.chunks(SOME) {
            let messages = self.from.at(some)?;
            if self.chunk(&messages, visit)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    fn bad(&mut self, bad: BadMessage) -> Option<Step> {
        let fault = StreamFault::Message { sequence: bad.sequence, problem: bad.problem.to_string() };
        self.history.add(Some(bad.sequence), bad.position, bad.cid.map(|cid| *cid), fault);
        None
    }

    /// Looks for missing positions behind a head, which covers everything up to `highest`.
    fn supply(&mut self, missing: &[u64], turn: usize, after: u64, highest: u64) -> Result<(), StreamReadError> {
        if self.late.is_none() {
            self.late = Some(self.find_late(turn, after, highest)?);
        }
        let late = self.late.get_or_insert_default();
        let mut sequences: Vec<u64> =
            missing.iter().filter_map(|position| late.get(position)).flatten().copied().collect();
        sequences.retain(|sequence| *sequence > after);
        sequences.sort_unstable();
        let mut supplied = HashSet::new();
        for some in sequences.chunks(SOME) {
            for message in self.from.at(some)? {
                let event = match self.sources.read(&message) {
                    (_, Ok(Incoming::Event(event))) => Ok(event),
                    (turn, Ok(Incoming::Linked(linked))) => self.fetch(turn, linked),
                    // It is named when its turn comes.
                    _ => continue,
                };
                if let Ok(event) = event
                    && supplied.insert(event.position)
                {
                    self.history.supply(event);
                }
            }
        }
        Ok(())
    }

    /// What comes out of order: under the same source, or under a later one where it was put back.
    fn find_late(&self, turn: usize, after: u64, mut highest: u64) -> Result<HashMap<u64, Vec<u64>>, StreamReadError> {
        let mut late: HashMap<u64, Vec<u64>> = HashMap::new();
        self.from.headers_behind(after, &mut |message| {
            let Some((of, position)) = self.sources.position(message) else { return };
            if of < turn || self.sources.is_given_up(of, Some(position)) {
                return;
            }
            if position <= highest {
                late.entry(position).or_default().push(message.sequence);
            }
            highest = highest.max(position);
        })?;
        Ok(late)
    }

    fn fetch(&self, turn: usize, linked: LinkedEvent) -> Result<PublishedEvent, BadMessage> {
        fetch_object(self.from, &self.sources.readers[turn], linked)
    }
}

pub(super) fn fetch_object(
    from: &dyn Fetch,
    messages: &MessageReader,
    linked: LinkedEvent,
) -> Result<PublishedEvent, BadMessage> {
    let object = from.object(&linked.bucket, &linked.name);
    messages.linked(linked, object)
}
