//! Archives of a ledger: written from one, verified anywhere, taken into a mirror.

mod import;
mod verify;

pub use import::{ImportError, Imported, import, recover, vouched};
use verify::follow;
pub use verify::{Held, Progress, Verified, VerifyError, open, verify};

use std::io::Write;

use cid::Cid;

use crate::advice::{Advice, ErrorKind, Explained};
use crate::archive::{ArchiveWriter, CarError, Contents};
use crate::events::{InvalidLink, Link};
use crate::ipld_support::cid_of_blob;
use crate::log::SignedCheckpoint;
use crate::store::{Listing, ReadError, Store, Which};

/// How often progress is told, in events.
const STEP: u64 = 1_024;

/// Why no archive was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is nothing after the position, or nothing at all.
    #[error("there are no events after position {after}: the ledger has {end}")]
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

impl Explained for ExportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Nothing { .. } => ErrorKind::Refused,
            Self::OtherHistory { .. } => ErrorKind::Verification,
            Self::Read(_) | Self::Link(_) | Self::Car(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::Car(error) => error.advice(),
            Self::Nothing { .. } | Self::OtherHistory { .. } | Self::Link(_) => Vec::new(),
        }
    }
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
