//! How entities end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Note;
use crate::time::Timestamp;

/// The end of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// In which way.
    pub how: How,
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// In which way an entity ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// A unit was dissolved.
    Dissolved,
    /// A location was closed.
    Closed,
    /// A person was deactivated.
    Deactivated,
    /// A role was retired.
    Retired,
    /// An assignment or a policy was withdrawn.
    Withdrawn,
    /// A relationship ended.
    Ended,
    /// A key was replaced by its successor.
    Rotated,
    /// A key was revoked.
    Revoked,
    /// A custody recipient was removed.
    Removed,
    /// A NATS operator or account was deleted.
    Deleted,
}

impl How {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dissolved => "dissolved",
            Self::Closed => "closed",
            Self::Deactivated => "deactivated",
            Self::Retired => "retired",
            Self::Withdrawn => "withdrawn",
            Self::Ended => "ended",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Removed => "removed",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
