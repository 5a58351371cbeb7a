//! Facts about an organisation: the aggregate `organization`.

use serde::{Deserialize, Serialize};

use crate::ids::OrganizationId;
use crate::text::{DnsName, Name, Note};

/// An organisation came into being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationCreated {
    /// The organisation.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The DNS domain that is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DnsName>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}

/// An organisation's attributes were replaced, all of them, by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationUpdated {
    /// The organisation.
    pub organization_id: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The DNS domain that is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DnsName>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
}
