//! Relationships between two parties: established and ended.

use crate::events::{RelationshipEnded, RelationshipEstablished, RelationshipKind, Validity};
use crate::ids::RelationshipId;
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Kind, View};
use crate::text::{Note, Permission};

/// A relationship to be established.
#[derive(Debug, Clone)]
pub struct NewRelationship {
    /// What relates the two.
    pub kind: RelationshipKind,
    /// Who stands in it, as [`lookup::party`] takes it.
    pub subject: String,
    /// To whom, as [`lookup::party`] takes it.
    pub object: String,
    /// What a delegation covers.
    pub permissions: Vec<Permission>,
    /// When it counts.
    pub validity: Validity,
    /// What else there is to say.
    pub note: Option<Note>,
}

/// Relates two parties.
///
/// # Errors
/// When one of them is not there.
pub fn add(view: &dyn View, new: NewRelationship) -> Result<Command, LookupError> {
    Ok(Command::EstablishRelationship(RelationshipEstablished {
        relationship_id: RelationshipId::mint(),
        kind: new.kind,
        subject: lookup::party(view, &new.subject)?,
        object: lookup::party(view, &new.object)?,
        permissions: new.permissions.into_iter().collect(),
        validity: new.validity,
        note: new.note,
    }))
}

/// Ends a relationship.
///
/// # Errors
/// When it is not there.
pub fn end(view: &dyn View, which: &str, reason: Note) -> Result<Command, LookupError> {
    let relationship_id = RelationshipId::from_uuid(lookup::entity(view, Kind::Relationship, which)?.entity_ref().id);
    Ok(Command::EndRelationship(RelationshipEnded { relationship_id, reason }))
}
