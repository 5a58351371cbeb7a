//! Roles: defined, changed, retired, given to people and taken away.

use crate::events::{RoleAssigned, RoleCreated, RoleRetired, RoleUpdated, Validity};
use crate::ids::{RoleAssignmentId, RoleId};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{Name, Note, Permission};

/// A role to be defined.
#[derive(Debug, Clone)]
pub struct NewRole {
    /// Its name.
    pub name: Name,
    /// What its holder does.
    pub description: Option<Note>,
    /// What its holder may do.
    pub permissions: Vec<Permission>,
    /// Roles that nobody may hold together with it: their names or identifiers.
    pub excludes: Vec<String>,
    /// The organisation, where there are several.
    pub organization: Option<String>,
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct RoleChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another description.
    pub description: Option<Note>,
    /// Other permissions, all of them.
    pub permissions: Option<Vec<Permission>>,
    /// Other roles that it excludes, all of them: their names or identifiers.
    pub excludes: Option<Vec<String>>,
}

/// Defines a role.
///
/// # Errors
/// When a role that it excludes, or the organisation, is not there.
pub fn add(view: &dyn View, new: NewRole) -> Result<Command, LookupError> {
    let excludes = new.excludes.iter().map(|role| lookup::role(view, role));
    Ok(Command::CreateRole(RoleCreated {
        role_id: RoleId::mint(),
        organization_id: lookup::organization(view, new.organization.as_deref())?,
        name: new.name,
        description: new.description,
        permissions: new.permissions.into_iter().collect(),
        excludes: excludes.collect::<Result<_, _>>()?,
    }))
}

/// Changes a role's definition.
///
/// # Errors
/// When it, or a role that it excludes, is not there.
pub fn update(view: &dyn View, which: &str, changes: RoleChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Role, which)?;
    let Facts::Role(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Role, text: which.to_owned(), near: None });
    };
    let excludes = match changes.excludes {
        Some(names) => names.iter().map(|role| lookup::role(view, role)).collect::<Result<_, _>>()?,
        None => now.excludes,
    };
    Ok(Command::UpdateRole(RoleUpdated {
        role_id: now.role_id,
        organization_id: now.organization_id,
        name: changes.name.unwrap_or(now.name),
        description: changes.description.or(now.description),
        permissions: changes.permissions.map_or(now.permissions, |all| all.into_iter().collect()),
        excludes,
    }))
}

/// Retires a role: its assignments end.
///
/// # Errors
/// When it is not there.
pub fn retire(view: &dyn View, which: &str, reason: Note) -> Result<Command, LookupError> {
    Ok(Command::RetireRole(RoleRetired { role_id: lookup::role(view, which)?, reason }))
}

/// Gives a person a role.
///
/// # Errors
/// When the role, the person or the scope is not there.
pub fn assign(
    view: &dyn View,
    role: &str,
    person: &str,
    scope: Option<&str>,
    validity: Validity,
) -> Result<Command, LookupError> {
    Ok(Command::AssignRole(RoleAssigned {
        assignment_id: RoleAssignmentId::mint(),
        role_id: lookup::role(view, role)?,
        person_id: lookup::person(view, person)?,
        scope: scope.map(|scope| lookup::party(view, scope)).transpose()?,
        validity,
    }))
}

/// Takes a role away from a person: every assignment of it, or the one in a scope.
///
/// # Errors
/// When the role, the person or the scope is not there, or the person does not hold the role.
pub fn withdraw(
    view: &dyn View,
    role: &str,
    person: &str,
    scope: Option<&str>,
    reason: Note,
) -> Result<Vec<Command>, LookupError> {
    let (role_id, person_id) = (lookup::role(view, role)?, lookup::person(view, person)?);
    let scope = scope.map(|scope| lookup::party(view, scope)).transpose()?;
    let mut commands = Vec::new();
    for entity in view.all_referring(person_id.into(), Kind::Assignment).active() {
        if let Facts::Assignment(held) = entity?.facts
            && held.role_id == role_id
            && held.person_id == person_id
            && (scope.is_none() || held.scope == scope)
        {
            commands.push(Command::WithdrawRole { assignment_id: held.assignment_id, reason: reason.clone() });
        }
    }
    if commands.is_empty() {
        return Err(LookupError::NotFound { kind: Kind::Assignment, text: format!("{role} of {person}"), near: None });
    }
    Ok(commands)
}
