//! What a domain of its own adds to the planner.

use std::collections::HashMap;

use uuid::Uuid;

use super::fields::Fields;
use super::path::{EntryPath, NatsPath};
use super::plan::PlanError;
use crate::ledger::{Entity, Kind, View};

/// A domain whose entries have claims, and not only facts: how they are recorded is the domain's own knowledge. The words of
/// its part of the file stand in [`manifest`](super::manifest), and how its steps are taken is the domain's too.
pub trait Section {
    /// Whether entries of a kind are this domain's.
    fn owns(&self, kind: Kind) -> bool;

    /// The attributes of an entity, as the entry that stands for it would give them. `paths` names entries by their
    /// identifiers, and `entry` is what the file says, for what a file may leave open.
    ///
    /// # Errors
    /// When the ledger can't be read, or what is recorded does not parse.
    fn recorded(
        &self,
        view: &dyn View,
        entity: &Entity,
        paths: &HashMap<Uuid, EntryPath>,
        entry: &Fields,
    ) -> Result<Fields, PlanError>;
}

/// One step of a section.
#[derive(Debug, Clone)]
pub struct SectionStep {
    /// The entity.
    pub id: Uuid,
    /// Where its entry stands.
    pub path: NatsPath,
    /// Whether the entity is made; else it is changed.
    pub make: bool,
    /// What it is to be.
    pub fields: Fields,
}
