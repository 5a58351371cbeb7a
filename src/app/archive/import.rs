//! Taking an archive in: into a mirror, or into a ledger that was restored from a backup.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use cid::Cid;

use super::{Held, Progress, Verified, VerifyError, follow, open};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::archive::{ArchiveReader, Contents, Item};
use crate::events::EventData;
use crate::ipld_support::EventBlock;
use crate::log::{KeyChain, SignedCheckpoint, VerifierKey};
use crate::session::Place;
use crate::session::heads::{LogError, key_chain, own_keys};
use crate::session::vouch::{Passing, PassingError, Vouched};
use crate::store::{
    CheckpointStoreError, CreateError, FollowedEvent, Follower, Mirror, MirrorError, OpenError, OtherKey, ReadError,
    Restored, Store, Which,
};
use crate::text::SubjectPrefix;

/// Events recorded in one transaction.
const BATCH: usize = 1_000;

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
    /// The keys of the ledger could not be looked up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A checkpoint could not be kept.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointStoreError),
    /// The events could not be put aside, to be asked who signed them.
    #[error(transparent)]
    Passing(#[from] PassingError),
    /// A new mirror needs a key that its user got on another way.
    #[error("there is no mirror yet, and a new one is pinned to the ledger's key")]
    KeyNeeded,
    /// The mirror is pinned to another key.
    #[error(transparent)]
    OtherKey(#[from] OtherKey),
    /// The folder for the mirror could not be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An event is of a type that nobody here knows, and the archive does not say what it is about.
    #[error("event {position} has the type \"{event_type}\", and the archive does not say its aggregate")]
    UnknownType {
        /// Its position.
        position: u64,
        /// Its type.
        event_type: String,
    },
}

impl Explained for ImportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::KeyNeeded | Self::OtherKey(_) | Self::Verify(VerifyError::Open { .. }) => ErrorKind::Usage,
            Self::Verify(_) | Self::Mirror(MirrorError::Fork { .. }) | Self::Checkpoint(_) => ErrorKind::Verification,
            Self::Mirror(MirrorError::Gap { .. }) => ErrorKind::Refused,
            Self::Mirror(_)
            | Self::Create(_)
            | Self::Open(_)
            | Self::Read(_)
            | Self::Log(_)
            | Self::Passing(_)
            | Self::Folder { .. }
            | Self::UnknownType { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::KeyNeeded => vec![
                Advice::Do("give the key with --key"),
                Advice::Run(Action::ShowPublicKey, "at the ledger prints it"),
            ],
            Self::UnknownType { .. } => vec![Advice::Do("export it again with the release that knows it")],
            Self::Verify(error) => error.advice(),
            Self::Mirror(error) => error.advice(),
            Self::Create(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Checkpoint(error) => error.advice(),
            Self::Passing(error) => error.advice(),
            Self::OtherKey(_) | Self::Folder { .. } => Vec::new(),
        }
    }
}

/// What was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the archive is.
    pub archive: Verified,
    /// How many events are new.
    pub new: u64,
    /// The last position that there is now.
    pub end: u64,
    /// How many events of the archive were not taken, because no signed head covers them.
    pub unsigned: u64,
}

/// Takes an archive into a mirror, which is made when it is absent. The whole archive is verified before anything is
/// recorded; only what a head signed with the pinned key covers is taken, or with a key that follows from it. Doing it
/// again changes nothing.
pub fn import(place: &Place, file: &Path, held: Held<'_>, progress: Progress<'_>) -> Result<Imported, ImportError> {
    let exists = place.database().exists();
    let mirror = if exists { Some(Mirror::open(place.options())?) } else { None };
    if let (Some(mirror), Some(given)) = (&mirror, held.key) {
        mirror.is_of(given)?;
    }
    let key = match (mirror.as_ref().map(Mirror::key), held.key) {
        (Some(pinned), _) => pinned.clone(),
        (None, Some(given)) => given.clone(),
        (None, None) => return Err(ImportError::KeyNeeded),
    };
    let chain = match &mirror {
        Some(mirror) => key_chain(mirror.store(), key.clone())?,
        None => KeyChain::new(key.clone()),
    };
    let target = mirror.map_or(Target::New(place, &key), |mirror| Target::Mirror(Box::new(mirror)));
    take_in(target, file, chain, held.against, false, progress)
}

/// Takes an archive into a ledger that was restored from a backup: what a signed head of the ledger's covers, and the rest
/// too when that was accepted. Doing it again changes nothing.
pub fn recover(
    restored: &Restored,
    file: &Path,
    accept_unsigned: bool,
    progress: Progress<'_>,
) -> Result<Imported, ImportError> {
    let store = restored.follower().store();
    let chain = own_keys(store)?;
    take_in(Target::Restored(restored), file, chain, None, accept_unsigned, progress)
}

/// What an archive is taken into.
enum Target<'a> {
    /// A mirror that is still to be made.
    New(&'a Place, &'a VerifierKey),
    Mirror(Box<Mirror>),
    Restored(&'a Restored),
}

impl Target<'_> {
    fn follower(&self) -> Option<&Follower> {
        match self {
            Self::New(..) => None,
            Self::Mirror(mirror) => Some(mirror.follower()),
            Self::Restored(restored) => Some(restored.follower()),
        }
    }

    fn store(&self) -> Option<&Store> {
        self.follower().map(Follower::store)
    }
}

fn take_in(
    target: Target<'_>,
    file: &Path,
    chain: KeyChain,
    against: Option<&SignedCheckpoint>,
    accept_unsigned: bool,
    progress: Progress<'_>,
) -> Result<Imported, ImportError> {
    let mut linked = HashSet::new();
    let mut forked = None;
    let mut chain = Some(chain);
    let archive = follow(open(file)?, &mut chain, against, progress, |item| {
        if let Item::Event { position, cid, block, .. } = item {
            raw_links(block, &mut linked);
            if let (Some(store), None) = (target.store(), &forked) {
                forked = fork(store, *position, cid).err();
            }
        }
        Ok(())
    })?;
    if let Some(error) = forked {
        return Err(error);
    }
    let signed = if accept_unsigned { archive.last } else { archive.signed.unwrap_or(0) };
    let end = target.store().map_or(Ok(0), Store::end)?;
    if archive.first > end + 1 {
        return Err(MirrorError::Gap { needed: end + 1, first: archive.first }.into());
    }
    let chain = chain.ok_or(ImportError::KeyNeeded)?;
    let (target, new) = take(target, file, &chain, signed, &linked)?;
    let end = target.store().map_or(Ok(0), Store::end)?;
    Ok(Imported { new, end, unsigned: archive.last - signed, archive })
}

fn fork(store: &Store, position: u64, here: &Cid) -> Result<(), ImportError> {
    match store.event(&Which::Position(position)) {
        Ok(there) if there.cid != *here => {
            Err(MirrorError::Fork { position, there: Box::new(there.cid), here: Box::new(*here) }.into())
        }
        Ok(_) | Err(ReadError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Records what was verified. The file is read a second time, and verified again on the way.
fn take<'a>(
    mut target: Target<'a>,
    file: &Path,
    chain: &KeyChain,
    signed: u64,
    linked: &HashSet<[u8; 32]>,
) -> Result<(Target<'a>, u64), ImportError> {
    let mut reader = ArchiveReader::new(open(file)?).map_err(VerifyError::from)?;
    let contents = reader.contents().clone();
    let mut batch: Vec<FollowedEvent> = Vec::new();
    let mut blobs = Vec::new();
    let (mut first, mut new) = (contents.first, 0);
    while let Some(item) = reader.next_item().map_err(VerifyError::from)? {
        match item {
            Item::Event { position, cid, block, .. } if position <= signed => {
                batch.push(followed(position, cid, block, &contents)?);
                if let Target::New(place, key) = &target {
                    make_folder(place.folder())?;
                    let created = batch.drain(..).next().ok_or(ImportError::KeyNeeded)?;
                    target = Target::Mirror(Box::new(Mirror::create(place.options(), created, key)?));
                    (first, new) = (position + 1, new + 1);
                }
                if let (Some(follower), BATCH) = (target.follower(), batch.len()) {
                    new += follower.record(first, std::mem::take(&mut batch), Vec::new())?;
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
    let follower = target.follower().ok_or(ImportError::KeyNeeded)?;
    new += follower.record(first, batch, blobs)?;
    let covered = |one: &&SignedCheckpoint| one.size() <= signed && chain.verify(one).is_ok();
    follower.keep_checkpoints(&reader.checkpoints().iter().filter(covered).cloned().collect::<Vec<_>>())?;
    Ok((target, new))
}

/// Who signed what in an archive of a whole history that holds.
///
/// # Errors
/// When it can't be read, or there is no room for a copy of it.
pub fn vouched(file: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vouched, ImportError> {
    let mut reader = ArchiveReader::new(open(file)?).map_err(VerifyError::from)?;
    let contents = reader.contents().clone();
    let mut passing = Passing::new()?;
    while let Some(Item::Event { position, cid, block, .. }) = reader.next_item().map_err(VerifyError::from)? {
        passing.push(followed(position, cid, block, &contents)?)?;
    }
    Ok(passing.vouched(progress)?)
}

fn followed(position: u64, cid: Cid, block: &[u8], contents: &Contents) -> Result<FollowedEvent, ImportError> {
    let unreadable = |source| VerifyError::Event { position, cid: Box::new(cid), source };
    let block = EventBlock::parse(block.to_vec()).map_err(|error| unreadable(error.into()))?;
    let envelope = block.envelope();
    let known = EventData::aggregate_of(envelope.event_type, envelope.schema).map(|aggregate| aggregate.as_str());
    let named = known.or_else(|| contents.aggregates.get(envelope.event_type).map(String::as_str));
    match named.and_then(|text| text.parse::<SubjectPrefix>().ok()) {
        Some(aggregate) => Ok(FollowedEvent { cid, aggregate, block }),
        None => Err(ImportError::UnknownType { position, event_type: envelope.event_type.to_owned() }),
    }
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
