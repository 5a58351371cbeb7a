//! Facts about a policy document: the aggregate `policy`.

use serde::{Deserialize, Serialize};

use super::common::{PolicyFormat, Validity};
use crate::ids::{OrganizationId, PolicyId};
use crate::text::{Document, Name, Note};

/// A policy was laid down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCreated {
    /// The policy.
    pub policy_id: PolicyId,
    /// The organisation that it binds.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The language of the document.
    pub format: PolicyFormat,
    /// The policy itself.
    pub document: Document,
    /// When it counts.
    pub validity: Validity,
}

/// A policy was replaced by this version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUpdated {
    /// The policy.
    pub policy_id: PolicyId,
    /// The organisation that it binds.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The language of the document.
    pub format: PolicyFormat,
    /// The policy itself.
    pub document: Document,
    /// When it counts.
    pub validity: Validity,
}

/// A policy no longer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyWithdrawn {
    /// The policy.
    pub policy_id: PolicyId,
    /// Why.
    pub reason: Note,
}
