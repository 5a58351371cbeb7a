//! Locations: recorded, changed, closed.

use crate::events::{LocationClosed, LocationCreated, LocationKind, LocationUpdated};
use crate::ids::LocationId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{Name, Note};

/// A location to be recorded.
#[derive(Debug, Clone)]
pub struct NewLocation {
    /// Its name.
    pub name: Name,
    /// What kind of place it is.
    pub kind: LocationKind,
    /// The location that it is inside: its name or identifier.
    pub within: Option<String>,
    /// Its postal address.
    pub address: Option<Note>,
    /// What is there.
    pub description: Option<Note>,
    /// The organisation, where there are several.
    pub organization: Option<String>,
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct LocationChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another kind of place.
    pub kind: Option<LocationKind>,
    /// Another location around it: its name or identifier.
    pub within: Option<String>,
    /// Another address.
    pub address: Option<Note>,
    /// Another description.
    pub description: Option<Note>,
}

/// Records a location.
///
/// # Errors
/// When the location around it, or the organisation, is not there.
pub fn add(view: &dyn View, new: NewLocation) -> Result<Command, LookupError> {
    Ok(Command::CreateLocation(LocationCreated {
        location_id: LocationId::mint(),
        organization_id: lookup::organization(view, new.organization.as_deref())?,
        parent_id: new.within.as_deref().map(|within| lookup::location(view, within)).transpose()?,
        name: new.name,
        kind: new.kind,
        address: new.address,
        description: new.description,
    }))
}

/// Changes what is recorded of a location.
///
/// # Errors
/// When it, or the location around it, is not there.
pub fn update(view: &dyn View, which: &str, changes: LocationChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Location, which)?;
    let Facts::Location(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Location, text: which.to_owned(), near: None });
    };
    let within = changes.within.as_deref().map(|within| lookup::location(view, within)).transpose()?;
    Ok(Command::UpdateLocation(LocationUpdated {
        location_id: now.location_id,
        organization_id: now.organization_id,
        parent_id: within.or(now.parent_id),
        name: changes.name.unwrap_or(now.name),
        kind: changes.kind.unwrap_or(now.kind),
        address: changes.address.or(now.address),
        description: changes.description.or(now.description),
    }))
}

/// Closes a location that nobody is at any more.
///
/// # Errors
/// When it is not there.
pub fn close(view: &dyn View, which: &str, reason: Note) -> Result<Command, LookupError> {
    Ok(Command::CloseLocation(LocationClosed { location_id: lookup::location(view, which)?, reason }))
}
