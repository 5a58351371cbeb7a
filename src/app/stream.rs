//! The history that a stream has of one ledger: read, verified on the way, and handed on as heads close it.
//!
//! The messages are fetched by one thread and verified by the one that calls, which must be one that may block. What is
//! held in memory is what no head covers yet.

use std::collections::HashMap;
use std::thread;

use cid::Cid;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::adapters::message::{BadMessage, Incoming, LinkedEvent, MessageReader, StreamMessage};
use crate::adapters::stream_reader::{Selection, StreamReadError, StreamReader, StreamState};
use crate::config::NatsConfig;
use crate::delivery::outbox::Source;
use crate::events::KeyEvent;
use crate::ipld_support::decode_block;
use crate::log::{Closed, PublishedEvent, PublishedHistory, SignedCheckpoint, StreamFault, VerifierKey};
use crate::verify::{Layer, Report};

/// How many chunks may wait between the thread that fetches and the one that verifies.
const WAITING: usize = 16;

/// A ledger's history in a stream.
#[derive(Debug, Clone)]
pub struct LedgerStream {
    runtime: Handle,
    reader: StreamReader,
    messages: MessageReader,
}

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

impl LedgerStream {
    /// The history of a source in the stream that a reader reads.
    #[must_use]
    pub fn new(runtime: Handle, reader: StreamReader, source: &Source) -> Self {
        let messages = MessageReader::new(reader.config(), source);
        Self { runtime, reader, messages }
    }

    /// The same, with another patience: for so long it goes on without an answer before it gives up.
    #[must_use]
    pub fn with_patience(mut self, patience: std::time::Duration) -> Self {
        self.reader = self.reader.with_patience(patience);
        self
    }

    /// The configuration that it is read with.
    #[must_use]
    pub const fn config(&self) -> &NatsConfig {
        self.reader.config()
    }

    /// What is known of the stream now.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn state(&self) -> Result<StreamState, StreamReadError> {
        self.runtime.block_on(self.reader.state())
    }

    /// The newest head, with its sequence.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn newest_head(&self) -> Result<Option<(u64, HeadSeen)>, StreamReadError> {
        let newest = self.runtime.block_on(self.reader.newest(self.messages.head_subject()))?;
        Ok(newest.map(|message| (message.sequence, self.head(&message))))
    }

    fn head(&self, message: &StreamMessage) -> HeadSeen {
        match self.messages.read(message) {
            Ok(Incoming::Head { head, .. }) => HeadSeen::Head(head),
            Ok(_) => HeadSeen::Unreadable("it stands under another subject".into()),
            Err(error) => HeadSeen::Unreadable(error.to_string()),
        }
    }

    /// The newest head that covers no more than so many positions: behind it, everything later can be found.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn head_up_to(&self, position: u64) -> Result<Option<(u64, Box<crate::delivery::Head>)>, StreamReadError> {
        match self.newest_head()? {
            Some((sequence, HeadSeen::Head(head))) if head.position <= position => return Ok(Some((sequence, head))),
            Some(_) if position > 0 => {}
            _ => return Ok(None),
        }
        let mut found = None;
        let selection = Selection { subject: self.messages.head_subject().to_owned(), ..Selection::default() };
        self.runtime.block_on(self.reader.read(&selection, async |chunk| {
            for message in chunk {
                match self.head(&message) {
                    HeadSeen::Head(head) if head.position <= position => found = Some((message.sequence, head)),
                    HeadSeen::Head(_) => return false,
                    HeadSeen::Unreadable(_) => {}
                }
            }
            true
        }))?;
        Ok(found)
    }

    /// Follows the history from a sequence on to the end that the stream has when it is reached, and answers with the
    /// sequence to go on from. `visit` sees what each head closes; what is wrong stands in `history`.
    ///
    /// # Errors
    /// When the stream can't be read, or `visit` fails.
    pub fn follow<E: From<StreamReadError>>(
        &self,
        from: u64,
        history: &mut PublishedHistory,
        visit: &mut dyn FnMut(&mut PublishedHistory, Step) -> Result<Flow, E>,
    ) -> Result<u64, E> {
        let (chunks, mut fetched) = mpsc::channel::<Vec<StreamMessage>>(WAITING);
        let selection = Selection { from, ..Selection::default() };
        thread::scope(|scope| {
            let fetch = scope.spawn(|| {
                let chunks = chunks;
                let read = self.reader.read(&selection, async |chunk| chunks.send(chunk).await.is_ok());
                self.runtime.block_on(read)
            });
            let mut follower = Follower { from: self, messages: &self.messages, history, late: None };
            let mut next = from;
            let mut answer = Ok(Flow::On);
            while let Some(chunk) = fetched.blocking_recv() {
                if let Some(last) = chunk.last() {
                    next = last.sequence + 1;
                }
                answer = follower.chunk(&chunk, visit);
                if !matches!(answer, Ok(Flow::On)) {
                    break;
                }
            }
            // The fetching thread ends when nobody takes its chunks any more.
            drop(fetched);
            let fetched = fetch.join();
            answer?;
            match fetched {
                Ok(fetched) => fetched?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
            Ok(next)
        })
    }

    /// Looks at every message of the ledger in the stream by itself, in the stream's order; heads are left out.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn survey(&self, mut look: impl FnMut(Surveyed<'_>)) -> Result<(), StreamReadError> {
        let (chunks, mut fetched) = mpsc::channel::<Vec<StreamMessage>>(WAITING);
        thread::scope(|scope| {
            let fetch = scope.spawn(|| {
                let chunks = chunks;
                let everything = Selection::default();
                let read = self.reader.read(&everything, async |chunk| chunks.send(chunk).await.is_ok());
                self.runtime.block_on(read)
            });
            while let Some(chunk) = fetched.blocking_recv() {
                for message in &chunk {
                    match self.messages.read(message) {
                        Ok(Incoming::Event(event)) => look(Surveyed::Event(&event)),
                        Ok(Incoming::Linked(linked)) => match fetch_object(self, &self.messages, linked) {
                            Ok(event) => look(Surveyed::Event(&event)),
                            Err(bad) => look(Surveyed::Bad(&bad)),
                        },
                        Ok(_) => {}
                        Err(bad) => look(Surveyed::Bad(&bad)),
                    }
                }
            }
            fetch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// One message, looked at by itself.
#[derive(Debug)]
pub enum Surveyed<'a> {
    /// An event that holds.
    Event(&'a PublishedEvent),
    /// A message under the source's name that does not.
    Bad(&'a BadMessage),
}

/// The newest message on a head subject.
#[derive(Debug, Clone)]
pub enum HeadSeen {
    /// A head.
    Head(Box<crate::delivery::Head>),
    /// Something else, and why.
    Unreadable(String),
}

/// Where messages are fetched from that are needed out of their turn.
trait Fetch {
    /// The messages at these sequences that are there.
    fn at(&self, sequences: &[u64]) -> Result<Vec<StreamMessage>, StreamReadError>;

    /// Looks at the headers of every message behind a sequence.
    fn headers_behind(&self, after: u64, look: &mut dyn FnMut(&StreamMessage)) -> Result<(), StreamReadError>;

    /// An object of the object store, or what is wrong with it.
    fn object(&self, bucket: &str, name: &str) -> Result<Vec<u8>, String>;
}

impl Fetch for LedgerStream {
    fn at(&self, sequences: &[u64]) -> Result<Vec<StreamMessage>, StreamReadError> {
        self.runtime.block_on(self.reader.at(sequences))
    }

    fn headers_behind(&self, after: u64, look: &mut dyn FnMut(&StreamMessage)) -> Result<(), StreamReadError> {
        let selection = Selection { from: after + 1, headers_only: true, ..Selection::default() };
        self.runtime.block_on(self.reader.read(&selection, async |chunk| {
            chunk.iter().for_each(&mut *look);
            true
        }))
    }

    fn object(&self, bucket: &str, name: &str) -> Result<Vec<u8>, String> {
        self.runtime.block_on(self.reader.object(bucket, name))
    }
}

/// Messages that were recorded from a stream, in order of their sequences.
struct Recording<'a>(&'a [StreamMessage]);

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
struct Follower<'a> {
    from: &'a dyn Fetch,
    messages: &'a MessageReader,
    history: &'a mut PublishedHistory,
    /// Where events stand that come later than they should; absent until something is missing.
    late: Option<HashMap<u64, Vec<u64>>>,
}

impl Follower<'_> {
    fn chunk<E: From<StreamReadError>>(
        &mut self,
        chunk: &[StreamMessage],
        visit: &mut dyn FnMut(&mut PublishedHistory, Step) -> Result<Flow, E>,
    ) -> Result<Flow, E> {
        for message in chunk {
            let step = match self.messages.read(message) {
                Ok(Incoming::Other) => None,
                Ok(Incoming::Event(event)) => self.history.event(event).map(Step::Late),
                Ok(Incoming::Linked(linked)) => match self.fetch(linked) {
                    Ok(event) => self.history.event(event).map(Step::Late),
                    Err(bad) => self.bad(bad),
                },
                Ok(Incoming::Head { head, restored }) => {
                    let (sequence, position) = (message.sequence, head.position);
                    let missing = self.history.head(sequence, *head, restored);
                    if !missing.is_empty() {
                        self.supply(&missing, sequence, position)?;
                    }
                    Some(Step::Closed(self.history.close()))
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

    fn bad(&mut self, bad: BadMessage) -> Option<Step> {
        let fault = StreamFault::Message { sequence: bad.sequence, problem: bad.problem.to_string() };
        self.history.add(Some(bad.sequence), bad.position, bad.cid.map(|cid| *cid), fault);
        None
    }

    /// Looks for missing positions behind a head, which covers everything up to `highest`.
    fn supply(&mut self, missing: &[u64], after: u64, highest: u64) -> Result<(), StreamReadError> {
        if self.late.is_none() {
            self.late = Some(self.find_late(after, highest)?);
        }
        let late = self.late.get_or_insert_default();
        let mut sequences: Vec<u64> =
            missing.iter().filter_map(|position| late.get(position)).flatten().copied().collect();
        sequences.retain(|sequence| *sequence > after);
        sequences.sort_unstable();
        let mut supplied = std::collections::HashSet::new();
        for some in sequences.chunks(512) {
            for message in self.from.at(some)? {
                let event = match self.messages.read(&message) {
                    Ok(Incoming::Event(event)) => Ok(event),
                    Ok(Incoming::Linked(linked)) => self.fetch(linked),
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

    fn find_late(&self, after: u64, mut highest: u64) -> Result<HashMap<u64, Vec<u64>>, StreamReadError> {
        let mut late: HashMap<u64, Vec<u64>> = HashMap::new();
        self.from.headers_behind(after, &mut |message| {
            let Ok(Some((position, _))) = self.messages.position(message) else { return };
            if position <= highest {
                late.entry(position).or_default().push(message.sequence);
            }
            highest = highest.max(position);
        })?;
        Ok(late)
    }

    fn fetch(&self, linked: LinkedEvent) -> Result<PublishedEvent, BadMessage> {
        fetch_object(self.from, self.messages, linked)
    }
}

fn fetch_object(from: &dyn Fetch, messages: &MessageReader, linked: LinkedEvent) -> Result<PublishedEvent, BadMessage> {
    let object = from.object(&linked.bucket, &linked.name);
    messages.linked(linked, object)
}

/// What a verified stream was found to hold.
#[derive(Debug, Clone)]
pub struct StreamVerified {
    /// How many events of the ledger it holds, and what is wrong.
    pub report: Report,
    /// How many heads it holds.
    pub heads: u64,
    /// The last position that a head covers.
    pub last: u64,
    /// How many events no head covers yet.
    pub unclosed: u64,
    /// The positions that are parked: the server refused them, and heads name them.
    pub parked: Vec<(u64, Cid)>,
    /// The largest size whose checkpoint, signed with the key, agrees with the events; 0 where there is none.
    pub signed: u64,
    /// The checkpoints that were given, as far as the stream does not reach them.
    pub unreached: Vec<u64>,
}

/// Verifies the whole history that a stream has of a ledger: every message, content identifier, canonical form, order,
/// head, tree, checkpoint and signature. With `held`, also that it agrees with checkpoints that came on another way.
///
/// # Errors
/// When the stream can't be read.
pub fn verify(
    stream: &LedgerStream,
    key: &VerifierKey,
    held: Vec<SignedCheckpoint>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<StreamVerified, StreamReadError> {
    let state = stream.state()?;
    let mut verifier = Verifier::new(key, held);
    let Verifier { history, report } = &mut verifier;
    stream.follow(1, history, &mut |_, step| {
        if let Step::Closed(closed) = &step {
            progress(closed.head.sequence.saturating_sub(state.first), state.messages);
        }
        decode(step, report);
        Ok::<_, StreamReadError>(Flow::On)
    })?;
    Ok(verifier.finish())
}

/// Verifies messages that were recorded from a stream, in order of their sequences, as [`verify`] does the stream itself.
///
/// # Errors
/// Never: a recording can be read.
pub fn verify_recorded(
    recorded: &[StreamMessage],
    messages: &MessageReader,
    key: &VerifierKey,
    held: Vec<SignedCheckpoint>,
) -> Result<StreamVerified, StreamReadError> {
    let recording = Recording(recorded);
    let mut verifier = Verifier::new(key, held);
    let Verifier { history, report } = &mut verifier;
    let mut follower = Follower { from: &recording, messages, history, late: None };
    follower.chunk(recorded, &mut |_, step| {
        decode(step, report);
        Ok::<_, StreamReadError>(Flow::On)
    })?;
    Ok(verifier.finish())
}

/// A history that is verified to its end, whatever is wrong with it.
struct Verifier {
    history: PublishedHistory,
    report: Report,
}

impl Verifier {
    fn new(key: &VerifierKey, held: Vec<SignedCheckpoint>) -> Self {
        let mut history = PublishedHistory::new(Some(key.clone()));
        held.into_iter().for_each(|checkpoint| history.hold_to(checkpoint));
        Self { history, report: Report::new(1) }
    }

    fn finish(self) -> StreamVerified {
        let Self { history, mut report } = self;
        for problem in history.problems() {
            report.add(Layer::Stream, problem.position, problem.cid.as_deref().copied(), problem.to_string());
        }
        report.more += history.more_problems();
        report.events = history.read().0;
        report.last = history.closed();
        StreamVerified {
            heads: history.read().1,
            last: history.closed(),
            unclosed: history.unclosed() as u64,
            parked: history.parked().collect(),
            signed: history.signed(),
            unreached: history.unreached().collect(),
            report,
        }
    }
}

/// Whether what a step brings reads as the event that it says it is.
fn decode(step: Step, report: &mut Report) {
    let events: Vec<PublishedEvent> = match step {
        Step::Closed(closed) => closed.leaves.into_iter().filter_map(|leaf| leaf.event).collect(),
        Step::Late(event) => vec![event],
    };
    for event in events {
        if let Err(error) = decode_block::<KeyEvent>(&event.block) {
            let what = format!("the event does not decode: {error}");
            report.add(Layer::Block, Some(event.position), Some(event.cid), what);
        }
    }
}
