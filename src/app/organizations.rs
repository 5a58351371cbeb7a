//! Organisations: made and changed.

use crate::events::{OrganizationCreated, OrganizationUpdated};
use crate::ids::OrganizationId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{DnsName, Name, Note};

/// Makes an organisation.
#[must_use]
pub fn add(name: Name, domain: Option<DnsName>, description: Option<Note>) -> Command {
    let organization_id = OrganizationId::mint();
    Command::CreateOrganization(OrganizationCreated { organization_id, name, domain, description })
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct OrganizationChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another DNS domain.
    pub domain: Option<DnsName>,
    /// Another description.
    pub description: Option<Note>,
}

/// Changes what is recorded of an organisation.
///
/// # Errors
/// When it is not there.
pub fn update(view: &dyn View, which: &str, changes: OrganizationChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Organization, which)?;
    let Facts::Organization(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Organization, text: which.to_owned(), near: None });
    };
    Ok(Command::UpdateOrganization(OrganizationUpdated {
        organization_id: now.organization_id,
        name: changes.name.unwrap_or(now.name),
        domain: changes.domain.or(now.domain),
        description: changes.description.or(now.description),
    }))
}
