//! Histories that are at hand only in passing, in an archive or a stream: the same is asked of them as of a ledger, in a
//! mirror of them that lasts no longer than the question.

use std::io;

use super::tally::Vouched;
use super::vouched;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::{EventData, KeyEvent};
use crate::ipld_support::decode_block;
use crate::log::{InvalidKey, KeyChain};
use crate::session::Place;
use crate::store::{AppendError, CreateError, FollowedEvent, Mirror, MirrorError, ReadError};

/// Events recorded in one transaction.
const BATCH: usize = 5_000;

/// Why nobody can say who signed what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassingError {
    /// There is no room for the copy.
    #[error("the events could not be put into a temporary file: {0}")]
    Io(#[from] io::Error),
    /// The ledger's first key can't be parsed.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The copy could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The copy did not take the events.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The copy could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Explained for PassingError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(_) => ErrorKind::Failed,
            Self::Key(error) => error.kind(),
            Self::Create(error) => error.kind(),
            Self::Mirror(error) => error.kind(),
            Self::Read(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Io(_) => Vec::new(),
            Self::Key(error) => error.advice(),
            Self::Create(error) => error.advice(),
            Self::Mirror(error) => error.advice(),
            Self::Read(error) => error.advice(),
        }
    }
}

/// A mirror of a history that passes by.
pub struct Passing {
    folder: tempfile::TempDir,
    mirror: Option<Mirror>,
    batch: Vec<FollowedEvent>,
    next: u64,
}

impl Passing {
    /// An empty one.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new() -> Result<Self, PassingError> {
        let folder = tempfile::Builder::new().prefix("cim-keys-verify-").tempdir()?;
        Ok(Self { folder, mirror: None, batch: Vec::new(), next: 1 })
    }

    /// Adds the next event of a history that holds, from the first one on.
    ///
    /// # Errors
    /// When the disk fails, or it is none.
    pub fn push(&mut self, event: FollowedEvent) -> Result<(), PassingError> {
        if self.mirror.is_none() {
            let first = decode_block::<KeyEvent>(&event.block).map(|first| first.data);
            let Ok(EventData::LedgerCreated(created)) = first else {
                let error = AppendError::Encoding("the first event is no LedgerCreated".into());
                return Err(CreateError::from(error).into());
            };
            let key = KeyChain::of_ledger(&created)?.current().clone();
            let place = Place::new(self.folder.path().join("mirror"), self.folder.path().join("tokens"));
            std::fs::create_dir(place.folder())?;
            self.mirror = Some(Mirror::create(place.options(), event, &key)?);
            self.next = 2;
            return Ok(());
        }
        self.batch.push(event);
        if self.batch.len() == BATCH { self.record() } else { Ok(()) }
    }

    fn record(&mut self) -> Result<(), PassingError> {
        let batch = std::mem::take(&mut self.batch);
        if let Some(mirror) = &self.mirror {
            self.next += mirror.record(self.next, batch, Vec::new())?;
        }
        Ok(())
    }

    /// Who vouches for what in it.
    ///
    /// # Errors
    /// When the copy can't be written or read.
    pub fn vouched(mut self, progress: &mut dyn FnMut(u64)) -> Result<Vouched, PassingError> {
        self.record()?;
        Ok(self.mirror.as_ref().map_or_else(|| Ok(Vouched::default()), |mirror| vouched(mirror.store(), progress))?)
    }
}
