//! What a plan is: the steps that bring a ledger to what a file declares, and what is left as it is.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::manifest::Manifest;
use super::path::{EntryPath, UnknownEntry};
use crate::advice::{self, Advice, ErrorKind, Explained};
use crate::ids::mint_uuid;
use crate::ledger::ViewError;
use crate::text::Name;

/// How a manifest is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Options {
    /// Whether entries that left the manifest end.
    pub prune: bool,
    /// Whether what has ended and stands in the manifest comes back.
    pub reinstate: bool,
}

/// What is to be applied, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be so.
    pub manifest: Manifest,
    /// The name under which it is remembered: the file's.
    pub name: Name,
    /// How it is applied.
    pub options: Options,
}

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It is recorded.
    Add,
    /// Attributes of it are replaced.
    Change,
    /// It ends.
    End,
    /// It comes back.
    Reinstate,
}

/// One attribute that changes, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The attribute.
    pub field: String,
    /// What is recorded; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it will be; absent where nothing will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One thing to be done, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// Where it stands in the manifest: `people.ada`.
    pub entry: String,
    /// What people call it.
    pub name: String,
    /// The attributes that change; empty where the whole entry does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Why it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that is left as it is although the manifest says otherwise, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// Where it stands in the manifest.
    pub entry: String,
    /// What people call it.
    pub name: String,
    /// What is the case, in one line.
    pub text: String,
}

/// What has to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What will be recorded, in this order.
    pub steps: Vec<Step>,
    /// What left the manifest and would end with [`Options::prune`].
    pub proposed: Vec<Remark>,
    /// What has ended and would come back with [`Options::reinstate`].
    pub kept_out: Vec<Remark>,
    /// What was changed in the ledger since the manifest was applied last, and stays so.
    pub kept: Vec<Remark>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps there are of an action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }
}

/// Identifiers that were minted for entries: a plan that is made again, since the ledger moved, has the same.
#[derive(Debug, Clone, Default)]
pub struct Minted(HashMap<(EntryPath, Option<Uuid>), Uuid>);

impl Minted {
    /// The identifier of an entry, or of the entity that comes after one that ended.
    pub(super) fn id(&mut self, path: &EntryPath, after: Option<Uuid>) -> Uuid {
        *self.0.entry((path.clone(), after)).or_insert_with(mint_uuid)
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The manifest and the ledger changed the same attribute to different values, or what can't change would.
    #[error("{} of the file's entries can't be brought together with the ledger", .0.len())]
    Conflicts(Vec<Remark>),
    /// What was recorded of the last apply cannot be parsed.
    #[error("what was applied last can't be read: {0}")]
    Damaged(String),
    /// Something refers to an entry that is not there.
    #[error(transparent)]
    Unknown(#[from] UnknownEntry),
    /// The ledger could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Explained for PlanError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflicts(_) => ErrorKind::Refused,
            Self::Damaged(_) | Self::Unknown(_) | Self::View(_) => ErrorKind::Verification,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Damaged(_) => vec![Advice::Run(advice::Action::Verify, "checks the ledger")],
            Self::Conflicts(_) | Self::Unknown(_) | Self::View(_) => Vec::new(),
        }
    }
}
