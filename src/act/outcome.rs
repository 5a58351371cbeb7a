//! How an act ended.

use std::error::Error;
use std::fmt;

use super::commit::AppendedEvent;
use super::front::{ClockJump, Question};
use super::policy::Denial;
use super::port::Head;
use super::publication::Publication;
use super::signing::SigningError;
use crate::keys::KeyError;
use crate::ledger::{Refusal, ViewError};

/// What holds after an act.
#[derive(Debug)]
#[must_use]
pub struct Outcome<T> {
    /// What the use case answers.
    pub value: T,
    /// What was recorded, in order; nothing when all was so before.
    pub events: Vec<AppendedEvent>,
    /// What is signed of it.
    pub head: Head,
    /// What is published of it.
    pub publication: Publication,
}

/// Why an act did not take place. Nothing was recorded, except as [`ActError::Unfinished`] says.
#[derive(Debug)]
#[non_exhaustive]
pub enum ActError<J: Error + 'static, E: Error + 'static> {
    /// The use case says no.
    Build(E),
    /// What is recorded does not let a decision pass that came at the end of the act.
    Refused(Refusal),
    /// The policy denies it.
    Denied(Denial),
    /// The policy wants it approved by somebody else.
    NeedsApproval(Denial),
    /// The answer was no.
    Declined(Question),
    /// No one could answer: there is no terminal.
    CannotAsk(Question),
    /// The clock is more than a day away from the last event, and its time was not confirmed.
    ClockJump {
        /// The jump.
        jump: ClockJump,
        /// Whether somebody was asked, and said no.
        asked: bool,
    },
    /// A key was not found or made.
    Key(KeyError),
    /// Something could not be signed.
    Sign(SigningError),
    /// Texts could not be kept.
    Texts(Box<dyn Error + Send + Sync>),
    /// An event can't be made: it breaks the canonical form or its size limit.
    Encoding(String),
    /// Entities could not be read.
    View(ViewError),
    /// Others wrote each time before this act could be recorded.
    Contended {
        /// How often it was tried.
        attempts: usize,
    },
    /// The journal says no, or failed.
    Journal(J),
    /// Nothing was recorded, or that is not known, and secrets are still in custody.
    Left {
        /// Why nothing was recorded.
        source: Box<ActError<J, E>>,
        /// How many secrets.
        left: usize,
    },
    /// Of an act in two steps the first is recorded, and the second is not.
    Unfinished {
        /// What was in the way.
        source: Box<ActError<J, E>>,
        /// What holds after the first.
        begun: Box<Outcome<()>>,
    },
}

impl<J: Error + 'static, E: Error + 'static> ActError<J, E> {
    /// The same with another error of the use case.
    pub fn map_build<F: Error + 'static>(self, map: impl FnOnce(E) -> F) -> ActError<J, F> {
        match self {
            Self::Build(error) => ActError::Build(map(error)),
            Self::Refused(error) => ActError::Refused(error),
            Self::Denied(denial) => ActError::Denied(denial),
            Self::NeedsApproval(denial) => ActError::NeedsApproval(denial),
            Self::Declined(question) => ActError::Declined(question),
            Self::CannotAsk(question) => ActError::CannotAsk(question),
            Self::ClockJump { jump, asked } => ActError::ClockJump { jump, asked },
            Self::Key(error) => ActError::Key(error),
            Self::Sign(error) => ActError::Sign(error),
            Self::Texts(error) => ActError::Texts(error),
            Self::Encoding(error) => ActError::Encoding(error),
            Self::View(error) => ActError::View(error),
            Self::Contended { attempts } => ActError::Contended { attempts },
            Self::Journal(error) => ActError::Journal(error),
            Self::Left { source, left } => ActError::Left { source: Box::new(source.map_build(map)), left },
            Self::Unfinished { source, begun } => {
                ActError::Unfinished { source: Box::new(source.map_build(map)), begun }
            }
        }
    }
}

impl<J: Error + 'static, E: Error + 'static> fmt::Display for ActError<J, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => fmt::Display::fmt(error, f),
            Self::Refused(error) => error.fmt(f),
            Self::Denied(denial) | Self::NeedsApproval(denial) => denial.fmt(f),
            Self::Declined(question) => f.write_str(&question.otherwise),
            Self::CannotAsk(question) => write!(f, "{} No person can answer here", question.text),
            Self::ClockJump { jump, .. } => jump.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Sign(error) => error.fmt(f),
            Self::Texts(error) => error.fmt(f),
            Self::Encoding(what) => write!(f, "the event can't be encoded: {what}"),
            Self::View(error) => error.fmt(f),
            Self::Contended { attempts } => {
                let attempts = if *attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
                write!(f, "another writer recorded something first ({attempts}), so nothing was recorded")
            }
            Self::Journal(error) => fmt::Display::fmt(error, f),
            Self::Left { source, left } => {
                write!(f, "{source}; secrets of {left} keys are in custody, and may belong to no recorded key")
            }
            Self::Unfinished { source, .. } => write!(f, "the act has begun, and is not finished: {source}"),
        }
    }
}

impl<J: Error + 'static, E: Error + 'static> Error for ActError<J, E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Build(error) => error.source(),
            Self::Journal(error) => error.source(),
            Self::Left { source, .. } | Self::Unfinished { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

impl<J: Error + 'static, E: Error + 'static> From<Refusal> for ActError<J, E> {
    fn from(error: Refusal) -> Self {
        Self::Refused(error)
    }
}

impl<J: Error + 'static, E: Error + 'static> From<KeyError> for ActError<J, E> {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl<J: Error + 'static, E: Error + 'static> From<ViewError> for ActError<J, E> {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}
