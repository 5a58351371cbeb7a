//! Archives of a ledger: written from one, verified anywhere, taken into a mirror.

mod import;

pub use import::{ImportError, Imported, import, recover};

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use cid::Cid;

use crate::archive::{ArchiveError, ArchiveReader, ArchiveWriter, CarError, Contents, Item};
use crate::events::{InvalidLink, KeyEvent, Link};
use crate::ipld_support::{DecodeError, cid_of_blob};
use crate::log::{CheckpointError, KeyChain, NodeHash, SignedCheckpoint, VerifierKey};
use crate::store::{Listing, ReadError, Store, Which};

/// How often progress is told, in events.
const STEP: u64 = 1_024;

/// What is called now and then with how much is done, and how much there is.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Why no archive was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is nothing after the position, or nothing at all.
    #[error("there are no events after position {after}; the ledger has {end}")]
    Nothing {
        /// After which position.
        after: u64,
        /// The last position.
        end: u64,
    },
    /// The checkpoint that the archive shall begin at is not one of this ledger.
    #[error("the checkpoint of {size} events is not one of this ledger, so nothing can begin at it")]
    OtherHistory {
        /// The checkpoint's size.
        size: u64,
    },
    /// What is recorded can't be read, or is not what it should be.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is recorded has an identifier that no event has.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// The archive could not be written.
    #[error(transparent)]
    Car(#[from] CarError),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The position of the first event.
    pub first: u64,
    /// The position of the last event.
    pub last: u64,
    /// The content identifier of the last event.
    pub head: Cid,
    /// How many blobs there are.
    pub blobs: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// How many of the last events no signed head covers.
    pub unsigned: u64,
}

/// Where an archive begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since<'a> {
    /// After a position; 0 for all events.
    Position(u64),
    /// After the events of a checkpoint, which must be one of this ledger.
    Checkpoint(&'a SignedCheckpoint),
}

/// Writes what is recorded now as an archive, event by event. `out` should be buffered; making it durable is the caller's.
pub fn export(
    store: &Store,
    since: Since<'_>,
    out: impl Write,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let (last, root) = store.head()?;
    let after = match since {
        Since::Position(position) => position,
        Since::Checkpoint(checkpoint) => checkpoint.size(),
    };
    if after >= last {
        return Err(ExportError::Nothing { after, end: last });
    }
    let edge = store.edge(after)?;
    if let Since::Checkpoint(checkpoint) = since
        && checkpoint.checkpoint().root != edge.root()
    {
        return Err(ExportError::OtherHistory { size: after });
    }
    let head = store.event(&Which::Position(last))?.cid;
    let mut contents = Contents::new(&edge, last, Link::new(head)?, &root);
    let checkpoints: Vec<_> = store.checkpoints()?.into_iter().filter(|one| one.size() <= last).collect();
    contents.add_checkpoints(checkpoints.iter());
    contents.aggregates = store.unknown_aggregates()?;
    contents.blobs = store.blob_count()?;
    let mut writer = ArchiveWriter::new(out, &contents)?;
    let mut next = contents.first;
    while next <= last {
        for recorded in store.events(Listing { to: last, ..Listing::from(next, 256) })? {
            if recorded.position != next {
                break;
            }
            writer.block(&Link::new(recorded.cid)?, &recorded.block)?;
            next += 1;
            if next.is_multiple_of(STEP) {
                progress(next - contents.first, last - contents.first + 1);
            }
        }
        if store.events(Listing::from(next, 1))?.first().is_none_or(|found| found.position != next) && next <= last {
            return Err(ReadError::Damaged { position: next, detail: "it is missing".into() }.into());
        }
    }
    let mut number = 0;
    for _ in 0..contents.blobs {
        let Some((found, bytes)) = store.next_blob(number)? else { break };
        number = found;
        writer.block(&Link::new(cid_of_blob(&bytes))?, &bytes)?;
    }
    let bytes = writer.written();
    writer.finish()?;
    let signed = checkpoints.last().map_or(0, SignedCheckpoint::size);
    Ok(Exported { first: contents.first, last, head, blobs: contents.blobs, bytes, unsigned: last - signed })
}

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
    #[error("event {position} ({cid}) does not read: {source}")]
    Event {
        /// Its position.
        position: u64,
        /// Its content identifier.
        cid: Box<Cid>,
        /// What is wrong.
        source: DecodeError,
    },
    /// A signature is false.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No head in it is signed with the given key.
    #[error(
        "no head in the archive is signed with the key {0}; it is of another ledger, or nothing of it was signed yet (`cim-keys log checkpoint --sign`)"
    )]
    NotSigned(String),
    /// A checkpoint that was given does not agree with the archive.
    #[error(
        "the checkpoint of {size} events does not agree with the archive: one history was rewritten; keep both, they are the evidence"
    )]
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

/// What an archive is held to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held<'a> {
    /// The ledger's key: at least one head must be signed with it, or with a key that follows from it, and none falsely in
    /// its name.
    pub key: Option<&'a VerifierKey>,
    /// A checkpoint that came on another way: the archive must have the same history.
    pub against: Option<&'a SignedCheckpoint>,
}

/// Verifies an archive from beginning to end. `visit` sees each event and blob that holds so far.
pub fn verify(
    input: impl Read,
    held: Held<'_>,
    progress: Progress<'_>,
    visit: impl FnMut(&Item<'_>) -> Result<(), VerifyError>,
) -> Result<Verified, VerifyError> {
    follow(input, &mut held.key.cloned().map(KeyChain::new), held.against, progress, visit)
}

/// As [`verify`], with the keys that are known already; those that the archive has are added.
fn follow(
    input: impl Read,
    chain: &mut Option<KeyChain>,
    against: Option<&SignedCheckpoint>,
    progress: Progress<'_>,
    mut visit: impl FnMut(&Item<'_>) -> Result<(), VerifyError>,
) -> Result<Verified, VerifyError> {
    let mut reader = ArchiveReader::new(input)?;
    let contents = reader.contents().clone();
    let (first, last) = (contents.first, contents.last);
    if let Some(against) = against {
        let size = against.size();
        if size + 1 < first || size > last {
            return Err(VerifyError::Beyond { size, first, last });
        }
        check_against(&reader, against)?;
    }
    while let Some(item) = reader.next_item()? {
        if let Item::Event { position, cid, block, .. } = &item {
            if position.is_multiple_of(STEP) {
                progress(position - first + 1, last - first + 1);
            }
            let event = crate::ipld_support::decode_block::<KeyEvent>(block).map_err(|source| VerifyError::Event {
                position: *position,
                cid: Box::new(*cid),
                source,
            })?;
            if let Some(chain) = chain {
                chain.see(*position, cid, &event);
            }
        }
        visit(&item)?;
        if let Some(against) = against {
            check_against(&reader, against)?;
        }
    }
    let signed = chain.as_ref().map(|chain| largest_signed(&reader, chain)).transpose()?;
    let checkpoints = reader.checkpoints().iter().map(SignedCheckpoint::size);
    let checkpoints = checkpoints.filter(|size| (first - 1..=last).contains(size)).collect();
    let head = *contents.head.cid();
    let root = reader.history().edge().root();
    Ok(Verified { first, last, head, root, blobs: contents.blobs, checkpoints, signed })
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
