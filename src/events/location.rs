//! Facts about a location: the aggregate `location`.

use serde::{Deserialize, Serialize};

use super::common::LocationKind;
use crate::ids::{LocationId, OrganizationId};
use crate::text::{Name, Note};

/// A location was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationCreated {
    /// The location.
    pub location_id: LocationId,
    /// The organisation that uses it.
    pub organization_id: OrganizationId,
    /// The location that this one is inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<LocationId>,
    /// Its name.
    pub name: Name,
    /// What kind of place it is.
    pub kind: LocationKind,
    /// Its postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Note>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A location's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationUpdated {
    /// The location.
    pub location_id: LocationId,
    /// The organisation that uses it.
    pub organization_id: OrganizationId,
    /// The location that this one is inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<LocationId>,
    /// Its name.
    pub name: Name,
    /// What kind of place it is.
    pub kind: LocationKind,
    /// Its postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Note>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// A location is no longer used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationClosed {
    /// The location.
    pub location_id: LocationId,
    /// Why.
    pub reason: Note,
}
