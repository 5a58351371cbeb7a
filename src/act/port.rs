//! What the pipeline needs from its surroundings.

use std::error::Error;

use cid::Cid;

use super::commit::{AppendedEvent, Commit, CommitError};
use super::outcome::{ClockJump, Head};
use crate::events::KeyEvent;
use crate::keys::{KeyRef, Signer};
use crate::ledger::{View, ViewError};
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

/// Who may do what. Asked twice: when an act is drafted, for a readable answer, and within the transaction that records it.
/// Pure and quick: it is given all that it may look at.
pub trait Policy: Send + Sync {
    /// Judges an event that is about to be recorded. `before` is the state before the decision that led to it; of the event,
    /// identifier and causes may still be missing when an act is drafted.
    ///
    /// # Errors
    /// When the state can't be read.
    fn judge(&self, before: &dyn View, event: &KeyEvent, evidence: &Evidence) -> Result<Verdict, ViewError>;
}

/// What a policy may count on besides the event and the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// Whether the actor's own signature over the event is recorded right behind it.
    pub signed: bool,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be recorded.
    Allow,
    /// It may not.
    Deny(Denial),
    /// It may, once somebody else has approved it.
    NeedsApproval(Denial),
}

/// Why a policy does not let an event pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {next}")]
pub struct Denial {
    /// The type of the event.
    pub event_type: String,
    /// Why.
    pub reason: String,
    /// What to do next.
    pub next: String,
}

/// Who sits in front: asked before something is signed that can't be taken back.
pub trait Front {
    /// Asks a question.
    fn confirm(&mut self, question: &Question) -> Answer;

    /// Asks whether the clock is right, which is more than a day away from the last event.
    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer;
}

/// A question before an act.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// What is asked, to be answered with yes or no.
    pub text: String,
    /// What has not happened when the answer is no: "nothing was revoked".
    pub otherwise: String,
    /// What the answer holds for, besides the text. It is not shown; where it changes, the question is asked again.
    pub about: String,
}

impl Question {
    /// A question, and what has not happened when the answer is no.
    pub fn new(text: impl Into<String>, otherwise: impl Into<String>) -> Self {
        Self { text: text.into(), otherwise: otherwise.into(), about: String::new() }
    }

    /// The same, for an answer that holds for exactly this.
    #[must_use]
    pub fn about(self, about: impl Into<String>) -> Self {
        Self { about: about.into(), ..self }
    }
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
    /// There is nobody who could answer.
    CannotAsk,
}

/// Nobody sits in front: what would be asked is not done.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFront;

impl Front for NoFront {
    fn confirm(&mut self, _: &Question) -> Answer {
        Answer::CannotAsk
    }

    fn confirm_clock(&mut self, _: &ClockJump) -> Answer {
        Answer::CannotAsk
    }
}

impl<F: Front + ?Sized> Front for &mut F {
    fn confirm(&mut self, question: &Question) -> Answer {
        (**self).confirm(question)
    }

    fn confirm_clock(&mut self, jump: &ClockJump) -> Answer {
        (**self).confirm_clock(jump)
    }
}
