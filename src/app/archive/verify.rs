//! Verifying an archive from beginning to end, on its way to a mirror or for its own sake.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use cid::Cid;

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::archive::{ArchiveError, ArchiveReader, Item};
use crate::events::{EventData, KeyEvent};
use crate::ipld_support::{DecodeError, decode_block};
use crate::log::{CheckpointError, KeyChain, NodeHash, SignedCheckpoint, VerifierKey};
use crate::verify::{Stages, run};

/// Events, and bytes of them, that are decoded at a time.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// What is called now and then with how much is done, and how much there is.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What an archive was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The position of the first event.
    pub first: u64,
    /// The position of the last event.
    pub last: u64,
    /// The content identifier of the last event.
    pub head: Cid,
    /// The root of the tree of `last` events.
    pub root: NodeHash,
    /// How many blobs there are.
    pub blobs: u64,
    /// The sizes of the checkpoints whose roots agree with the events.
    pub checkpoints: Vec<u64>,
    /// The largest head that the given key signed; `None` without a key.
    pub signed: Option<u64>,
    /// The heads themselves, those that are larger than the archive too.
    pub heads: Vec<SignedCheckpoint>,
    /// The keys that the history names; absent where its beginning is not in the archive.
    pub keys: Option<KeyChain>,
    /// Types and schemas that this release does not know.
    pub unknown: BTreeMap<(String, u32), u64>,
}

/// Why an archive does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file could not be opened.
    #[error("cannot read {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive is not what it says, or not whole.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An event is of a known type and does not read as one.
    #[error("event {position} ({cid}) cannot be parsed: {source}")]
    Event {
        /// Its position.
        position: u64,
        /// Its content identifier.
        cid: Box<Cid>,
        /// What is wrong.
        source: DecodeError,
    },
    /// What an event says about the ledger itself can't be.
    #[error("event {position} ({cid}): {problem}")]
    Ledger {
        /// Its position.
        position: u64,
        /// Its content identifier.
        cid: Box<Cid>,
        /// What is wrong.
        problem: String,
    },
    /// A blob that an event needs is not there.
    #[error("the raw block {blob} that event {position} links to is not in the archive")]
    Blob {
        /// The event's position.
        position: u64,
        /// The blob.
        blob: Box<Cid>,
    },
    /// A signature is false.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No head in it is signed with the given key.
    #[error(
        "no head in the archive is signed with the key {0}: it is of another ledger, or nothing of it was signed yet"
    )]
    NotSigned(String),
    /// A checkpoint that was given does not agree with the archive.
    #[error("the checkpoint of {size} events does not agree with the archive: one history was rewritten")]
    Against {
        /// The checkpoint's size.
        size: u64,
    },
    /// A checkpoint that was given is of a size that the archive does not reach.
    #[error("the archive has the events {first} to {last}, so it can't be held against a checkpoint of {size}")]
    Beyond {
        /// The checkpoint's size.
        size: u64,
        /// The archive's first position.
        first: u64,
        /// The archive's last position.
        last: u64,
    },
}

impl Explained for VerifyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open { .. } => ErrorKind::Usage,
            Self::Archive(_)
            | Self::Event { .. }
            | Self::Ledger { .. }
            | Self::Blob { .. }
            | Self::Checkpoint(_)
            | Self::NotSigned(_)
            | Self::Against { .. }
            | Self::Beyond { .. } => ErrorKind::Verification,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Archive(error) => error.advice(),
            Self::Blob { .. } => vec![Advice::Do("export the archive again")],
            Self::Checkpoint(error) => error.advice(),
            Self::NotSigned(_) => vec![Advice::Run(Action::SignHead, "signs the head of the ledger")],
            Self::Against { .. } => vec![Advice::KEEP_BOTH],
            Self::Open { .. } | Self::Event { .. } | Self::Ledger { .. } | Self::Beyond { .. } => Vec::new(),
        }
    }
}

/// What an archive is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held<'a> {
    /// The ledger's key: at least one head must be signed with it, or with a key that follows from it, and none falsely in
    /// its name.
    pub key: Option<&'a VerifierKey>,
    /// A checkpoint that came on another way: the archive must have the same history.
    pub against: Option<&'a SignedCheckpoint>,
}

/// Verifies an archive from beginning to end. `visit` sees each event and blob that holds so far; that an event's data is of
/// its type is found out on another thread, and may come a little later.
pub fn verify(
    input: impl Read,
    held: Held<'_>,
    progress: Progress<'_>,
    visit: impl FnMut(&Item<'_>) -> Result<(), VerifyError>,
) -> Result<Verified, VerifyError> {
    follow(input, &mut held.key.cloned().map(KeyChain::new), held.against, progress, visit)
}

/// As [`verify`], with the keys that are known already; those that the archive has are added.
pub(super) fn follow(
    input: impl Read,
    chain: &mut Option<KeyChain>,
    against: Option<&SignedCheckpoint>,
    progress: Progress<'_>,
    visit: impl FnMut(&Item<'_>) -> Result<(), VerifyError>,
) -> Result<Verified, VerifyError> {
    let reader = ArchiveReader::new(input)?;
    let contents = reader.contents().clone();
    let (first, last) = (contents.first, contents.last);
    if let Some(against) = against {
        let size = against.size();
        if size + 1 < first || size > last {
            return Err(VerifyError::Beyond { size, first, last });
        }
        check_against(&reader, against)?;
    }
    let mut walk = Walk {
        reader,
        against,
        visit,
        progress,
        first,
        last,
        awaited: 0,
        ended: false,
        misread: false,
        failed: None,
        chain: chain.as_mut(),
        keys: None,
        needed: BTreeMap::new(),
        unknown: BTreeMap::new(),
    };
    run(&mut walk, Batch::decode);
    if let Some(error) = walk.failed {
        return Err(error);
    }
    if let Some((blob, position)) = walk.needed.pop_first() {
        return Err(VerifyError::Blob { position, blob: Box::new(blob) });
    }
    let signed = walk.chain.as_deref().map(|chain| largest_signed(&walk.reader, chain)).transpose()?;
    let heads = walk.reader.checkpoints().to_vec();
    let checkpoints = heads.iter().map(SignedCheckpoint::size).filter(|size| (first - 1..=last).contains(size));
    Ok(Verified {
        first,
        last,
        head: *contents.head.cid(),
        root: walk.reader.history().edge().root(),
        blobs: contents.blobs,
        checkpoints: checkpoints.collect(),
        signed,
        heads,
        keys: walk.keys,
        unknown: walk.unknown,
    })
}

/// The size of the largest head in an archive that is signed with the key whose turn it was.
fn largest_signed<R: Read>(reader: &ArchiveReader<R>, chain: &KeyChain) -> Result<u64, VerifyError> {
    let mut signed = None;
    for checkpoint in reader.checkpoints() {
        match chain.verify(checkpoint) {
            Ok(()) if checkpoint.size() <= reader.contents().last => signed = Some(checkpoint.size()),
            Err(error @ CheckpointError::FalseSignature { .. }) => return Err(error.into()),
            _ => {}
        }
    }
    signed.ok_or_else(|| VerifyError::NotSigned(chain.current().to_string()))
}

/// Events whose hash and place are right, to be decoded.
#[derive(Default)]
struct Batch {
    events: Vec<(u64, Cid, Range<usize>)>,
    bytes: Vec<u8>,
}

/// What of an event is of use for the archive as a whole.
enum Use {
    Nothing,
    /// It says something about the ledger, or links to a raw block, or is of an unknown type.
    Event(Box<KeyEvent>),
}

impl Batch {
    fn decode(self) -> Vec<(u64, Cid, Result<Use, DecodeError>)> {
        let of_use = |event: KeyEvent| match event.data {
            EventData::LedgerCreated(_)
            | EventData::LedgerKeyRotated(_)
            | EventData::EventAttested(_)
            | EventData::ManifestApplied(_)
            | EventData::Unknown(_) => Use::Event(Box::new(event)),
            _ => Use::Nothing,
        };
        let one = |(position, cid, range): (u64, Cid, Range<usize>)| {
            (position, cid, decode_block::<KeyEvent>(&self.bytes[range]).map(of_use))
        };
        self.events.into_iter().map(one).collect()
    }
}

struct Walk<'a, R, V> {
    reader: ArchiveReader<R>,
    against: Option<&'a SignedCheckpoint>,
    visit: V,
    progress: Progress<'a>,
    first: u64,
    last: u64,
    /// Batches that are being decoded.
    awaited: usize,
    /// Everything was read.
    ended: bool,
    /// The failure is of an event's data: it stands before whatever else was found on the way there.
    misread: bool,
    failed: Option<VerifyError>,
    /// The keys that follow from the one that is trusted.
    chain: Option<&'a mut KeyChain>,
    keys: Option<KeyChain>,
    /// Blobs that events need, each with the first that does.
    needed: BTreeMap<Cid, u64>,
    unknown: BTreeMap<(String, u32), u64>,
}

impl<R: Read, V: FnMut(&Item<'_>) -> Result<(), VerifyError>> Stages for Walk<'_, R, V> {
    type Job = Batch;
    type Done = Vec<(u64, Cid, Result<Use, DecodeError>)>;

    fn next(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while self.failed.is_none() && !self.ended && batch.events.len() < MOST_EVENTS && batch.bytes.len() < MOST_BYTES
        {
            // The blobs that are needed are known when all events were looked at.
            if self.reader.history().size() == self.last && (self.awaited > 0 || !batch.events.is_empty()) {
                break;
            }
            if let Err(error) = self.read(&mut batch) {
                self.failed = Some(error);
            }
        }
        if batch.events.is_empty() {
            return None;
        }
        self.awaited += 1;
        let done = self.reader.history().size() + 1 - self.first;
        (self.progress)(done, self.last + 1 - self.first);
        Some(batch)
    }

    fn take(&mut self, done: Self::Done) {
        self.awaited -= 1;
        for (position, cid, of_use) in done {
            let found = match of_use {
                Ok(Use::Nothing) => continue,
                Ok(Use::Event(event)) => self.event(position, &cid, &event),
                Err(source) => Err(VerifyError::Event { position, cid: Box::new(cid), source }),
            };
            if let Err(error) = found {
                if !self.misread {
                    self.failed = Some(error);
                    self.misread = true;
                }
                return;
            }
        }
    }
}

impl<R: Read, V: FnMut(&Item<'_>) -> Result<(), VerifyError>> Walk<'_, R, V> {
    fn read(&mut self, batch: &mut Batch) -> Result<(), VerifyError> {
        let Some(item) = self.reader.next_item()? else {
            self.ended = true;
            return Ok(());
        };
        match &item {
            Item::Event { position, cid, block, .. } => {
                let begin = batch.bytes.len();
                batch.bytes.extend_from_slice(block);
                batch.events.push((*position, *cid, begin..batch.bytes.len()));
            }
            Item::Blob { cid, .. } => drop(self.needed.remove(cid)),
        }
        (self.visit)(&item)?;
        self.against.map_or(Ok(()), |against| check_against(&self.reader, against))
    }

    fn event(&mut self, position: u64, cid: &Cid, event: &KeyEvent) -> Result<(), VerifyError> {
        if let Some(chain) = &mut self.chain {
            chain.see(position, cid, event);
        }
        let wrong = |problem: String| Err(VerifyError::Ledger { position, cid: Box::new(*cid), problem });
        match &event.data {
            EventData::LedgerCreated(created) if position == 1 => match KeyChain::of_ledger(created) {
                Ok(keys) => self.keys = Some(keys),
                Err(error) => return wrong(error.to_string()),
            },
            EventData::LedgerCreated(_) => return wrong("a ledger is made only once, by its first event".into()),
            EventData::LedgerKeyRotated(rotated) => {
                if let Some(Err(error)) = self.keys.as_mut().map(|keys| keys.rotate(position, rotated)) {
                    return wrong(format!("the ledger's key can't be rotated like this: {error}"));
                }
            }
            EventData::ManifestApplied(applied) => {
                self.needed.entry(*applied.manifest.cid()).or_insert(position);
            }
            EventData::Unknown(unknown) if self.unknown.len() < 100 => {
                *self.unknown.entry((unknown.event_type.clone(), unknown.schema)).or_default() += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

fn check_against<R: Read>(reader: &ArchiveReader<R>, against: &SignedCheckpoint) -> Result<(), VerifyError> {
    match reader.history().agrees(against) {
        Some(false) => Err(VerifyError::Against { size: against.size() }),
        _ => Ok(()),
    }
}

/// Opens an archive's file.
pub fn open(path: &Path) -> Result<BufReader<File>, VerifyError> {
    let file = File::open(path).map_err(|source| VerifyError::Open { path: path.to_owned(), source })?;
    Ok(BufReader::with_capacity(1 << 18, file))
}
