//! From the steps of a plan to the commands that the ledger decides on.

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::fields::Fields;
use super::manifest::Key;
use super::nats;
use super::plan::PlanError;
use super::section::SectionStep;
use crate::events::{
    LocationClosed, OrganizationalUnitDissolved, Party, PersonDeactivated, PersonReactivated, PolicyWithdrawn,
    RelationshipEnded, RevocationReason, RoleRetired,
};
use crate::ids::{KeyId, LocationId, PersonId, PolicyId, RelationshipId, RoleAssignmentId, RoleId, UnitId};
use crate::ledger::{Command, Kind};
use crate::text::Note;

/// What one step does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Create {
        kind: Kind,
        id: Uuid,
        fields: Fields,
    },
    Update {
        kind: Kind,
        id: Uuid,
        fields: Fields,
    },
    /// What has no update ends, and its like begins.
    Replace {
        kind: Kind,
        id: Uuid,
        successor: Uuid,
        fields: Fields,
    },
    End {
        kind: Kind,
        id: Uuid,
        reason: Note,
    },
    Reactivate {
        id: Uuid,
        reason: Note,
    },
    /// A step of a section.
    Section(SectionStep),
    MakeKey {
        key_id: KeyId,
        key: Box<Key>,
        owner: Party,
        location_id: Option<LocationId>,
    },
}

impl Act {
    /// The place in the order in which steps are taken: what connects things ends before them, and begins after them.
    pub(crate) fn rank(&self) -> u8 {
        let made = |kind: &Kind| match kind {
            Kind::Organization => 10,
            Kind::Location => 11,
            Kind::Unit => 12,
            Kind::Role => 13,
            Kind::Person => 14,
            Kind::Assignment => 15,
            Kind::Policy => 16,
            Kind::Relationship => 17,
            _ => 18,
        };
        match self {
            Self::End { kind, .. } if nats::is_ours(*kind) => 0,
            Self::Section(step) => match step.path.kind() {
                Kind::Operator => 19,
                Kind::Account => 20,
                Kind::SigningKey => 21,
                _ => 22,
            },
            Self::End { kind: Kind::Key | Kind::Relationship | Kind::Policy | Kind::Assignment, .. } => 0,
            Self::End { kind: Kind::Person, .. } => 1,
            Self::End { kind: Kind::Role, .. } => 2,
            Self::End { kind: Kind::Unit, .. } => 30,
            Self::End { .. } => 31,
            Self::Create { kind, .. } | Self::Update { kind, .. } | Self::Replace { kind, .. } => made(kind),
            Self::Reactivate { .. } => 14,
            Self::MakeKey { .. } => 18,
        }
    }

    /// The identifier of what is there afterwards.
    pub(crate) fn new_id(&self) -> Uuid {
        match self {
            Self::Create { id, .. } | Self::Update { id, .. } | Self::End { id, .. } | Self::Reactivate { id, .. } => {
                *id
            }
            Self::Section(step) => step.id,
            Self::Replace { successor, .. } => *successor,
            Self::MakeKey { key_id, .. } => *key_id.as_uuid(),
        }
    }

    /// The commands; none for a key, which has to be made first, and for the step of a section.
    pub(crate) fn commands(&self) -> Result<Vec<Command>, PlanError> {
        Ok(match self {
            Self::Create { kind, id, fields } => vec![create(*kind, *id, fields)?],
            Self::Update { kind, id, fields } => vec![update(*kind, *id, fields)?],
            Self::Replace { kind, id, successor, fields } => {
                let reason = Note::new("replaced by apply").map_err(|error| PlanError::Damaged(error.to_string()))?;
                let ends = end(*kind, *id, &reason);
                ends.into_iter().chain([create(*kind, *successor, fields)?]).collect()
            }
            Self::End { kind, id, reason } => end(*kind, *id, reason).into_iter().collect(),
            Self::Reactivate { id, reason } => {
                let person_id = PersonId::from_uuid(*id);
                vec![Command::ReactivatePerson(PersonReactivated { person_id, reason: reason.clone() })]
            }
            Self::MakeKey { .. } | Self::Section(_) => Vec::new(),
        })
    }
}

/// The event of some attributes and an identifier.
fn event<T: DeserializeOwned>(id_field: &str, id: Uuid, fields: &Fields) -> Result<T, PlanError> {
    let mut fields = fields.clone();
    fields.insert(id_field.to_owned(), Value::String(id.as_hyphenated().to_string()));
    serde_json::from_value(Value::Object(fields)).map_err(|error| PlanError::Damaged(error.to_string()))
}

fn create(kind: Kind, id: Uuid, fields: &Fields) -> Result<Command, PlanError> {
    Ok(match kind {
        Kind::Organization => Command::CreateOrganization(event("organization_id", id, fields)?),
        Kind::Location => Command::CreateLocation(event("location_id", id, fields)?),
        Kind::Unit => Command::CreateUnit(event("unit_id", id, fields)?),
        Kind::Person => Command::CreatePerson(event("person_id", id, fields)?),
        Kind::Role => Command::CreateRole(event("role_id", id, fields)?),
        Kind::Assignment => Command::AssignRole(event("assignment_id", id, fields)?),
        Kind::Policy => Command::CreatePolicy(event("policy_id", id, fields)?),
        Kind::Relationship => Command::EstablishRelationship(event("relationship_id", id, fields)?),
        other => return Err(PlanError::Damaged(format!("an apply makes no {other}"))),
    })
}

fn update(kind: Kind, id: Uuid, fields: &Fields) -> Result<Command, PlanError> {
    Ok(match kind {
        Kind::Organization => Command::UpdateOrganization(event("organization_id", id, fields)?),
        Kind::Location => Command::UpdateLocation(event("location_id", id, fields)?),
        Kind::Unit => Command::UpdateUnit(event("unit_id", id, fields)?),
        Kind::Person => Command::UpdatePerson(event("person_id", id, fields)?),
        Kind::Role => Command::UpdateRole(event("role_id", id, fields)?),
        Kind::Policy => Command::UpdatePolicy(event("policy_id", id, fields)?),
        other => return Err(PlanError::Damaged(format!("an apply changes no {other}"))),
    })
}

fn end(kind: Kind, id: Uuid, reason: &Note) -> Option<Command> {
    let reason = reason.clone();
    Some(match kind {
        Kind::Location => Command::CloseLocation(LocationClosed { location_id: LocationId::from_uuid(id), reason }),
        Kind::Unit => Command::DissolveUnit(OrganizationalUnitDissolved { unit_id: UnitId::from_uuid(id), reason }),
        Kind::Person => Command::DeactivatePerson(PersonDeactivated { person_id: PersonId::from_uuid(id), reason }),
        Kind::Role => Command::RetireRole(RoleRetired { role_id: RoleId::from_uuid(id), reason }),
        Kind::Assignment => Command::WithdrawRole { assignment_id: RoleAssignmentId::from_uuid(id), reason },
        Kind::Policy => Command::WithdrawPolicy(PolicyWithdrawn { policy_id: PolicyId::from_uuid(id), reason }),
        Kind::Relationship => {
            let relationship_id = RelationshipId::from_uuid(id);
            Command::EndRelationship(RelationshipEnded { relationship_id, reason })
        }
        Kind::Key => Command::RevokeKey {
            key_id: KeyId::from_uuid(id),
            reason: RevocationReason::CessationOfOperation,
            note: Some(reason),
            invalid_since: None,
        },
        _ => return None,
    })
}
