//! People: recorded, updated, deactivated, brought back.

use crate::events::{PersonCreated, PersonDeactivated, PersonReactivated, PersonUpdated};
use crate::ids::PersonId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, Kind, View};
use crate::text::{EmailAddress, Name, Note};

/// Somebody to be recorded.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// The name.
    pub name: Name,
    /// Where to reach the person.
    pub email: Option<EmailAddress>,
    /// The unit: its name or identifier.
    pub unit: Option<String>,
    /// The location: its name or identifier.
    pub location: Option<String>,
    /// What the person is called in the organisation.
    pub title: Option<Name>,
    /// The organisation, where there are several.
    pub organization: Option<String>,
}

/// What shall be different. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct PersonChanges {
    /// Another name.
    pub name: Option<Name>,
    /// Another address.
    pub email: Option<EmailAddress>,
    /// Another unit: its name or identifier.
    pub unit: Option<String>,
    /// Another location: its name or identifier.
    pub location: Option<String>,
    /// Another title.
    pub title: Option<Name>,
}

/// Records a person.
///
/// # Errors
/// When a unit, location or organisation that is named is not there.
pub fn add(view: &dyn View, new: NewPerson) -> Result<Command, LookupError> {
    Ok(Command::CreatePerson(PersonCreated {
        person_id: PersonId::mint(),
        organization_id: lookup::organization(view, new.organization.as_deref())?,
        unit_id: new.unit.as_deref().map(|unit| lookup::unit(view, unit)).transpose()?,
        location_id: new.location.as_deref().map(|location| lookup::location(view, location)).transpose()?,
        name: new.name,
        email: new.email,
        title: new.title,
    }))
}

/// Changes what is recorded of a person.
///
/// # Errors
/// When the person, or a unit or location that is named, is not there.
pub fn update(view: &dyn View, who: &str, changes: PersonChanges) -> Result<Command, LookupError> {
    let entity = lookup::entity(view, Kind::Person, who)?;
    let Facts::Person(now) = entity.facts else {
        return Err(LookupError::NotFound { kind: Kind::Person, text: who.to_owned(), near: None });
    };
    let unit = changes.unit.as_deref().map(|unit| lookup::unit(view, unit)).transpose()?;
    let location = changes.location.as_deref().map(|location| lookup::location(view, location)).transpose()?;
    Ok(Command::UpdatePerson(PersonUpdated {
        person_id: now.person_id,
        organization_id: now.organization_id,
        unit_id: unit.or(now.unit_id),
        location_id: location.or(now.location_id),
        name: changes.name.unwrap_or(now.name),
        email: changes.email.or(now.email),
        title: changes.title.or(now.title),
    }))
}

/// Deactivates a person: their roles end, and nothing that they do counts from here on.
///
/// # Errors
/// When the person is not there.
pub fn deactivate(view: &dyn View, who: &str, reason: Note) -> Result<Command, LookupError> {
    let person_id = lookup::person(view, who)?;
    Ok(Command::DeactivatePerson(PersonDeactivated { person_id, reason }))
}

/// Brings a person back, without the roles of before.
///
/// # Errors
/// When the person is not there.
pub fn reactivate(view: &dyn View, who: &str, reason: Note) -> Result<Command, LookupError> {
    let person_id = lookup::person(view, who)?;
    Ok(Command::ReactivatePerson(PersonReactivated { person_id, reason }))
}
