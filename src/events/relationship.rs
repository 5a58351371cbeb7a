//! Facts about a relationship between two parties: the aggregate `relationship`.

use serde::{Deserialize, Serialize};

use super::common::{Party, RelationshipKind, Set, Validity};
use crate::ids::RelationshipId;
use crate::text::{Note, Permission};

/// Two parties stand in a relationship from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationshipEstablished {
    /// The relationship.
    pub relationship_id: RelationshipId,
    /// What relates them.
    pub kind: RelationshipKind,
    /// Who stands in it: who delegates, reports, trusts.
    pub subject: Party,
    /// To whom: the delegate, the superior, the trusted.
    pub object: Party,
    /// What a delegation covers; empty for other kinds.
    pub permissions: Set<Permission>,
    /// When it counts.
    pub validity: Validity,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// A relationship ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationshipEnded {
    /// The relationship.
    pub relationship_id: RelationshipId,
    /// Why.
    pub reason: Note,
}
