//! `carry`: what a ledger hands out on removable media, and what comes back to it.
//!
//! Out go the archive and the tokens that servers need. Back come **parcels**: files that the connected side left on the
//! medium. Each kind of parcel is registered in [`KINDS`], with what is done with it; a copy of each is kept in the
//! ledger's folder, so that the medium can be written over.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::archive::{self, ExportError, Held, Progress, Since, VerifyError};
use super::medium::{self, Listed, Manifest, MediumError, Writing, io};
use super::requests::{self, RefusedRequest};
use super::tokens::{self, TokensError};
use crate::act::Publication;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::authority::nats::receipt::{self, Receipt};
use crate::files::write_durably;
use crate::ledger::ViewError;
use crate::log::SignedCheckpoint;
use crate::session::{LedgerPipeline, Session};
use crate::store::{ReadError, RestrictedBlocks, RestrictedError, Store};
use crate::time::Timestamp;

/// The longest parcel that is taken.
const LONGEST: u64 = 32 << 20;

/// Why nothing was carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// The medium can't be written or read, or is not whole.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The archive could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The tokens could not be written or read.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The texts of tokens could not be opened.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The archive on the medium does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// No head is signed, so nobody could check what is carried.
    #[error("no head of this ledger is signed, and a mirror takes only what a signed head covers")]
    Unsigned,
    /// The head on the medium is none of this ledger.
    #[error(
        "two histories: the medium has a head of {size} events with the root {theirs}, and this ledger has {ours}. Nothing was taken"
    )]
    Fork {
        /// How many events the medium's head has.
        size: u64,
        /// Its root, in hexadecimal.
        theirs: String,
        /// What this ledger has there.
        ours: String,
    },
    /// A parcel could not be recorded.
    #[error("{}: {source}", path.display())]
    Parcel {
        /// The parcel.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Explained for CarryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Medium(MediumError::Io { .. }) => ErrorKind::Failed,
            Self::Medium(MediumError::NotThere(_)) => ErrorKind::Usage,
            Self::Medium(_) | Self::Fork { .. } | Self::Verify(_) => ErrorKind::Verification,
            Self::Unsigned | Self::Parcel { .. } => ErrorKind::Refused,
            Self::Export(error) => error.kind(),
            Self::Tokens(_) | Self::Restricted(_) | Self::Read(_) | Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Unsigned => vec![Advice::Run(Action::SignHead, "signs it")],
            Self::Fork { .. } => vec![Advice::KEEP_BOTH],
            Self::Medium(error) => error.advice(),
            Self::Export(error) => error.advice(),
            Self::Tokens(error) => error.advice(),
            Self::Restricted(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Verify(error) => error.advice(),
            Self::View(_) | Self::Parcel { .. } => Vec::new(),
        }
    }
}

/// What was carried out.
#[derive(Debug, Clone)]
pub struct CarriedOut {
    /// The ledger's folder on the medium.
    pub folder: PathBuf,
    /// The position of the first event.
    pub first: u64,
    /// The position of the last event.
    pub last: u64,
    /// How many of the last events no signed head covers.
    pub unsigned: u64,
    /// How many texts of tokens.
    pub tokens: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// The newest signed head: what a mirror will have.
    pub checkpoint: SignedCheckpoint,
}

/// Carries a ledger, or a mirror of one, out to a medium. What was there before stays whole until the new is.
///
/// # Errors
/// When no head is signed, or the medium can't be written.
pub fn out(
    session: &Session,
    since: Since<'_>,
    medium: &Path,
    progress: Progress<'_>,
) -> Result<CarriedOut, CarryError> {
    let store = session.store();
    let checkpoint = store.latest_checkpoint()?.ok_or(CarryError::Unsigned)?;
    let writing = Writing::begin(medium, checkpoint.checkpoint().origin.as_str())?;
    let (archive, exported) = writing
        .file("ledger", false, |file| archive::export(store, since, file, progress).map_err(CarryError::from))?;
    let (tokens, count) = write_tokens(session, &writing)?;
    let manifest = Manifest::new((exported.first, exported.last), &checkpoint, archive, tokens);
    let folder = writing.finish(&manifest)?;
    let bytes = manifest.archive.bytes + manifest.tokens.as_ref().map_or(0, |listed| listed.bytes);
    let (first, last, unsigned) = (exported.first, exported.last, exported.unsigned);
    Ok(CarriedOut { folder, first, last, unsigned, tokens: count, bytes, checkpoint })
}

fn write_tokens(session: &Session, writing: &Writing) -> Result<(Option<Listed>, u64), CarryError> {
    let path = session.place().restricted();
    let in_force = session.store().view(tokens::in_force)??;
    if in_force.is_empty() || !path.exists() {
        return Ok((None, 0));
    }
    let restricted = RestrictedBlocks::open(&path)?;
    let (listed, count) =
        writing.file("tokens", true, |file| tokens::write(&restricted, &in_force, file).map_err(CarryError::from))?;
    Ok((Some(listed), count))
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It led to so many events.
    Recorded(u64),
    /// It was taken before.
    Known,
    /// It is kept, and this is what somebody does with it.
    Waits(&'static str),
}

/// What is done with a parcel of a kind.
pub type Take = fn(
    &Session,
    &mut LedgerPipeline<'_>,
    &[u8],
) -> Result<(Taken, Publication), Box<dyn std::error::Error + Send + Sync>>;

/// A kind of files that the connected side leaves on a medium.
pub struct Kind {
    /// What the names of its files end in, without the dot.
    pub extension: &'static str,
    /// Whether a file of that name is one, by its content.
    pub is: fn(&[u8]) -> bool,
    /// What people call it.
    pub noun: &'static str,
    /// What is done with one. It must be good to do it again.
    pub take: Take,
}

/// The kinds of parcels: the one place where a new kind is registered.
pub static KINDS: &[Kind] = &[
    Kind { extension: "req", is: |bytes| !bytes.is_empty(), noun: "request", take: take_request },
    Kind { extension: "json", is: Receipt::is, noun: "push receipt", take: take_receipt },
];

/// What a request asks for is shown and carried out by whoever reads it; it is only told whether that was done already.
fn take_request(
    session: &Session,
    _: &mut LedgerPipeline<'_>,
    bytes: &[u8],
) -> Result<(Taken, Publication), Box<dyn std::error::Error + Send + Sync>> {
    let text = String::from_utf8_lossy(bytes);
    let taken = match requests::open(session.store(), &text, Timestamp::now()) {
        Err(RefusedRequest::Used(_)) => Taken::Known,
        _ => Taken::Waits("`cim-keys nats sign` shows what it asks for, and signs it"),
    };
    Ok((taken, Publication::Nothing))
}

fn take_receipt(
    session: &Session,
    pipeline: &mut LedgerPipeline<'_>,
    bytes: &[u8],
) -> Result<(Taken, Publication), Box<dyn std::error::Error + Send + Sync>> {
    let recorded = receipt::record(pipeline, &session.intent(), &Receipt::parse(bytes)?)?;
    let taken = match recorded.events.len() as u64 {
        0 => Taken::Known,
        some => Taken::Recorded(some),
    };
    Ok((taken, recorded.publication))
}

/// A file that was found on a medium.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where it is on the medium.
    pub path: PathBuf,
    /// What it is.
    pub noun: &'static str,
    /// Where its copy is kept.
    pub kept: PathBuf,
    /// What became of it.
    pub taken: Taken,
}

/// What was carried in.
#[derive(Debug, Clone)]
pub struct CarriedIn {
    /// The head of this ledger that the medium carries; `None` where it carries none.
    pub head: Option<SignedCheckpoint>,
    /// The parcels, by name.
    pub parcels: Vec<Parcel>,
    /// What became of the events that they led to.
    pub publication: Publication,
}

/// Takes in what a medium brings back to its ledger: compares the head that it carries, and takes the parcels.
///
/// # Errors
/// When the medium is not whole or has another history, or a parcel can't be recorded; those before it then are.
pub fn take_in(session: &Session, pipeline: &mut LedgerPipeline<'_>, medium: &Path) -> Result<CarriedIn, CarryError> {
    let head = compare(session.store(), medium)?;
    let (mut parcels, mut publication) = (Vec::new(), Publication::Nothing);
    for path in parcel_files(medium)? {
        let Some((kind, bytes)) = recognise(&path)? else { continue };
        let kept = keep(session.place().folder(), &path, &bytes)?;
        let taken = (kind.take)(session, pipeline, &bytes);
        let (taken, published) = taken.map_err(|source| CarryError::Parcel { path: path.clone(), source })?;
        if published != Publication::Nothing {
            publication = published;
        }
        parcels.push(Parcel { path, noun: kind.noun, kept, taken });
    }
    Ok(CarriedIn { head, parcels, publication })
}

/// Verifies what the medium carries of this ledger, and that it is a beginning of what is recorded.
fn compare(store: &Store, medium: &Path) -> Result<Option<SignedCheckpoint>, CarryError> {
    let Some(ours) = store.latest_checkpoint()? else { return Ok(None) };
    let origin = ours.checkpoint().origin.as_str();
    let Some(there) = medium::ledgers(medium)?.into_iter().find(|one| one.manifest.origin == origin) else {
        return Ok(None);
    };
    there.check()?;
    let theirs = there.checkpoint()?;
    let (size, end) = (theirs.size(), store.end()?);
    let hex = |root: &[u8]| root.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let fork = |ours| CarryError::Fork { size, theirs: hex(&theirs.checkpoint().root), ours };
    if size > end {
        return Err(fork(format!("only {end} events")));
    }
    let (_, root) = store.root(Some(size))?;
    if root != theirs.checkpoint().root {
        return Err(fork(hex(&root)));
    }
    let held = Held { key: None, against: Some(&theirs) };
    archive::verify(archive::open(&there.archive())?, held, &mut |_, _| {}, |_| Ok(()))?;
    Ok(Some(theirs))
}

fn parcel_files(medium: &Path) -> Result<Vec<PathBuf>, MediumError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(medium).map_err(io("reading", medium))? {
        let path = entry.map_err(io("reading", medium))?.path();
        // Names that begin with a dot are what other systems leave on media.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn recognise(path: &Path) -> Result<Option<(&'static Kind, Vec<u8>)>, MediumError> {
    let mut kinds =
        KINDS.iter().filter(|kind| path.extension().is_some_and(|there| there == kind.extension)).peekable();
    if kinds.peek().is_none() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(io("reading", path))?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(io("reading", path))?;
    if bytes.len() as u64 > LONGEST {
        return Ok(None);
    }
    Ok(kinds.find(|kind| (kind.is)(&bytes)).map(|kind| (kind, bytes)))
}

/// Keeps a parcel under a name that follows from its content.
fn keep(ledger: &Path, path: &Path, bytes: &[u8]) -> Result<PathBuf, MediumError> {
    let folder = ledger.join("carried");
    if !folder.exists() {
        fs::create_dir(&folder).map_err(io("making", &folder))?;
        crate::files::sync_folder(ledger).map_err(io("syncing", ledger))?;
    }
    let hash: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kept = folder.join(format!("{hash}-{name}"));
    if !kept.exists() {
        write_durably(&kept, bytes, true).map_err(io("writing", &kept))?;
    }
    Ok(kept)
}
