//! Entities: what the events so far say of one thing, and how it ended.

use std::fmt;

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::cid_text;
use super::facts::Facts;
use super::reference::{EntityRef, Index, NameKey};
use crate::text::{Note, visible};
use crate::time::Timestamp;

/// One thing that the ledger knows, as of the events so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// What is known.
    pub facts: Facts,
    /// The last event that concerns it: a cause of the next one.
    #[serde(with = "cid_text")]
    pub last: Cid,
    /// When it was recorded first.
    pub created_at: Timestamp,
    /// When an event last concerned it.
    pub changed_at: Timestamp,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The first event about it that this release does not know. No decision is taken about such an entity.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "cid_text::option")]
    pub unknown: Option<Cid>,
}

impl Entity {
    /// Which entity it is.
    #[must_use]
    pub fn entity_ref(&self) -> EntityRef {
        self.facts.entity_ref()
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.ended.is_none()
    }

    /// `active`, or how it ended.
    #[must_use]
    pub fn status(&self) -> &'static str {
        self.ended.as_ref().map_or("active", |ended| ended.how.as_str())
    }

    /// As messages name it: `person "Kim Lee"`, or with its identifier where it has no name. What people gave is made
    /// visible.
    #[must_use]
    pub fn label(&self) -> String {
        let reference = self.entity_ref();
        match self.facts.name() {
            Some(name) => format!("{} \"{}\"", reference.kind, visible(name.as_str())),
            None => reference.to_string(),
        }
    }

    /// Under what it can be found, and whether it holds that name, so that no other may take it. What has ended gives its
    /// names up, but a public key is never taken again.
    pub(crate) fn names(&self) -> impl Iterator<Item = (NameKey, bool)> {
        let active = self.is_active();
        self.facts.names().into_iter().map(move |(key, unique)| {
            let held = unique && (active || key.index == Index::PublicKey);
            (key, held)
        })
    }
}

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
