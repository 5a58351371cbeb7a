//! A ledger and its stream compared event by event, and what the stream has lost put back.
//!
//! The ledger keeps every event, whatever becomes of the stream. What the stream had once, as its heads or the ledger's own
//! memory of it say, and has no longer, is put back in batches that are marked, each closed by a head. What was never
//! published is left to `sync`.

use std::collections::BTreeSet;

use cid::Cid;
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::stream::{LedgerStream, Surveyed};
use crate::adapters::message::MessageProblem;
use crate::adapters::nats_client::restore::{MAX_BATCH_BYTES, RestoreError, Restorer};
use crate::adapters::stream_reader::StreamReadError;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::delivery::outbox::{Entry, Outbox as _, OutboxError};
use crate::delivery::{Head, ParkedEvent, Previous};
use crate::store::{LedgerOutbox, OpenError, ReadError, Store, Which};

/// How often a batch is made anew because another publisher was faster.
const TRIES: u32 = 5;

/// Why ledger and stream could not be reconciled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The stream could not be read.
    #[error(transparent)]
    Stream(#[from] StreamReadError),
    /// What is missing could not be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger could not be opened once more.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger's memory of the stream could not be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The stream has another event at a position.
    #[error(
        "two histories: at position {position} the ledger has {ours}, and the stream, at sequence {sequence}, {theirs}. Nothing was put back"
    )]
    Fork {
        /// The position.
        position: u64,
        /// What the ledger has.
        ours: Box<Cid>,
        /// The sequence in the stream.
        sequence: u64,
        /// What the stream has.
        theirs: Box<Cid>,
    },
    /// The stream has more than the ledger.
    #[error("the stream has position {theirs} of this ledger, and the ledger ends at {ours}. Nothing was put back")]
    Ahead {
        /// The ledger's last position.
        ours: u64,
        /// The stream's.
        theirs: u64,
    },
    /// The ledger has gone on under another key.
    #[error(
        "the ledger has gone on under another key, as the stream tells, and this copy does not know of it. Nothing was put back"
    )]
    Succeeded,
    /// Nothing was published under the key of now, so there is no head that what is put back could be closed with.
    #[error("the ledger goes on under a new key, and has published nothing under it yet")]
    NotPublished,
}

impl Explained for ReconcileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stream(error) => error.kind(),
            Self::Restore(error) => error.kind(),
            Self::Fork { .. } => ErrorKind::Verification,
            Self::Ahead { .. } | Self::Succeeded | Self::NotPublished => ErrorKind::Refused,
            Self::Read(_) | Self::Open(_) | Self::Outbox(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Stream(error) => error.advice(),
            Self::Restore(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Fork { .. } => vec![Advice::KEEP_BOTH],
            Self::Ahead { .. } => vec![Advice::Do("bring the ledger up to date first")],
            Self::Succeeded => vec![Advice::Run(Action::UpdateMirror, "brings this copy up to date first")],
            Self::NotPublished => vec![Advice::Run(Action::SyncOnce, "publishes; then reconcile again")],
            Self::Outbox(error) => error.advice(),
        }
    }
}

/// How a ledger and its stream differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// The last position that the stream had once.
    pub published: u64,
    /// What the stream has of that.
    pub present: u64,
    /// What it has lost, as ranges of positions.
    pub missing: Vec<(u64, u64)>,
    /// What it has dropped by its own limits of age, number or size: the positions up to this one. That is not put back.
    pub expired: u64,
    /// What the server refused for what it is: it was never in the stream.
    pub parked: Vec<u64>,
    /// What stands there more than once: the position, and the sequence of the later one.
    pub twice: Vec<(u64, u64)>,
    /// Messages under the ledger's name that are none of its events: the sequence, and what is wrong.
    pub bad: Vec<(u64, String)>,
    /// Events whose message is there, and whose object is gone.
    pub objects: Vec<u64>,
    /// Whether the newest head lacks the checkpoint that the ledger has of its position.
    pub unsigned_head: bool,
}

impl Differences {
    /// How many events are missing.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.missing.iter().map(|(from, through)| through - from + 1).sum()
    }

    /// Whether there is something to put back.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.objects.is_empty() && !self.unsigned_head
    }
}

/// Compares and puts back.
pub struct Reconciler<'a> {
    runtime: Handle,
    stream: &'a LedgerStream,
    store: &'a Store,
    outbox: LedgerOutbox,
}

impl<'a> Reconciler<'a> {
    /// For a ledger, or a mirror of one, and its stream.
    ///
    /// # Errors
    /// When the ledger can't be opened once more.
    pub fn new(runtime: Handle, stream: &'a LedgerStream, store: &'a Store) -> Result<Self, ReconcileError> {
        Ok(Self { runtime, stream, store, outbox: store.outbox_read_only()? })
    }

    /// Reads the whole stream, and compares it with the ledger. Nothing is changed.
    ///
    /// # Errors
    /// When one of the two can't be read, or they are two histories.
    pub fn compare(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Differences, ReconcileError> {
        let end = self.store.end()?;
        let state = self.stream.state()?;
        if self.stream.is_succeeded()? {
            return Err(ReconcileError::Succeeded);
        }
        if !self.outbox.predecessors().is_empty() && self.head()?.is_none() {
            return Err(ReconcileError::NotPublished);
        }
        let mut seen = Seen { present: vec![false; usize::try_from(end + 1).unwrap_or(0)], ..Seen::default() };
        let mut failed = None;
        self.stream.survey(|surveyed| {
            if failed.is_none() {
                failed = self.look(surveyed, end, &mut seen).err();
                progress(seen.sequence.saturating_sub(state.first), state.messages);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.differences(seen, end, state.expires, state.created)
    }

    fn look(&self, surveyed: Surveyed<'_>, end: u64, seen: &mut Seen) -> Result<(), ReconcileError> {
        let event = match surveyed {
            Surveyed::Event(event) => event,
            Surveyed::Bad(bad) => {
                seen.sequence = bad.sequence;
                match (&bad.problem, bad.position) {
                    (MessageProblem::Object(_), Some(position)) if position <= end => seen.objects.push(position),
                    _ => seen.bad.push((bad.sequence, bad.problem.to_string())),
                }
                return Ok(());
            }
        };
        let (position, sequence) = (event.position, event.sequence);
        seen.sequence = sequence;
        if position > end {
            return Err(ReconcileError::Ahead { ours: end, theirs: position });
        }
        match self.outbox.cid_at(position)? {
            Some(ours) if ours != event.cid => {
                let (ours, theirs) = (Box::new(ours), Box::new(event.cid));
                return Err(ReconcileError::Fork { position, ours, sequence, theirs });
            }
            _ => {}
        }
        match seen.present.get_mut(position as usize) {
            Some(present) if *present => seen.twice.push((position, sequence)),
            Some(present) => *present = true,
            None => {}
        }
        Ok(())
    }

    fn differences(
        &self,
        seen: Seen,
        end: u64,
        expires: bool,
        created: Timestamp,
    ) -> Result<Differences, ReconcileError> {
        let head = self.head()?;
        let name = self.stream.config().stream_name.as_str();
        let cursors = self.outbox.cursors()?;
        let known = cursors.iter().filter(|(key, _)| key.stream == name);
        let known = known.filter(|(key, _)| key.created.parse().is_ok_and(|of: Timestamp| of == created));
        let known = known.map(|(_, cursor)| cursor.position).max().unwrap_or(0);
        let covered = head.as_ref().map_or(0, |(_, head)| head.position);
        // A head is only what somebody wrote: what it covers is believed as far as the ledger goes.
        if covered > end {
            return Err(ReconcileError::Ahead { ours: end, theirs: covered });
        }
        let published = known.max(covered);
        let parked = self.parked(head.as_ref().map(|(_, head)| head), published)?;
        let there = |position: u64| seen.present.get(position as usize).copied().unwrap_or(false);
        let first = (1..=published).find(|position| there(*position)).unwrap_or(1);
        let expired = if expires { first - 1 } else { 0 };
        let mut differences = Differences {
            published,
            expired,
            parked: parked.iter().copied().filter(|position| !there(*position)).collect(),
            present: (1..=published).filter(|position| there(*position)).count() as u64,
            twice: seen.twice,
            bad: seen.bad,
            objects: seen.objects.into_iter().filter(|position| !there(*position)).collect(),
            ..Differences::default()
        };
        let away: BTreeSet<u64> = differences.objects.iter().copied().collect();
        for position in expired + 1..=published {
            if there(position) || parked.contains(&position) || away.contains(&position) {
                continue;
            }
            match differences.missing.last_mut() {
                Some((_, through)) if *through + 1 == position => *through = position,
                _ => differences.missing.push((position, position)),
            }
        }
        if let Some((_, head)) = &head {
            differences.unsigned_head = head.checkpoint.is_none() && self.outbox.checkpoint(head.position)?.is_some();
        }
        Ok(differences)
    }

    fn head(&self) -> Result<Option<(u64, Head)>, ReconcileError> {
        match self.stream.newest_head_of_key()? {
            None => Ok(None),
            Some((sequence, super::stream::HeadSeen::Head(head))) => Ok(Some((sequence, *head))),
            Some((sequence, super::stream::HeadSeen::Unreadable(problem))) => {
                Err(RestoreError::HeadUnreadable { sequence, problem }.into())
            }
        }
    }

    fn parked(&self, head: Option<&Head>, published: u64) -> Result<BTreeSet<u64>, ReconcileError> {
        let ours = self.outbox.parked()?.into_iter().map(|parked| parked.position);
        let theirs = head.into_iter().flat_map(|head| &head.parked).map(|parked| parked.position);
        Ok(ours.chain(theirs).filter(|position| *position <= published).collect())
    }

    /// Puts back what is missing; answers with how many events that were.
    ///
    /// # Errors
    /// When the server does not take it. What was put back before stays, and is not put back again by the next run.
    pub fn put_back(
        &self,
        differences: &Differences,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, ReconcileError> {
        if differences.is_whole() {
            return Ok(0);
        }
        let restorer = self.runtime.block_on(Restorer::connect(self.stream.config(), self.outbox.source()));
        let restorer = restorer.map_err(RestoreError::from)?;
        self.runtime.block_on(restorer.stream())?;
        for position in &differences.objects {
            for entry in self.outbox.read(position - 1, 1, usize::MAX)? {
                self.runtime.block_on(restorer.put_object(&entry))?;
            }
        }
        let most = usize::from(self.stream.config().publish_batch);
        let mut left: Vec<(u64, u64)> = differences.missing.iter().rev().copied().collect();
        let (all, mut done) = (differences.lost(), 0);
        while !left.is_empty() {
            let batch = self.next_batch(&mut left, most)?;
            self.store_batch(&restorer, &batch, differences)?;
            done += batch.len() as u64;
            progress(done, all);
        }
        if differences.missing.is_empty() && differences.unsigned_head {
            self.store_batch(&restorer, &[], differences)?;
        }
        Ok(done)
    }

    /// The next events to be put back, in order.
    fn next_batch(&self, left: &mut Vec<(u64, u64)>, most: usize) -> Result<Vec<Entry>, ReconcileError> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some((from, through)) = left.pop() {
            let wanted = usize::try_from(through - from + 1).unwrap_or(usize::MAX).min(most - batch.len());
            let entries = self.outbox.read(from - 1, wanted, MAX_BATCH_BYTES - bytes)?;
            bytes += entries.iter().map(|entry| entry.block.len()).sum::<usize>();
            let reached = entries.last().map_or(through, |last| last.position);
            batch.extend(entries);
            if reached < through {
                left.push((reached + 1, through));
            }
            if batch.len() >= most || bytes >= MAX_BATCH_BYTES {
                break;
            }
        }
        Ok(batch)
    }

    /// One batch with the head that closes it: it covers no more than the head before it, but for what goes on behind it.
    fn store_batch(
        &self,
        restorer: &Restorer,
        batch: &[Entry],
        differences: &Differences,
    ) -> Result<(), ReconcileError> {
        let mut tries = 0;
        loop {
            let before = self.runtime.block_on(restorer.head())?;
            let covered = before.as_ref().map_or(0, |(_, head)| head.position);
            let mut position = covered.max(batch.last().map_or(0, |last| last.position));
            while differences.parked.contains(&(position + 1)) && position < differences.published {
                position += 1;
            }
            let cid = self.store.event(&Which::Position(position))?.cid;
            let mut head = Head::new(self.outbox.source().clone(), position, cid);
            head.previous =
                before.as_ref().map(|(sequence, head)| Previous { sequence: *sequence, position: head.position });
            for listed in differences.parked.iter().filter(|listed| **listed <= position) {
                let cid = self.store.event(&Which::Position(*listed))?.cid;
                head.parked.push(ParkedEvent { position: *listed, cid });
            }
            head.checkpoint = self.outbox.checkpoint(position)?;
            let expected = before.map_or(0, |(sequence, _)| sequence);
            match self.runtime.block_on(restorer.put_back(batch, &head, expected)) {
                Ok(_) => return Ok(()),
                Err(RestoreError::Moved { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[derive(Default)]
struct Seen {
    present: Vec<bool>,
    twice: Vec<(u64, u64)>,
    bad: Vec<(u64, String)>,
    objects: Vec<u64>,
    sequence: u64,
}
