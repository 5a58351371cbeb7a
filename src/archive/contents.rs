//! What an archive of a ledger holds: a table of contents, then the events in the order of the log, then blobs.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::car::{CarError, CarReader, CarWriter};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::{Bytes, Link};
use crate::ipld_support::{DAG_CBOR, Envelope, canonical_bytes, cid_of_block, decode_block};
use crate::log::{Edge, History, HistoryError, NodeHash, SignedCheckpoint};

const FORMAT: &str = "cim-keys archive";
const VERSION: u32 = 1;

/// The most checkpoints that an archive carries: the newest, and those that others may hold it against.
const MAX_CHECKPOINTS: usize = 1_000;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file is no CARv1, is cut off, or a block was changed.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The file is a CARv1, and not one of a ledger.
    #[error("this archive is none of a ledger: {0}")]
    Foreign(String),
    /// A newer release wrote it.
    #[error("the archive has format version {0}, and this release reads version {VERSION}")]
    Newer(u32),
    /// An event can't stand where it stands.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Something that the table of contents promises is not so.
    #[error("the archive is not what its table of contents says: {0}")]
    Promise(String),
    /// A checkpoint in it does not agree with the events.
    #[error(
        "the checkpoint of {size} events does not agree with the events of the archive: one of the two was exchanged"
    )]
    Checkpoint {
        /// The checkpoint's size.
        size: u64,
    },
}

impl Explained for ArchiveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Car(error) => error.kind(),
            Self::Foreign(_) | Self::Newer(_) | Self::History(_) | Self::Promise(_) | Self::Checkpoint { .. } => {
                ErrorKind::Verification
            }
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Car(error) => error.advice(),
            Self::Foreign(_) => vec![Advice::Run(Action::ExportArchive, "writes one where the ledger is")],
            Self::Newer(_) => vec![Advice::UPDATE],
            Self::History(_) => Vec::new(),
            Self::Promise(_) => vec![Advice::Do("copy or export it again")],
            Self::Checkpoint { .. } => vec![Advice::KEEP_BOTH],
        }
    }
}

/// The table of contents: the first block of an archive, and its second root. The first root is the head, the last event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    format: String,
    version: u32,
    /// The position of the first event in it.
    pub first: u64,
    /// The position of the last event in it.
    pub last: u64,
    /// The content identifier of the last event.
    pub head: Link,
    /// The root of the tree of `last` events.
    root: Bytes,
    /// The roots of the complete subtrees of the tree of `first - 1` events, the largest first. With them the part can be
    /// held against a checkpoint without the events before it.
    edge: Vec<Bytes>,
    /// How many blobs follow the events.
    pub blobs: u64,
    /// Signed checkpoints of this history.
    checkpoints: Vec<String>,
    /// The aggregates of event types that the exporting release did not know; the others follow from the type.
    pub aggregates: BTreeMap<String, String>,
}

impl Contents {
    /// The table of contents for the events that follow `edge`, up to the head of `last` events with this root.
    #[must_use]
    pub fn new(edge: &Edge, last: u64, head: Link, root: &NodeHash) -> Self {
        let bytes = |hash: &NodeHash| Bytes::new(hash.to_vec()).expect("32 bytes are less than the 4,096 of Bytes");
        Self {
            format: FORMAT.into(),
            version: VERSION,
            first: edge.size() + 1,
            last,
            head,
            root: bytes(root),
            edge: edge.roots().iter().map(bytes).collect(),
            blobs: 0,
            checkpoints: Vec::new(),
            aggregates: BTreeMap::new(),
        }
    }

    /// Adds checkpoints, of which the newest are kept when there are too many.
    pub fn add_checkpoints<'a>(&mut self, checkpoints: impl DoubleEndedIterator<Item = &'a SignedCheckpoint>) {
        let room = MAX_CHECKPOINTS.saturating_sub(self.checkpoints.len());
        self.checkpoints.extend(checkpoints.rev().take(room).map(SignedCheckpoint::to_string));
    }

    /// The root of the tree of `last` events.
    #[must_use]
    pub fn root(&self) -> Option<NodeHash> {
        self.root.as_slice().try_into().ok()
    }

    fn read(block: &[u8]) -> Result<Self, ArchiveError> {
        let foreign = |why: &str| ArchiveError::Foreign(why.to_owned());
        #[derive(Deserialize)]
        struct Which {
            format: String,
            version: u32,
        }
        let which: Which = decode_block(block).map_err(|_| foreign("its first block is no table of contents"))?;
        if which.format != FORMAT {
            return Err(foreign("its first block is no table of contents"));
        }
        if which.version != VERSION {
            return Err(ArchiveError::Newer(which.version));
        }
        let contents: Self = decode_block(block).map_err(|error| ArchiveError::Foreign(error.to_string()))?;
        if contents.first == 0 || contents.last < contents.first || contents.last >= 1 << 53 {
            return Err(foreign("it names no range of positions"));
        }
        if contents.checkpoints.len() > MAX_CHECKPOINTS || contents.aggregates.len() > MAX_CHECKPOINTS {
            return Err(foreign("its table of contents is too long"));
        }
        Ok(contents)
    }

    fn edge(&self) -> Option<Edge> {
        let roots = self.edge.iter().map(|hash| hash.as_slice().try_into().ok()).collect::<Option<_>>()?;
        Edge::from_roots(self.first - 1, roots)
    }
}

/// Writes an archive of a ledger: the table of contents, the events, the blobs.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    car: CarWriter<W>,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive. What the table of contents promises must follow.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn new(out: W, contents: &Contents) -> Result<Self, CarError> {
        let block = canonical_bytes(contents).map_err(|error| CarError::Header(error.to_string()))?;
        let link = Link::new(cid_of_block(&block)).map_err(|error| CarError::Header(error.to_string()))?;
        let mut car = CarWriter::new(out, &[contents.head, link])?;
        car.block(&link, &block)?;
        Ok(Self { car })
    }

    /// Adds the next event, or a blob when all events are written.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn block(&mut self, cid: &Link, block: &[u8]) -> Result<(), CarError> {
        self.car.block(cid, block)
    }

    /// How many bytes the archive has so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.car.written()
    }

    /// Ends the archive and gives back what it was written to, flushed.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn finish(self) -> Result<W, CarError> {
        self.car.finish()
    }
}

/// One thing in an archive, verified.
#[derive(Debug)]
pub enum Item<'a> {
    /// An event.
    Event {
        /// Its position in the log.
        position: u64,
        /// Its content identifier.
        cid: Cid,
        /// Its outer fields.
        envelope: Envelope<'a>,
        /// Its canonical block.
        block: &'a [u8],
    },
    /// A blob.
    Blob {
        /// Its content identifier.
        cid: Cid,
        /// Its bytes.
        bytes: &'a [u8],
    },
}

/// Reads an archive of a ledger and verifies it on the way: hashes, canonical form, order, causes, tree and checkpoints.
/// Signatures are the caller's: [`ArchiveReader::checkpoints`].
#[derive(Debug)]
pub struct ArchiveReader<R> {
    car: CarReader<R>,
    contents: Contents,
    checkpoints: Vec<SignedCheckpoint>,
    history: History,
    blobs: u64,
}

impl<R: Read> ArchiveReader<R> {
    /// Reads the table of contents. `input` should be buffered.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn new(input: R) -> Result<Self, ArchiveError> {
        let mut car = CarReader::new(input)?;
        let roots = car.roots().to_vec();
        let Some((cid, block)) = car.next_block()? else {
            return Err(ArchiveError::Foreign("it is empty".into()));
        };
        if cid.cid().codec() != DAG_CBOR {
            return Err(ArchiveError::Foreign("its first block is no table of contents".into()));
        }
        let contents = Contents::read(block)?;
        if roots != [contents.head, cid] {
            return Err(ArchiveError::Promise("its roots are not the head and the table of contents".into()));
        }
        let edge = contents.edge().ok_or_else(|| ArchiveError::Foreign("the edge of its tree does not read".into()))?;
        let checkpoints = contents.checkpoints.iter().map(|text| text.parse::<SignedCheckpoint>());
        let mut checkpoints = checkpoints
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ArchiveError::Promise(format!("a checkpoint in it does not read: {error}")))?;
        checkpoints.sort_by_key(SignedCheckpoint::size);
        let history = History::from_edge(edge);
        let reader = Self { car, contents, checkpoints, history, blobs: 0 };
        reader.compare()?;
        Ok(reader)
    }

    /// The table of contents.
    #[must_use]
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The checkpoints in it, the smallest first. Those between `first - 1` and `last` are compared with the events.
    #[must_use]
    pub fn checkpoints(&self) -> &[SignedCheckpoint] {
        &self.checkpoints
    }

    /// The history as far as it was read.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The next event or blob; `None` when everything that was promised was there, and nothing else.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, ArchiveError> {
        let promise = |what: String| Err(ArchiveError::Promise(what));
        let done = self.history.size() == self.contents.last;
        let Some((link, block)) = self.car.next_block()? else {
            if !done {
                return promise(format!("it ends after event {} of {}", self.history.size(), self.contents.last));
            }
            if self.blobs != self.contents.blobs {
                return promise(format!("it ends after {} of {} blobs", self.blobs, self.contents.blobs));
            }
            return Ok(None);
        };
        let cid = *link.cid();
        if done {
            self.blobs += 1;
            if self.blobs > self.contents.blobs {
                return promise(format!("it goes on after its {} blobs", self.contents.blobs));
            }
            return Ok(Some(Item::Blob { cid, bytes: block }));
        }
        if cid.codec() != DAG_CBOR {
            return promise(format!("where event {} should stand, there is a blob", self.history.size() + 1));
        }
        let envelope = self.history.push(&cid, block)?;
        let position = self.history.size();
        if position == self.contents.last {
            self.history.finish()?;
        }
        compare(&self.history, &self.checkpoints)?;
        if position == self.contents.last {
            if link != self.contents.head {
                return promise("its last event is not its head".into());
            }
            if Some(self.history.edge().root()) != self.contents.root() {
                return promise("its tree has another root".into());
            }
        }
        Ok(Some(Item::Event { position, cid, envelope, block }))
    }

    fn compare(&self) -> Result<(), ArchiveError> {
        compare(&self.history, &self.checkpoints)
    }
}

/// Holds the history against the checkpoints of exactly its size.
fn compare(history: &History, checkpoints: &[SignedCheckpoint]) -> Result<(), ArchiveError> {
    let size = history.size();
    let from = checkpoints.partition_point(|checkpoint| checkpoint.size() < size);
    let same = checkpoints[from..].iter().take_while(|checkpoint| checkpoint.size() == size);
    match same.filter_map(|checkpoint| history.agrees(checkpoint)).all(|agrees| agrees) {
        true => Ok(()),
        false => Err(ArchiveError::Checkpoint { size }),
    }
}
