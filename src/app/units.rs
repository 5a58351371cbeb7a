//! Units of an organisation: made, changed, dissolved.

use crate::events::{OrganizationalUnitCreated, OrganizationalUnitDissolved, OrganizationalUnitUpdated};
use crate::ids::UnitId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{Name, Note};

/// A unit to be made.
#[derive(Debug, Clone)]
pub struct NewUnit {
    /// Its name.
    pub name: Name,
    /// The unit above it: its name or identifier.
    pub parent: Option<String>,
    /// What it does.
    pub description: Option<Note>,
    /// The organisation, where there are several.
    pub organization: Option<String>,
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UnitChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another unit above it: its name or identifier.
    pub parent: Option<String>,
    /// Another description.
    pub description: Option<Note>,
}

/// Makes a unit.
///
/// # Errors
/// When the parent or organisation that is named is not there.
pub fn add(view: &dyn View, new: NewUnit) -> Result<Command, LookupError> {
    Ok(Command::CreateUnit(OrganizationalUnitCreated {
        unit_id: UnitId::mint(),
        organization_id: lookup::organization(view, new.organization.as_deref())?,
        parent_id: new.parent.as_deref().map(|parent| lookup::unit(view, parent)).transpose()?,
        name: new.name,
        description: new.description,
    }))
}

/// Changes what is recorded of a unit.
///
/// # Errors
/// When it, or the parent that is named, is not there.
pub fn update(view: &dyn View, which: &str, changes: UnitChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Unit, which)?;
    let Facts::Unit(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Unit, text: which.to_owned(), near: None });
    };
    let parent = changes.parent.as_deref().map(|parent| lookup::unit(view, parent)).transpose()?;
    Ok(Command::UpdateUnit(OrganizationalUnitUpdated {
        unit_id: now.unit_id,
        organization_id: now.organization_id,
        parent_id: parent.or(now.parent_id),
        name: changes.name.unwrap_or(now.name),
        description: changes.description.or(now.description),
    }))
}

/// Dissolves a unit that nobody is in any more.
///
/// # Errors
/// When it is not there.
pub fn dissolve(view: &dyn View, which: &str, reason: Note) -> Result<Command, LookupError> {
    Ok(Command::DissolveUnit(OrganizationalUnitDissolved { unit_id: lookup::unit(view, which)?, reason }))
}
