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

/// How many entities the iterators below fetch at a time.
const PAGE: usize = 256;

impl<'v> dyn View + 'v {
    /// All entities of a kind, ended ones too, in the order of their identifiers.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Entities<'_> {
        Entities::new(move |after| self.list(kind, after, PAGE))
    }

    /// All entities of a kind that refer to one, ended ones too, in the order of their identifiers.
    #[must_use]
    pub fn all_referring(&self, to: EntityRef, kind: Kind) -> Entities<'_> {
        Entities::new(move |after| self.referrers(to, kind, after, PAGE))
    }
}

/// The entities above an identifier, a page of them.
type Fetch<'v> = dyn Fn(Option<Uuid>) -> Result<Vec<Entity>, ViewError> + 'v;

/// Entities, fetched page by page. After an error it ends.
pub struct Entities<'v> {
    fetch: Box<Fetch<'v>>,
    page: std::vec::IntoIter<Entity>,
    after: Option<Uuid>,
    is_last: bool,
}

impl<'v> Entities<'v> {
    fn new(fetch: impl Fn(Option<Uuid>) -> Result<Vec<Entity>, ViewError> + 'v) -> Self {
        Self { fetch: Box::new(fetch), page: Vec::new().into_iter(), after: None, is_last: false }
    }
}

impl<'v> Entities<'v> {
    /// Those that have not ended.
    pub fn active(self) -> impl Iterator<Item = Result<Entity, ViewError>> + 'v {
        self.filter(|entity| entity.as_ref().map_or(true, Entity::is_active))
    }
}

impl Iterator for Entities<'_> {
    type Item = Result<Entity, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entity) = self.page.next() {
            return Some(Ok(entity));
        }
        if self.is_last {
            return None;
        }
        match (self.fetch)(self.after) {
            Ok(page) => {
                self.is_last = page.len() < PAGE;
                self.after = page.last().map(|last| last.entity_ref().id);
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.is_last = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ledger::Facts;
    use crate::ledger::facts::LedgerFacts;

    /// So many ledgers, which can be listed up to one of them.
    struct Many(u128, u128);

    fn entity(number: u128) -> Entity {
        let facts = LedgerFacts {
            ledger_id: crate::ids::LedgerId::from_uuid(Uuid::from_u128(number)),
            name: crate::text::Name::new("Acme").unwrap(),
            public_key: crate::text::PublicKey::new("MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
                .unwrap(),
            relation: None,
        };
        let at = crate::time::Timestamp::from_unix_micros(0).unwrap();
        Entity {
            facts: Facts::Ledger(facts),
            ended: None,
            created_at: at,
            changed_at: at,
            last: Cid::default(),
            unknown: None,
        }
    }

    impl View for Many {
        fn get(&self, _: EntityRef) -> Result<Option<Entity>, ViewError> {
            Ok(None)
        }

        fn find(&self, _: &NameKey, _: usize) -> Result<Vec<Entity>, ViewError> {
            Ok(Vec::new())
        }

        fn list(&self, _: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError> {
            let first = after.map_or(1, |after| after.as_u128() + 1);
            if first > self.1 {
                return Err(ViewError("torn".into()));
            }
            Ok((first..=self.0).take(limit).map(entity).collect())
        }

        fn referrers(
            &self,
            _: EntityRef,
            kind: Kind,
            after: Option<Uuid>,
            limit: usize,
        ) -> Result<Vec<Entity>, ViewError> {
            self.list(kind, after, limit)
        }

        fn concerned_by(&self, _: &Cid) -> Result<Vec<EntityRef>, ViewError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn all_entities_come_once_and_in_order_however_many_pages_they_fill() {
        for count in [0, 1, 255, 256, 257, 512, 1_000] {
            let view: &dyn View = &Many(count, u128::MAX);
            let found: Vec<u128> = view.all(Kind::Ledger).map(|it| it.unwrap().entity_ref().id.as_u128()).collect();
            assert_eq!(found, (1..=count).collect::<Vec<_>>());
            let to = EntityRef::new(Kind::Ledger, Uuid::nil());
            assert_eq!(view.all_referring(to, Kind::Ledger).count() as u128, count);
        }
    }

    #[test]
    fn what_can_not_be_read_is_an_error_and_the_end() {
        let view: &dyn View = &Many(1_000, 300);
        let found: Vec<_> = view.all(Kind::Ledger).collect();
        assert_eq!(found.iter().filter(|it| it.is_ok()).count(), 512);
        assert!(found.last().unwrap().is_err());
        assert_eq!(found.len(), 513);
    }
}
