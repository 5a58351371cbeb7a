//! Policies: documents that are laid down, replaced and withdrawn.

use crate::events::{PolicyCreated, PolicyFormat, PolicyUpdated, PolicyWithdrawn, Validity};
use crate::ids::PolicyId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{Document, Name, Note};

/// A policy to be laid down.
#[derive(Debug, Clone)]
pub struct NewPolicy {
    /// Its name.
    pub name: Name,
    /// The language of the document.
    pub format: PolicyFormat,
    /// The policy itself.
    pub document: Document,
    /// When it counts.
    pub validity: Validity,
    /// The organisation, where there are several.
    pub organization: Option<String>,
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct PolicyChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another language.
    pub format: Option<PolicyFormat>,
    /// Another document.
    pub document: Option<Document>,
    /// Another time.
    pub validity: Option<Validity>,
}

/// Lays a policy down.
///
/// # Errors
/// When the organisation is not there.
pub fn add(view: &dyn View, new: NewPolicy) -> Result<Command, LookupError> {
    Ok(Command::CreatePolicy(PolicyCreated {
        policy_id: PolicyId::mint(),
        organization_id: lookup::organization(view, new.organization.as_deref())?,
        name: new.name,
        format: new.format,
        document: new.document,
        validity: new.validity,
    }))
}

/// Replaces a policy by another version.
///
/// # Errors
/// When it is not there.
pub fn update(view: &dyn View, which: &str, changes: PolicyChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Policy, which)?;
    let Facts::Policy(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Policy, text: which.to_owned(), near: None });
    };
    Ok(Command::UpdatePolicy(PolicyUpdated {
        policy_id: now.policy_id,
        organization_id: now.organization_id,
        name: changes.name.unwrap_or(now.name),
        format: changes.format.unwrap_or(now.format),
        document: changes.document.unwrap_or(now.document),
        validity: changes.validity.unwrap_or(now.validity),
    }))
}

/// Withdraws a policy.
///
/// # Errors
/// When it is not there.
pub fn withdraw(view: &dyn View, which: &str, reason: Note) -> Result<Command, LookupError> {
    let policy_id = PolicyId::from_uuid(lookup::entity(view, Kind::Policy, which)?.entity_ref().id);
    Ok(Command::WithdrawPolicy(PolicyWithdrawn { policy_id, reason }))
}
