//! `mirror`: read-only copies of a ledger, pinned to a key that its user typed in, without custody.

use std::fs;
use std::path::Path;

use cid::Cid;

use super::archive::{self, Held, ImportError, Imported, Progress};
use super::medium::{self, MediumError, OnMedium, io};
use super::tokens::{self, TokensError};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::config::Config;
use crate::files::write_durably;
use crate::ledger::ViewError;
use crate::log::{NodeHash, SignedCheckpoint, VerifierKey};
use crate::session::Place;
use crate::store::{DatabaseError, Mirror, OpenError, ReadError, RestrictedBlocks, RestrictedError, Store};

/// Why a mirror was not made or brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorActError {
    /// The medium is not there, or not whole.
    #[error(transparent)]
    Medium(#[from] MediumError),
    /// The archive was not taken.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The tokens were not taken; the events are.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The texts of tokens could not be opened.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// The mirror could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The mirror could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// There is a ledger already.
    #[error("there is a ledger in {} already", .0.display())]
    Exists(std::path::PathBuf),
    /// The newest head on the medium is signed with a key that the mirror has no reason to trust.
    #[error(
        "the head of {size} events on the medium is not signed with the key that the mirror is pinned to, {pinned}, nor with one that follows from it"
    )]
    NotFollowed {
        /// The size of the medium's head.
        size: u64,
        /// What the mirror is pinned to.
        pinned: String,
    },
    /// The words that were typed are not those of the medium's head.
    #[error(
        "the words that were typed are not those of the head of {size} events on the medium: it is another medium, another history, or a later state. Nothing was taken"
    )]
    OtherWords {
        /// The size of the medium's head.
        size: u64,
    },
}

impl Explained for MirrorActError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Import(error) => error.kind(),
            Self::Medium(error) => error.kind(),
            Self::OtherWords { .. } | Self::NotFollowed { .. } => ErrorKind::Verification,
            Self::Exists(_) | Self::Open(OpenError::NotAMirror(_)) => ErrorKind::Usage,
            Self::Tokens(_)
            | Self::Restricted(_)
            | Self::Open(_)
            | Self::Read(_)
            | Self::Database(_)
            | Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Run(Action::UpdateMirror, "brings a mirror up to date")],
            Self::NotFollowed { .. } => vec![Advice::Do(
                "if the ledger goes on under a key that its old one did not vouch for, make a mirror anew with the new key \
                 from paper",
            )],
            Self::Import(error) => error.advice(),
            Self::Medium(error) => error.advice(),
            Self::Tokens(error) => error.advice(),
            Self::Restricted(error) => error.advice(),
            Self::Open(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Database(error) => error.advice(),
            Self::OtherWords { .. } | Self::View(_) => Vec::new(),
        }
    }
}

/// Where a mirror takes from.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// A medium that a ledger was carried out to.
    Medium(&'a Path),
    /// An archive alone, without tokens.
    Archive(&'a Path),
}

impl<'a> From<'a> {
    /// A folder is a medium, a file an archive.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        if path.is_file() { Self::Archive(path) } else { Self::Medium(path) }
    }
}

/// What a mirror took.
#[derive(Debug, Clone)]
pub struct Updated {
    /// Of events.
    pub imported: Imported,
    /// The newest signed head that the mirror has now.
    pub head: Option<SignedCheckpoint>,
    /// How many tokens in force it holds.
    pub tokens: u64,
    /// How many tokens in force it lacks.
    pub missing: u64,
}

/// Makes a mirror of the ledger that a key is the key of.
///
/// # Errors
/// When there is a ledger already, when the medium is not whole, or what it carries does not hold.
pub fn init(
    place: &Place,
    from: From<'_>,
    key: &VerifierKey,
    words: Option<&NodeHash>,
    progress: Progress<'_>,
) -> Result<Updated, MirrorActError> {
    if place.database().exists() {
        return Err(MirrorActError::Exists(place.folder().to_owned()));
    }
    let updated = take(place, from, key, words, progress)?;
    let config = place.config();
    if !config.exists() {
        write_durably(&config, Config::example().as_bytes(), false).map_err(io("writing", &config))?;
    }
    Ok(updated)
}

/// Brings a mirror up to date.
///
/// # Errors
/// When it is no mirror, when the medium is not whole, or what it carries is another history.
pub fn update(
    place: &Place,
    from: From<'_>,
    words: Option<&NodeHash>,
    progress: Progress<'_>,
) -> Result<Updated, MirrorActError> {
    let key = Mirror::open(place.options())?.key().clone();
    take(place, from, &key, words, progress)
}

fn take(
    place: &Place,
    from: From<'_>,
    key: &VerifierKey,
    words: Option<&NodeHash>,
    progress: Progress<'_>,
) -> Result<Updated, MirrorActError> {
    let (archive, tokens, against) = match from {
        From::Archive(file) => (file.to_owned(), None, None),
        From::Medium(medium) => {
            let there = medium::find(medium, key.name().as_str())?;
            there.check()?;
            let head = there.checkpoint()?;
            check_words(&head, words)?;
            (there.archive(), OnMedium::tokens(&there), Some(head))
        }
    };
    let held = Held { key: Some(key), against: against.as_ref() };
    let imported = archive::import(place, &archive, held, progress)?;
    if let Some(head) = against.as_ref().filter(|head| Some(head.size()) > imported.archive.signed) {
        return Err(MirrorActError::NotFollowed { size: head.size(), pinned: key.to_string() });
    }
    let store = Store::open_read_only(place.options())?;
    let head = store.latest_checkpoint()?;
    if let (Some(head), From::Archive(_)) = (&head, from) {
        check_words(head, words)?;
    }
    let in_force = store.view(tokens::in_force)??;
    let mut held = 0;
    if !in_force.is_empty() {
        let mut restricted = RestrictedBlocks::open(&place.restricted())?;
        if let Some(tokens) = tokens {
            tokens::read(archive::open(&tokens).map_err(ImportError::from)?, &in_force, &mut restricted)?;
        }
        // An earlier token of an account brings revoked users back: none is kept where it could be pushed.
        restricted.keep_only(&in_force)?;
        held = count_held(&restricted, &in_force)?;
    }
    Ok(Updated { imported, head, tokens: held, missing: in_force.len() as u64 - held })
}

/// How many of the tokens in force the mirror has.
fn count_held<'c>(
    restricted: &RestrictedBlocks,
    in_force: impl IntoIterator<Item = &'c Cid>,
) -> Result<u64, RestrictedError> {
    let held = in_force.into_iter().map(|token| Ok(u64::from(restricted.get(token)?.is_some())));
    held.sum()
}

fn check_words(head: &SignedCheckpoint, words: Option<&NodeHash>) -> Result<(), MirrorActError> {
    match words {
        Some(words) if *words != head.checkpoint().root => Err(MirrorActError::OtherWords { size: head.size() }),
        _ => Ok(()),
    }
}

/// How a mirror stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The key that it is pinned to.
    pub key: VerifierKey,
    /// How many events it has.
    pub events: u64,
    /// The newest signed head that it has.
    pub head: Option<SignedCheckpoint>,
    /// The last position that a stream has confirmed to it.
    pub published: u64,
    /// How many tokens in force it holds, and how many it lacks.
    pub tokens: (u64, u64),
}

/// Looks up how a mirror stands.
///
/// # Errors
/// When it is no mirror, or can't be read.
pub fn standing(place: &Place) -> Result<Standing, MirrorActError> {
    let store = Store::open_read_only(place.options())?;
    let key = store.pinned_key()?.ok_or_else(|| OpenError::NotAMirror(place.database()))?;
    let in_force = store.view(tokens::in_force)??;
    let mut held = 0;
    if fs::exists(place.restricted()).unwrap_or(false) {
        let restricted = RestrictedBlocks::open(&place.restricted())?;
        held = count_held(&restricted, &in_force)?;
    }
    Ok(Standing {
        key,
        events: store.end()?,
        head: store.latest_checkpoint()?,
        published: store.published()?,
        tokens: (held, in_force.len() as u64 - held),
    })
}
