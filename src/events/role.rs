//! Facts about a role, or its assignment to a person: the aggregate `role`.

use serde::{Deserialize, Serialize};

use super::common::{Party, Set, Validity};
use crate::ids::{OrganizationId, PersonId, RoleAssignmentId, RoleId};
use crate::text::{Name, Note, Permission};

/// A role was defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleCreated {
    /// The role.
    pub role_id: RoleId,
    /// The organisation that defines it.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// What its holder does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// What its holder may do.
    pub permissions: Set<Permission>,
    /// Roles that nobody may hold together with this one.
    pub excludes: Set<RoleId>,
}

/// A role's definition was replaced by this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleUpdated {
    /// The role.
    pub role_id: RoleId,
    /// The organisation that defines it.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// What its holder does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// What its holder may do.
    pub permissions: Set<Permission>,
    /// Roles that nobody may hold together with this one.
    pub excludes: Set<RoleId>,
}

/// A role can no longer be assigned, and its assignments end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRetired {
    /// The role.
    pub role_id: RoleId,
    /// Why.
    pub reason: Note,
}

/// A person was given a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssigned {
    /// The assignment.
    pub assignment_id: RoleAssignmentId,
    /// The role.
    pub role_id: RoleId,
    /// The person.
    pub person_id: PersonId,
    /// Where the role counts; everywhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Party>,
    /// When the role counts.
    pub validity: Validity,
}

/// A person lost a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleWithdrawn {
    /// The assignment that ended.
    pub assignment_id: RoleAssignmentId,
    /// The role.
    pub role_id: RoleId,
    /// The person.
    pub person_id: PersonId,
    /// Why.
    pub reason: Note,
}
