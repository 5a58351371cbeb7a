//! Looking entities up.

use cid::Cid;
use uuid::Uuid;

use super::entity::Entity;
use super::reference::{EntityRef, Kind, NameKey};

/// A lookup failed: the tables could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's entities can't be read: {0}")]
pub struct ViewError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl ViewError {
    /// Wraps what went wrong.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// What is recorded, as far as a decision needs it. Every method is a lookup that does not depend on how much there is.
pub trait View {
    /// The entity, ended or not.
    fn get(&self, entity: EntityRef) -> Result<Option<Entity>, ViewError>;

    /// The entities under a key, at most `limit`: first those that hold the name, then those that ended, the newest
    /// identifier first.
    fn find(&self, key: &NameKey, limit: usize) -> Result<Vec<Entity>, ViewError>;

    /// Up to `limit` entities of a kind, ended ones too, in order of their identifier, from the first above `after`.
    fn list(&self, kind: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError>;

    /// Up to `limit` entities of a kind that refer to one, ended ones too, in order of their identifier, from the first
    /// above `after`.
    fn referrers(&self, to: EntityRef, kind: Kind, after: Option<Uuid>, limit: usize)
    -> Result<Vec<Entity>, ViewError>;

    /// The entities that a recorded event concerns; for an event that is not known here, those that it marked.
    fn concerned_by(&self, event: &Cid) -> Result<Vec<EntityRef>, ViewError>;
}

/// What an event does to one entity.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly every change is a put
pub enum Change {
    /// It is this from now on.
    Put(Entity),
    /// It is no longer known.
    Remove(EntityRef),
}

impl Change {
    /// Which entity it changes.
    #[must_use]
    pub fn entity_ref(&self) -> EntityRef {
        match self {
            Self::Put(entity) => entity.entity_ref(),
            Self::Remove(reference) => *reference,
        }
    }
}

/// How many entities the walks below fetch at a time.
const PAGE: usize = 256;

/// All entities of a kind that refer to one, page by page, until `visit` answers with something.
pub(super) fn each_referrer<T>(
    view: &dyn View,
    to: EntityRef,
    kind: Kind,
    mut visit: impl FnMut(Entity) -> Result<Option<T>, ViewError>,
) -> Result<Option<T>, ViewError> {
    let mut after = None;
    loop {
        let page = view.referrers(to, kind, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(None) };
        after = Some(last.entity_ref().id);
        let full = page.len() == PAGE;
        for entity in page {
            if let Some(found) = visit(entity)? {
                return Ok(Some(found));
            }
        }
        if !full {
            return Ok(None);
        }
    }
}
