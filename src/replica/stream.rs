//! The history that a stream has of one ledger: read, verified on the way, and handed on as heads close it.
//!
//! The messages are fetched by one thread and verified by the one that calls, which must be one that may block. What is
//! held in memory is what no head covers yet.
//!
//! A ledger has one source a key: whoever trusts one key is led to the next, where the one before it vouched for that.

mod follower;
mod sources;
mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::adapters::message::{BadMessage, Incoming, StreamMessage};
use crate::adapters::stream_reader::{Selection, StreamReadError, StreamReader, StreamState};
use crate::config::NatsConfig;
use crate::delivery::Previous;
use crate::log::{CheckpointError, KeyChain, PublishedEvent, PublishedHistory, StreamFault, VerifierKey};
use crate::session::heads::LogError;
use crate::store::Store;
use follower::{Fetch, Follower, fetch_object};
use sources::{Sources, Trust};

pub use follower::{Flow, Step};
pub use sources::HeadSeen;
pub use verify::{StreamVerified, VouchError, verify, verify_recorded, vouched};

/// How many chunks may wait between the thread that fetches and the one that verifies.
const WAITING: usize = 16;

/// A ledger's history in a stream.
#[derive(Debug, Clone)]
pub struct LedgerStream {
    runtime: Handle,
    reader: StreamReader,
    trust: Arc<Trust>,
    /// As far as they are known; they are looked for again when a new key is announced.
    sources: Arc<Mutex<Sources>>,
}

impl LedgerStream {
    /// The history, in the stream that a reader reads, of the ledger with a key that is trusted.
    #[must_use]
    pub fn new(runtime: Handle, reader: StreamReader, key: &VerifierKey) -> Self {
        Self::with_trust(runtime, reader, Trust::new(key))
    }

    /// The history of a ledger that is at hand, or a mirror of it: it tells itself which keys it had.
    ///
    /// # Errors
    /// When its keys can't be read.
    pub fn of_ledger(runtime: Handle, reader: StreamReader, store: &Store) -> Result<Self, LogError> {
        Ok(Self::with_trust(runtime, reader, Trust::of_ledger(store)?))
    }

    fn with_trust(runtime: Handle, reader: StreamReader, trust: Trust) -> Self {
        Self { runtime, reader, trust: Arc::new(trust), sources: Arc::default() }
    }

    /// The keys from which the history is followed.
    #[must_use]
    pub fn keys(&self) -> KeyChain {
        self.trust.chain.clone()
    }

    /// Under which sources the ledger stands in the stream now.
    fn sources(&self) -> Result<Sources, StreamReadError> {
        let known = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.runtime.block_on(known.is_stale(&self.reader))? {
            return Ok(known);
        }
        let found = self.runtime.block_on(Sources::find(&self.reader, &self.trust))?;
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(found)
    }

    /// Whether the ledger goes on under a later key than the one that is trusted, which vouched for it.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn is_succeeded(&self) -> Result<bool, StreamReadError> {
        let sources = self.sources()?;
        Ok(sources.trusted + 1 < sources.readers.len())
    }

    /// Whether a checkpoint that the trusted key did not sign may be signed with another of the ledger's: that is found out
    /// when the history reaches it.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn may_be_of_another_key(&self, error: &CheckpointError) -> Result<bool, StreamReadError> {
        Ok(matches!(error, CheckpointError::NotSigned { .. }) && self.sources()?.readers.len() > 1)
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

    /// The newest head, with its sequence, under whichever key.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn newest_head(&self) -> Result<Option<(u64, HeadSeen)>, StreamReadError> {
        let sources = self.sources()?;
        for turn in (0..sources.readers.len()).rev() {
            match self.runtime.block_on(sources.newest_head(&self.reader, turn))? {
                Some((_, HeadSeen::Head(head))) if sources.is_given_up(turn, Some(head.position)) => {}
                None => {}
                found => return Ok(found),
            }
        }
        Ok(None)
    }

    /// The newest head under the key that is trusted, with its sequence.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn newest_head_of_key(&self) -> Result<Option<(u64, HeadSeen)>, StreamReadError> {
        let sources = self.sources()?;
        self.runtime.block_on(sources.newest_head(&self.reader, sources.trusted))
    }

    /// The newest head that covers no more than so many positions: behind it, everything later can be found.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn head_up_to(&self, position: u64) -> Result<Option<FoundHead>, StreamReadError> {
        if position == 0 {
            return Ok(None);
        }
        let sources = self.sources()?;
        for turn in (0..sources.readers.len()).rev() {
            let found = match self.runtime.block_on(sources.newest_head(&self.reader, turn))? {
                Some((sequence, HeadSeen::Head(head))) if head.position <= position => Some((sequence, head)),
                Some(_) => self.head_of_turn(&sources, turn, position)?,
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn head_of_turn(
        &self,
        sources: &Sources,
        turn: usize,
        position: u64,
    ) -> Result<Option<FoundHead>, StreamReadError> {
        let reader = &sources.readers[turn];
        let mut found = None;
        let selection = Selection { subject: reader.head_subject().to_owned(), ..Selection::default() };
        self.runtime.block_on(self.reader.read(&selection, async |chunk| {
            for message in chunk {
                match sources::head_of(reader, &message) {
                    HeadSeen::Head(head)
                        if head.position <= position && !sources.is_given_up(turn, Some(head.position)) =>
                    {
                        found = Some((message.sequence, head));
                    }
                    HeadSeen::Head(_) => return false,
                    HeadSeen::Unreadable(_) => {}
                }
            }
            true
        }))?;
        Ok(found)
    }

    /// Whose turn the head at a sequence is, if it is there.
    ///
    /// # Errors
    /// When the stream can't be read.
    pub fn turn_of(&self, head: Previous) -> Result<Option<usize>, StreamReadError> {
        let sources = self.sources()?;
        let message = self.runtime.block_on(self.reader.at(&[head.sequence]))?.pop();
        Ok(message.and_then(|message| match sources.read(&message) {
            (turn, Ok(Incoming::Head { head: there, .. })) if there.position == head.position => Some(turn),
            _ => None,
        }))
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
        let sources = self.sources()?;
        let known = history.set_turns(sources.readers.len(), &sources.earlier);
        for (sequence, key) in &sources.unvouched {
            history.add_once(*sequence, StreamFault::Unvouched { sequence: *sequence, key: key.to_string() });
        }
        let mut follower = Follower { from: self, sources: &sources, history, late: None };
        if let Some(known) = known {
            if known.earlier != sources.earlier.ends.len() {
                return Err(self.reader.failed_with("an earlier key of the ledger came to be known".into()).into());
            }
            // What a later source had before its key was known of was passed over.
            if known.all < sources.readers.len() && follower.backlog(known.all, from, visit)? == Flow::Stop {
                return Ok(from);
            }
        }
        let (chunks, mut fetched) = mpsc::channel::<Vec<StreamMessage>>(WAITING);
        let selection = Selection { from, ..Selection::default() };
        thread::scope(|scope| {
            let fetch = scope.spawn(|| {
                let chunks = chunks;
                let read = self.reader.read(&selection, async |chunk| chunks.send(chunk).await.is_ok());
                self.runtime.block_on(read)
            });
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
        let sources = self.sources()?;
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
                    let (turn, read) = sources.read(message);
                    match read {
                        Ok(Incoming::Event(event)) if sources.is_given_up(turn, Some(event.position)) => {}
                        Ok(Incoming::Event(event)) => look(Surveyed::Event(&event)),
                        Ok(Incoming::Linked(linked)) => match fetch_object(self, &sources.readers[turn], linked) {
                            Ok(event) if sources.is_given_up(turn, Some(event.position)) => {}
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

/// A head, with its sequence in the stream.
pub type FoundHead = (u64, Box<crate::delivery::Head>);

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
