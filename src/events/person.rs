//! Facts about a person: the aggregate `person`.

use serde::{Deserialize, Serialize};

use crate::ids::{LocationId, OrganizationId, PersonId, UnitId};
use crate::text::{EmailAddress, Name, Note};

/// A person was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonCreated {
    /// The person.
    pub person_id: PersonId,
    /// The organisation that the person belongs to.
    pub organization_id: OrganizationId,
    /// The unit that the person works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_id: Option<UnitId>,
    /// Where the person works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The person's name.
    pub name: Name,
    /// Where to reach the person; unique among active people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// What the person is called in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Name>,
}

/// A person's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonUpdated {
    /// The person.
    pub person_id: PersonId,
    /// The organisation that the person belongs to.
    pub organization_id: OrganizationId,
    /// The unit that the person works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_id: Option<UnitId>,
    /// Where the person works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
    /// The person's name.
    pub name: Name,
    /// Where to reach the person; unique among active people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// What the person is called in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Name>,
}

/// A person left or was suspended: no role of theirs counts from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonDeactivated {
    /// The person.
    pub person_id: PersonId,
    /// Why.
    pub reason: Note,
}

/// A person who was deactivated came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonReactivated {
    /// The person.
    pub person_id: PersonId,
    /// Why.
    pub reason: Note,
}
