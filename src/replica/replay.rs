//! A ledger rebuilt from its stream, and kept current: into a mirror, pinned to the key that the user typed in.
//!
//! One thread fetches, one verifies, one records. What is recorded was verified first, and a head signed with the pinned
//! key covers it; what no signed head covers waits in a spool. A replay that was interrupted goes on where it stopped.

mod spool;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use cid::Cid;

use super::stream::{Flow, HeadSeen, LedgerStream, Step};
use crate::adapters::stream_reader::StreamReadError;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::log::{
    CheckpointError, Closed, History, HistoryError, KeyChain, PublishedEvent, PublishedHistory, SignedCheckpoint,
    StreamFault, StreamProblem, VerifierKey,
};
use crate::session::Place;
use crate::session::heads::{LogError, key_chain};
use crate::store::{
    CheckpointStoreError, CreateError, FollowedEvent, Mirror, MirrorError, OpenError, OtherKey, ReadError, Store, Which,
};
use spool::Spool;

/// Events handed to the thread that records, and the most that it records in one transaction: pages of random indexes are
/// written once a transaction.
const BATCH: usize = 2_500;
const LARGEST: usize = 4 * BATCH;

/// Why a replay did not end well. What was recorded before is verified and signed, and stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The stream could not be read.
    #[error(transparent)]
    Stream(#[from] StreamReadError),
    /// The stream does not hold, and nothing behind that can be taken.
    #[error("{0}")]
    Broken(Box<StreamProblem>),
    /// The stream has nothing of this ledger.
    #[error("the stream {stream} has no head of the ledger with this key")]
    Nothing {
        /// The stream.
        stream: String,
    },
    /// The newest message on the head subject is no head.
    #[error("the newest message under the ledger's head subject, at sequence {sequence}, is no head: {problem}")]
    Unreadable {
        /// Its sequence.
        sequence: u64,
        /// What is wrong.
        problem: String,
    },
    /// The stream ends before the mirror does.
    #[error("the stream has lost what it had: its newest head covers position {last}, and the mirror has {end}")]
    Behind {
        /// What the stream's newest head covers.
        last: u64,
        /// The mirror's last position.
        end: u64,
    },
    /// The mirror did not take it.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The mirror could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The mirror could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The mirror could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A checkpoint could not be kept.
    #[error(transparent)]
    Keep(#[from] CheckpointStoreError),
    /// The checkpoint that was given is not signed with the key.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The stream does not reach the checkpoint that was given.
    #[error(
        "the stream has {last} events of this ledger, and the checkpoint is of {size}: it was published elsewhere, or the stream has lost the rest"
    )]
    Unreached {
        /// The checkpoint's size.
        size: u64,
        /// How far the stream's heads go.
        last: u64,
    },
    /// A new mirror needs a key that its user got on another way.
    #[error("there is no mirror yet, and a new one is pinned to the ledger's key")]
    KeyNeeded,
    /// The mirror is pinned to another key.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// The keys that the mirror knows could not be looked up.
    #[error(transparent)]
    Keys(#[from] LogError),
    /// What an interrupted run has left does not go on from the mirror.
    #[error(transparent)]
    Resumed(#[from] HistoryError),
    /// A file or folder of the mirror could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Explained for ReplayError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::KeyNeeded | Self::OtherKey(_) | Self::Nothing { .. } => ErrorKind::Usage,
            Self::Broken(_) | Self::Unreadable { .. } | Self::Behind { .. } | Self::Checkpoint(_) => {
                ErrorKind::Verification
            }
            Self::Open(OpenError::NotAMirror(_)) => ErrorKind::Refused,
            Self::Mirror(_) | Self::Keep(_) if self.is_alarm() => ErrorKind::Verification,
            Self::Mirror(_)
            | Self::Create(_)
            | Self::Open(_)
            | Self::Read(_)
            | Self::Keep(_)
            | Self::Unreached { .. }
            | Self::Keys(_)
            | Self::Resumed(_)
            | Self::Io { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Stream(error) => error.advice(),
            Self::Nothing { .. } => {
                vec![Advice::Do("look at --stream and --key, and see whether anything was published")]
            }
            Self::Behind { .. } => vec![Advice::Run(Action::Reconcile, "at the ledger puts it back")],
            Self::KeyNeeded => vec![
                Advice::Do("give the key with --key"),
                Advice::Run(Action::ShowPublicKey, "at the ledger prints it"),
            ],
            Self::Mirror(error) => error.advice(),
            Self::Create(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Keep(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::Keys(error) => error.advice(),
            Self::Broken(problem) => problem.advice(),
            Self::Unreadable { .. }
            | Self::Unreached { .. }
            | Self::OtherKey(_)
            | Self::Resumed(_)
            | Self::Io { .. } => Vec::new(),
        }
    }
}

impl ReplayError {
    /// Whether it says that the stream is not what it should be, rather than that something did not work.
    #[must_use]
    pub const fn is_alarm(&self) -> bool {
        matches!(
            self,
            Self::Broken(_)
                | Self::Unreadable { .. }
                | Self::Behind { .. }
                | Self::Mirror(MirrorError::Fork { .. } | MirrorError::Gap { .. })
                | Self::Keep(CheckpointStoreError::Disagrees { .. })
        )
    }
}

/// What a replay has come to.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// How many events are new in the mirror.
    pub new: u64,
    /// The last position of the mirror now.
    pub end: u64,
    /// The last position that a head of the stream covers.
    pub last: u64,
    /// The newest signed head that the mirror keeps, as far as it is new.
    pub checkpoint: Option<SignedCheckpoint>,
    /// What is parked, and so kept the mirror from going on: position and content identifier.
    pub parked: Vec<(u64, Cid)>,
    /// What is wrong with the stream, and kept nothing from being taken.
    pub remarks: Vec<StreamProblem>,
}

impl Replayed {
    /// How many events heads cover that are not in the mirror: no signed head covers them yet, or one is parked.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.last.saturating_sub(self.end)
    }
}

/// What is called now and then with the position that was verified, and the one that the stream has.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// A mirror that is fed from a stream.
#[derive(Debug)]
pub struct Replica<'a> {
    stream: &'a LedgerStream,
    place: Place,
    key: VerifierKey,
    session: Option<Session>,
}

/// How far a stream was followed.
#[derive(Debug)]
struct Session {
    history: PublishedHistory,
    spool: Spool,
    next: u64,
    told: usize,
    /// Signed heads that the mirror does not reach yet.
    pending: Vec<SignedCheckpoint>,
}

impl<'a> Replica<'a> {
    /// The mirror at a place, or the one that is to be made there.
    ///
    /// # Errors
    /// When there is a mirror of another ledger, or a ledger of one's own, or no key is known.
    pub fn new(stream: &'a LedgerStream, place: Place, key: &VerifierKey) -> Result<Self, ReplayError> {
        if place.database().exists() {
            Mirror::open(place.options())?.is_of(key)?;
        }
        Ok(Self { stream, place, key: key.clone(), session: None })
    }

    /// Takes everything that the stream has and a signed head covers; with `at`, up to that checkpoint and no further.
    ///
    /// # Errors
    /// When the stream does not hold, can't be read, or the disk fails. The next call goes on behind what was recorded.
    pub fn catch_up(&mut self, at: Option<&SignedCheckpoint>, progress: Progress<'_>) -> Result<Replayed, ReplayError> {
        if let Some(Err(error)) = at.map(|at| at.verify(&self.key))
            && !self.stream.may_be_of_another_key(&error)?
        {
            return Err(error.into());
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.begin()?,
        };
        if let Some(at) = at {
            session.history.hold_to(at.clone());
        }
        let replayed = self.go_on(&mut session, at, progress)?;
        if at.is_none() {
            self.session = Some(session);
        }
        Ok(replayed)
    }

    fn spool(&self) -> PathBuf {
        self.place.folder().join("replay.spool")
    }

    /// Finds out where to begin: behind the newest head that the mirror covers, or what an interrupted run has spooled.
    fn begin(&self) -> Result<Session, ReplayError> {
        let io = |path: PathBuf| move |source| ReplayError::Io { path, source };
        let folder = self.place.folder().to_owned();
        std::fs::create_dir_all(&folder).map_err(io(folder))?;
        let store = self.known()?;
        let end = store.as_ref().map_or(Ok(0), Store::end)?;
        let stream_name = self.stream.config().stream_name.to_string();
        match self.stream.newest_head()? {
            None => return Err(ReplayError::Nothing { stream: stream_name }),
            Some((sequence, HeadSeen::Unreadable(problem))) => {
                return Err(ReplayError::Unreadable { sequence, problem });
            }
            Some((_, HeadSeen::Head(head))) if head.position < end => {
                self.compare(store.as_ref(), head.position, head.cid)?;
                return Err(ReplayError::Behind { last: head.position, end });
            }
            Some(_) => {}
        }
        let edge = |position: u64| match &store {
            Some(store) => Ok::<_, ReadError>(History::from_edge(store.edge(position)?).forgetful()),
            None => Ok(History::new().forgetful()),
        };
        let known_keys = || match &store {
            Some(store) => key_chain(store, self.key.clone()),
            None => Ok(KeyChain::new(self.key.clone())),
        };
        let mut keys = known_keys()?;
        let incarnation = format!("{stream_name} {} {}", self.stream.state()?.created, self.key);
        let mut history = None;
        let begin = |base: u64| history = Some(edge(base));
        let mut resumed = Vec::new();
        let path = self.spool();
        let spooled = {
            let mut push = |leaf: &crate::log::Leaf| {
                resumed.push(leaf.cid);
                if let Some(event) = &leaf.event {
                    let event_type = event.block.envelope().event_type;
                    keys.see_block(leaf.position, &leaf.cid, event_type, &event.block);
                }
            };
            Spool::resume(&path, &incarnation, end, begin, &mut push).map_err(io(path.clone()))?
        };
        if let (Some(spool), Some(history)) = (spooled, history)
            && let Some(turn) = self.stream.turn_of(spool.head())?
        {
            let mut history = history?;
            resumed.iter().try_for_each(|cid| history.push_unread(cid))?;
            let head = spool.head();
            let history = PublishedHistory::from_head(history, Some((turn, head)), Some(keys));
            return Ok(Session { history, spool, next: head.sequence + 1, told: 0, pending: Vec::new() });
        }
        let spool = Spool::new(&path, &incarnation, end).map_err(io(path))?;
        let before = self.stream.head_up_to(end)?;
        if let Some((_, head)) = &before {
            self.compare(store.as_ref(), head.position, head.cid)?;
        }
        // That head is read too: its signature is nobody's word yet.
        let history = PublishedHistory::from_head(edge(end)?, None, Some(known_keys()?));
        let next = before.map_or(1, |(sequence, _)| sequence);
        Ok(Session { history, spool, next, told: 0, pending: Vec::new() })
    }

    fn known(&self) -> Result<Option<Store>, ReplayError> {
        let there = self.place.database().exists();
        Ok(there.then(|| Store::open_read_only(self.place.options())).transpose()?)
    }

    /// What the mirror has at a position must be what the stream has there.
    fn compare(&self, store: Option<&Store>, position: u64, here: Cid) -> Result<(), ReplayError> {
        let Some(store) = store.filter(|_| position > 0) else { return Ok(()) };
        let there = store.event(&Which::Position(position))?.cid;
        match there == here {
            true => Ok(()),
            false => Err(MirrorError::Fork { position, there: Box::new(there), here: Box::new(here) }.into()),
        }
    }

    fn go_on(
        &self,
        session: &mut Session,
        at: Option<&SignedCheckpoint>,
        progress: Progress<'_>,
    ) -> Result<Replayed, ReplayError> {
        let store = self.known()?;
        let goal = match self.stream.newest_head()? {
            Some((_, HeadSeen::Head(head))) => head.position,
            _ => 0,
        };
        let limit = at.map_or(u64::MAX, SignedCheckpoint::size);
        let begun = session.history.closed();
        let (jobs, work) = sync_channel(4);
        let (followed, recorded) = thread::scope(|scope| {
            let writer = scope.spawn(|| Recorder::new(self).run(work));
            let Session { history, spool, next, pending, .. } = session;
            let mut taker = Taker { spool, pending, jobs, limit, path: self.spool() };
            let followed = self.stream.follow(*next, history, &mut |history, step| {
                match step {
                    Step::Late(event) if event.position <= begun => {
                        let known = store.as_ref().map_or(Ok(0), Store::end)?;
                        if event.position <= known {
                            self.compare(store.as_ref(), event.position, event.cid)?;
                        }
                    }
                    Step::Late(event) => {
                        taker.spool.fill(event);
                        taker.flush()?;
                    }
                    Step::Closed(closed) => {
                        progress(history.closed().min(limit), goal.min(limit));
                        taker.take(closed)?;
                    }
                }
                if let Some(problem) = history.broken() {
                    return Err(ReplayError::Broken(Box::new(problem.clone())));
                }
                Ok(if history.signed() >= limit { Flow::Stop } else { Flow::On })
            });
            let kept = taker.spool.keep().map_err(|source| ReplayError::Io { path: taker.path.clone(), source });
            drop(taker);
            let recorded = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // What the recording thread says explains why the other could not go on.
            (followed.and_then(|next| kept.map(|()| next)), recorded)
        });
        let recorded = recorded?;
        session.next = followed?;
        let end = self.known()?.map_or(Ok(0), |store| store.end())?;
        if let Some(size) = at.map(SignedCheckpoint::size).filter(|size| end < *size) {
            if session.history.parked().next().is_none() {
                return Err(ReplayError::Unreached { size, last: session.history.closed() });
            }
        } else if at.is_some() {
            spool::remove(&self.spool()).map_err(|source| ReplayError::Io { path: self.spool(), source })?;
        }
        let remarks = session.history.problems().get(session.told..).unwrap_or_default().to_vec();
        session.told = session.history.problems().len();
        Ok(Replayed {
            new: recorded.new,
            end,
            last: session.history.closed(),
            checkpoint: recorded.checkpoint,
            parked: session.history.parked().collect(),
            remarks,
        })
    }
}

/// What the recording thread is told to do.
enum Job {
    Record(u64, Vec<FollowedEvent>),
    Keep(SignedCheckpoint),
}

/// Puts aside what was verified, and lets it be recorded once it is signed.
struct Taker<'s> {
    spool: &'s mut Spool,
    pending: &'s mut Vec<SignedCheckpoint>,
    jobs: SyncSender<Job>,
    limit: u64,
    path: PathBuf,
}

/// The recording thread is gone, or the spool failed.
enum TakeError {
    Gone,
    Io(io::Error),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Taker<'_> {
    fn take(&mut self, closed: Closed) -> Result<(), ReplayError> {
        let spooled = self.spool.push(closed.leaves, closed.head);
        spooled.map_err(|source| ReplayError::Io { path: self.path.clone(), source })?;
        let limit = self.limit;
        let new = closed.checkpoints.into_iter().filter(|one| one.size() <= limit);
        let before = self.pending.len();
        self.pending.extend(new);
        if self.pending.len() > before { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ReplayError> {
        let Some(signed) = self.pending.last().map(SignedCheckpoint::size) else { return Ok(()) };
        match self.record(signed) {
            Ok(()) => Ok(()),
            Err(TakeError::Io(source)) => Err(ReplayError::Io { path: self.path.clone(), source }),
            // Its own error is told in place of this one.
            Err(TakeError::Gone) => {
                Err(ReplayError::Io { path: self.path.clone(), source: io::ErrorKind::BrokenPipe.into() })
            }
        }
    }

    fn record(&mut self, signed: u64) -> Result<(), TakeError> {
        let mut first = 0;
        let mut batch = Vec::new();
        let jobs = &self.jobs;
        let send = |job| jobs.send(job).map_err(|_| TakeError::Gone);
        let taken = self.spool.take(signed, |event| {
            if batch.is_empty() {
                first = event.position;
            }
            let PublishedEvent { cid, aggregate, block, .. } = event;
            batch.push(FollowedEvent { cid, aggregate, block });
            if batch.len() == BATCH { send(Job::Record(first, std::mem::take(&mut batch))) } else { Ok(()) }
        })?;
        if !batch.is_empty() {
            send(Job::Record(first, batch))?;
        }
        let reached = self.pending.partition_point(|checkpoint| checkpoint.size() <= taken);
        self.pending.drain(..reached).try_for_each(|checkpoint| send(Job::Keep(checkpoint)))
    }
}

/// The thread that records: everything that waits, in one transaction.
struct Recorder<'r> {
    replica: &'r Replica<'r>,
    mirror: Option<Mirror>,
    /// The position of the first of `events`.
    first: u64,
    events: Vec<FollowedEvent>,
    checkpoints: Vec<SignedCheckpoint>,
    done: Recorded,
}

#[derive(Default)]
struct Recorded {
    new: u64,
    checkpoint: Option<SignedCheckpoint>,
}

impl<'r> Recorder<'r> {
    fn new(replica: &'r Replica<'r>) -> Self {
        let (events, checkpoints) = (Vec::new(), Vec::new());
        Self { replica, mirror: None, first: 0, events, checkpoints, done: Recorded::default() }
    }

    fn run(mut self, work: Receiver<Job>) -> Result<Recorded, ReplayError> {
        while let Ok(job) = work.recv() {
            self.gather(job);
            while self.events.len() < LARGEST
                && let Ok(job) = work.try_recv()
            {
                self.gather(job);
            }
            self.record()?;
        }
        Ok(self.done)
    }

    fn gather(&mut self, job: Job) {
        match job {
            Job::Record(first, events) => {
                if self.events.is_empty() {
                    self.first = first;
                }
                self.events.extend(events);
            }
            Job::Keep(checkpoint) => self.checkpoints.push(checkpoint),
        }
    }

    fn mirror(&mut self) -> Result<Option<&Mirror>, ReplayError> {
        if self.mirror.is_none() && self.replica.place.database().exists() {
            self.mirror = Some(Mirror::open(self.replica.place.options())?);
        }
        Ok(self.mirror.as_ref())
    }

    fn record(&mut self) -> Result<(), ReplayError> {
        let (mut events, checkpoints) = (std::mem::take(&mut self.events), std::mem::take(&mut self.checkpoints));
        let mut first = self.first;
        if first == 1 && !events.is_empty() && self.mirror()?.is_none() {
            let created = events.remove(0);
            self.mirror = Some(Mirror::create(self.replica.place.options(), created, &self.replica.key)?);
            first += 1;
            self.done.new += 1;
        }
        let Some(mirror) = self.mirror()? else {
            return if events.is_empty() { Ok(()) } else { Err(MirrorError::Gap { needed: 1, first }.into()) };
        };
        let new = if events.is_empty() { 0 } else { mirror.record(first, events, Vec::new())? };
        mirror.keep_checkpoints(&checkpoints)?;
        self.done.new += new;
        self.done.checkpoint = checkpoints.last().cloned().or(self.done.checkpoint.take());
        Ok(())
    }
}

/// A problem of a stream, with the words for what it is: the alarm that `follow` raises.
#[must_use]
pub fn alarm(problem: &StreamProblem) -> &'static str {
    match &problem.fault {
        StreamFault::Lost { .. } | StreamFault::Chain { .. } => "gap",
        fault if fault.is_fork() => "fork",
        StreamFault::Signature(_)
        | StreamFault::Checkpoint { .. }
        | StreamFault::Superseded { .. }
        | StreamFault::Unvouched { .. } => "signature",
        _ => "message",
    }
}
