//! Archives of a ledger: written from one, verified anywhere, taken into a mirror.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use cid::Cid;

use super::session::Place;
use crate::archive::{ArchiveError, ArchiveReader, ArchiveWriter, CarError, Contents, Item};
use crate::events::{InvalidLink, KeyEvent, Link};
use crate::ipld_support::{ContentAddressedEvent, DecodeError, cid_of_blob};
use crate::log::{CheckpointError, NodeHash, SignedCheckpoint, VerifierKey};
use crate::store::{
    CheckpointStoreError, CreateError, Listing, Mirror, MirrorError, OpenError, ReadError, ReadyEvent, Store, Which,
};
use crate::text::SubjectPrefix;

/// Events recorded in one transaction.
const BATCH: usize = 1_000;

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
    /// The ledger's key: at least one head must be signed with it, and none falsely in its name.
    pub key: Option<&'a VerifierKey>,
    /// A checkpoint that came on another way: the archive must have the same history.
    pub against: Option<&'a SignedCheckpoint>,
}

/// Verifies an archive from beginning to end. `visit` sees each event and blob that holds so far.
pub fn verify(
    input: impl Read,
    held: Held<'_>,
    progress: Progress<'_>,
    mut visit: impl FnMut(&Item<'_>) -> Result<(), VerifyError>,
) -> Result<Verified, VerifyError> {
    let mut reader = ArchiveReader::new(input)?;
    let contents = reader.contents().clone();
    let (first, last) = (contents.first, contents.last);
    if let Some(against) = held.against {
        let size = against.size();
        if size + 1 < first || size > last {
            return Err(VerifyError::Beyond { size, first, last });
        }
        check_against(&reader, against)?;
    }
    let mut signed = None;
    if let Some(key) = held.key {
        for checkpoint in reader.checkpoints() {
            match checkpoint.verify(key) {
                Ok(()) if checkpoint.size() <= last => signed = Some(checkpoint.size()),
                Err(error @ CheckpointError::FalseSignature { .. }) => return Err(error.into()),
                _ => {}
            }
        }
        if signed.is_none() {
            return Err(VerifyError::NotSigned(key.to_string()));
        }
    }
    while let Some(item) = reader.next_item()? {
        if let Item::Event { position, cid, block, .. } = &item {
            if position.is_multiple_of(STEP) {
                progress(position - first + 1, last - first + 1);
            }
            crate::ipld_support::decode_block::<KeyEvent>(block).map_err(|source| VerifyError::Event {
                position: *position,
                cid: Box::new(*cid),
                source,
            })?;
        }
        visit(&item)?;
        if let Some(against) = held.against {
            check_against(&reader, against)?;
        }
    }
    let checkpoints = reader.checkpoints().iter().map(SignedCheckpoint::size);
    let checkpoints = checkpoints.filter(|size| (first - 1..=last).contains(size)).collect();
    let head = *contents.head.cid();
    let root = reader.history().edge().root();
    Ok(Verified { first, last, head, root, blobs: contents.blobs, checkpoints, signed })
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

/// Why an archive was not taken. Nothing of it is recorded, but for whole batches of verified events before an
/// interruption, which the next import goes on after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The archive does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
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
    Checkpoint(#[from] CheckpointStoreError),
    /// A new mirror needs a key that its user got on another way.
    #[error(
        "there is no mirror yet, and a new one is pinned to the ledger's key: give it with --key, as `cim-keys log public-key` printed it"
    )]
    KeyNeeded,
    /// The mirror is pinned to another key.
    #[error("the mirror is pinned to the key {pinned}, not to {given}; a mirror never changes its ledger")]
    OtherKey {
        /// What it is pinned to.
        pinned: String,
        /// What was given.
        given: String,
    },
    /// The folder for the mirror could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An event is of a type that nobody here knows, and the archive does not say what it is about.
    #[error(
        "event {position} has the type \"{event_type}\", and the archive does not say its aggregate; export it again with the release that knows it"
    )]
    UnknownType {
        /// Its position.
        position: u64,
        /// Its type.
        event_type: String,
    },
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the archive is.
    pub archive: Verified,
    /// How many events are new.
    pub new: u64,
    /// The last position of the mirror now.
    pub end: u64,
    /// How many events of the archive were not taken, because no signed head covers them.
    pub unsigned: u64,
}

/// Takes an archive into a mirror, which is made when it is absent. The whole archive is verified before anything is
/// recorded; only what a head signed with the pinned key covers is taken. Doing it again changes nothing.
pub fn import(place: &Place, file: &Path, held: Held<'_>, progress: Progress<'_>) -> Result<Imported, ImportError> {
    let exists = place.database().exists();
    let mirror = if exists { Some(Mirror::open(place.options())?) } else { None };
    let key = match (mirror.as_ref().map(Mirror::key), held.key) {
        (Some(pinned), Some(given)) if pinned != given => {
            return Err(ImportError::OtherKey { pinned: pinned.to_string(), given: given.to_string() });
        }
        (Some(pinned), _) => pinned.clone(),
        (None, Some(given)) => given.clone(),
        (None, None) => return Err(ImportError::KeyNeeded),
    };
    let held = Held { key: Some(&key), ..held };
    let mut linked = HashSet::new();
    let mut last_error = None;
    let archive = verify(open(file)?, held, progress, |item| {
        if let Item::Event { position, cid, block, .. } = item {
            raw_links(block, &mut linked);
            if let (Some(mirror), None) = (&mirror, &last_error) {
                last_error = fork(mirror, *position, cid).err();
            }
        }
        Ok(())
    })?;
    if let Some(error) = last_error {
        return Err(error);
    }
    let signed = archive.signed.unwrap_or(0);
    let end = mirror.as_ref().map_or(Ok(0), |mirror| mirror.store().end())?;
    if archive.first > end + 1 {
        return Err(MirrorError::Gap { needed: end + 1, first: archive.first }.into());
    }
    let (mirror, new) = take(place, file, &key, mirror, signed, &linked)?;
    Ok(Imported { new, end: mirror.store().end()?, unsigned: archive.last - signed, archive })
}

fn fork(mirror: &Mirror, position: u64, here: &Cid) -> Result<(), ImportError> {
    match mirror.store().event(&Which::Position(position)) {
        Ok(there) if there.cid != *here => {
            Err(MirrorError::Fork { position, there: Box::new(there.cid), here: Box::new(*here) }.into())
        }
        Ok(_) | Err(ReadError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Records what was verified. The file is read a second time, and verified again on the way.
fn take(
    place: &Place,
    file: &Path,
    key: &VerifierKey,
    mut mirror: Option<Mirror>,
    signed: u64,
    linked: &HashSet<[u8; 32]>,
) -> Result<(Mirror, u64), ImportError> {
    let mut reader = ArchiveReader::new(open(file)?).map_err(VerifyError::from)?;
    let contents = reader.contents().clone();
    let mut batch: Vec<ReadyEvent> = Vec::new();
    let mut blobs = Vec::new();
    let (mut first, mut new) = (contents.first, 0);
    while let Some(item) = reader.next_item().map_err(VerifyError::from)? {
        match item {
            Item::Event { position, cid, block, .. } if position <= signed => {
                batch.push(ready(position, cid, block, &contents)?);
                if mirror.is_none() {
                    make_folder(place.folder())?;
                    let created = batch.drain(..).next().ok_or(ImportError::KeyNeeded)?;
                    mirror = Some(Mirror::create(place.options(), created, key)?);
                    (first, new) = (position + 1, new + 1);
                }
                if let (Some(mirror), BATCH) = (&mirror, batch.len()) {
                    new += mirror.record(first, std::mem::take(&mut batch), Vec::new())?;
                    first = position + 1;
                }
            }
            Item::Event { .. } => {}
            Item::Blob { cid, bytes } => {
                if cid.hash().digest().try_into().is_ok_and(|digest: [u8; 32]| linked.contains(&digest)) {
                    blobs.push(bytes.to_vec());
                }
            }
        }
    }
    let mirror = mirror.ok_or(ImportError::KeyNeeded)?;
    new += mirror.record(first, batch, blobs)?;
    for checkpoint in reader.checkpoints().iter().filter(|one| one.size() <= signed && one.verify(key).is_ok()) {
        mirror.keep_checkpoint(checkpoint)?;
    }
    Ok((mirror, new))
}

fn ready(position: u64, cid: Cid, block: &[u8], contents: &Contents) -> Result<ReadyEvent, ImportError> {
    let event = ContentAddressedEvent::<KeyEvent>::decode(block).map_err(|source| VerifyError::Event {
        position,
        cid: Box::new(cid),
        source,
    })?;
    ReadyEvent::new(event).or_else(|event| {
        let event_type = event.event.event_type().to_owned();
        let aggregate = contents.aggregates.get(&event_type).and_then(|text| text.parse::<SubjectPrefix>().ok());
        match aggregate {
            Some(aggregate) => Ok(ReadyEvent { event: *event, aggregate }),
            None => Err(ImportError::UnknownType { position, event_type }),
        }
    })
}

/// Collects the digests of what looks like a link to a raw block. What only looks like one lets a blob in that nothing
/// links to, which does no harm.
fn raw_links(block: &[u8], into: &mut HashSet<[u8; 32]>) {
    const LINK: &[u8] = &[0xd8, 0x2a, 0x58, 0x25, 0x00, 0x01, 0x55, 0x12, 0x20];
    for at in 0..block.len().saturating_sub(LINK.len() + 31) {
        if let Some(digest) = block[at..].strip_prefix(LINK).and_then(|rest| rest.first_chunk::<32>()) {
            into.insert(*digest);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), ImportError> {
    std::fs::create_dir_all(path).map_err(|source| ImportError::Folder { path: path.to_owned(), source })
}
