//! Facts about a unit of an organisation: the aggregate `organizational_unit`.

use serde::{Deserialize, Serialize};

use crate::ids::{OrganizationId, UnitId};
use crate::text::{Name, Note};

/// A unit came into being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationalUnitCreated {
    /// The unit.
    pub unit_id: UnitId,
    /// The organisation that it is part of.
    pub organization_id: OrganizationId,
    /// The unit above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<UnitId>,
    /// Its name.
    pub name: Name,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A unit's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationalUnitUpdated {
    /// The unit.
    pub unit_id: UnitId,
    /// The organisation that it is part of.
    pub organization_id: OrganizationId,
    /// The unit above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<UnitId>,
    /// Its name.
    pub name: Name,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A unit ceased to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationalUnitDissolved {
    /// The unit.
    pub unit_id: UnitId,
    /// Why.
    pub reason: Note,
}
