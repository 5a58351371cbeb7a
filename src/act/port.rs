//! Where acts are recorded, and what keeps their restricted texts.

use std::error::Error;

use cid::Cid;

use super::commit::{AppendedEvent, Commit, CommitError};
use crate::keys::{KeyRef, Signer};
use crate::ledger::View;
use crate::time::Timestamp;

/// Where acts are recorded: a ledger on disk, or one that is about to be made.
pub trait Journal {
    /// What can be in the way.
    type Error: Error + 'static;

    /// Whether acts can be recorded here. Asked before anything is drafted.
    ///
    /// # Errors
    /// Why they can't.
    fn writable(&self) -> Result<(), Self::Error>;

    /// The end of the log, and what the clock says.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn tip(&self) -> Result<Tip, Self::Error>;

    /// Looks entities up, all as of one moment.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn view<T>(&self, look: impl FnOnce(&dyn View) -> T) -> Result<T, Self::Error>;

    /// Records an act, all or nothing, durably. Within the transaction every decision is taken once more and judged once
    /// more.
    ///
    /// # Errors
    /// See [`CommitError`]. The ledger is as it was.
    fn commit(&self, act: Commit) -> Result<Vec<AppendedEvent>, CommitError<Self::Error>>;

    /// The ledger's own key, where it is among its keys.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn ledger_key(&self) -> Result<Option<KeyRef>, Self::Error>;

    /// Signs the head of what is recorded with the ledger's own key, unless it is signed; says how many events it covers.
    ///
    /// # Errors
    /// When the head does not continue what was signed before, or could not be kept.
    fn sign_head(&self, signer: &dyn Signer) -> Result<u64, Self::Error>;

    /// Whether an error of [`Journal::sign_head`] says that what was signed before and what is recorded contradict each other.
    fn is_contradiction(error: &Self::Error) -> bool;

    /// How the newest signed head stands.
    ///
    /// # Errors
    /// When the ledger can't be read.
    fn head(&self) -> Result<Head, Self::Error>;
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The last position; 0 in an empty log.
    pub position: u64,
    /// The time of the last event.
    pub last: Option<Timestamp>,
    /// What the clock says.
    pub now: Timestamp,
}

/// What is signed of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Head {
    /// A signed head covers everything.
    Signed {
        /// How many events.
        events: u64,
    },
    /// Events are not covered yet: the ledger's own key was not at hand.
    Unsigned {
        /// How many.
        events: u64,
    },
    /// The key was at hand, and the head could not be signed.
    Failed {
        /// Why.
        reason: String,
        /// Whether what was signed before and what is recorded contradict each other.
        contradiction: bool,
    },
}

/// Restricted texts: signed tokens, which events only link to.
pub trait Texts: Sync {
    /// The text of a content identifier; `None` where it is not kept here.
    ///
    /// # Errors
    /// When what keeps them fails.
    fn get(&self, cid: &Cid) -> Result<Option<String>, Box<dyn Error + Send + Sync>>;

    /// Keeps texts, durably. Called beside the transaction that records them, which waits for it before it commits. A text
    /// that is kept and never linked does no harm.
    ///
    /// # Errors
    /// When what keeps them fails.
    fn put(&self, texts: &[String]) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Keeps no texts: for acts that have none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTexts;

impl Texts for NoTexts {
    fn get(&self, _: &Cid) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
        Ok(None)
    }

    fn put(&self, _: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Err("this program keeps no texts of tokens".into())
    }
}

impl<T: Texts + ?Sized> Texts for &T {
    fn get(&self, cid: &Cid) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
        (**self).get(cid)
    }

    fn put(&self, texts: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
        (**self).put(texts)
    }
}
