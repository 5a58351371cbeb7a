//! The state in memory, and changes laid over another view.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use cid::Cid;
use uuid::Uuid;

use super::entity::Entity;
use super::evolve::{concerns, evolve};
use super::reference::{EntityRef, Kind, NameKey};
use super::view::{Change, View, ViewError};
use crate::events::{EventData, KeyEvent};

/// All entities, in memory.
#[derive(Debug, Clone, Default)]
pub struct State {
    entities: BTreeMap<EntityRef, Entity>,
    names: BTreeMap<NameKey, BTreeSet<(bool, EntityRef)>>,
    referrers: BTreeSet<(EntityRef, EntityRef)>,
    history: HashMap<Cid, Vec<EntityRef>>,
}

impl State {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies an event that follows all those that were applied before.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn fold(&mut self, event: &KeyEvent, cid: Cid) -> Result<(), ViewError> {
        let changes = evolve(&*self, event, cid)?;
        let concerned = match event.data {
            EventData::Unknown(_) => changes.iter().map(Change::entity_ref).collect(),
            _ => concerns(&event.data),
        };
        self.history.insert(cid, concerned);
        self.apply(changes);
        Ok(())
    }

    /// Applies changes, without remembering which event they came from.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let reference = change.entity_ref();
            if let Some(old) = self.entities.remove(&reference) {
                for (key, held) in old.names() {
                    if let Some(set) = self.names.get_mut(&key) {
                        set.remove(&(held, reference));
                        if set.is_empty() {
                            self.names.remove(&key);
                        }
                    }
                }
                for to in old.facts.refers_to() {
                    self.referrers.remove(&(to, reference));
                }
            }
            if let Change::Put(entity) = change {
                for (key, held) in entity.names() {
                    self.names.entry(key).or_default().insert((held, reference));
                }
                for to in entity.facts.refers_to() {
                    self.referrers.insert((to, reference));
                }
                self.entities.insert(reference, entity);
            }
        }
    }

    /// All entities, in order.
    pub fn entities(&self) -> impl Iterator<Item = (&EntityRef, &Entity)> {
        self.entities.iter()
    }

    /// How many entities there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }
}

impl View for State {
    fn get(&self, entity: EntityRef) -> Result<Option<Entity>, ViewError> {
        Ok(self.entities.get(&entity).cloned())
    }

    fn find(&self, key: &NameKey, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let found = self.names.get(key).into_iter().flat_map(|set| set.iter().rev());
        Ok(found.take(limit).filter_map(|(_, reference)| self.entities.get(reference).cloned()).collect())
    }

    fn list(&self, kind: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let from = after
            .map_or(Bound::Included(EntityRef::new(kind, Uuid::nil())), |id| Bound::Excluded(EntityRef::new(kind, id)));
        let to = Bound::Included(EntityRef::new(kind, Uuid::max()));
        Ok(self.entities.range((from, to)).take(limit).map(|(_, entity)| entity.clone()).collect())
    }

    fn referrers(
        &self,
        to: EntityRef,
        kind: Kind,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Entity>, ViewError> {
        let from = after.map_or(Bound::Included((to, EntityRef::new(kind, Uuid::nil()))), |id| {
            Bound::Excluded((to, EntityRef::new(kind, id)))
        });
        let end = Bound::Included((to, EntityRef::new(kind, Uuid::max())));
        let found = self.referrers.range((from, end)).take(limit);
        Ok(found.filter_map(|(_, reference)| self.entities.get(reference).cloned()).collect())
    }

    fn concerned_by(&self, event: &Cid) -> Result<Vec<EntityRef>, ViewError> {
        Ok(self.history.get(event).cloned().unwrap_or_default())
    }
}

/// A view with changes that are not recorded yet: what several commands in a row are decided on.
pub struct Overlay<'a> {
    base: &'a dyn View,
    over: State,
    removed: BTreeSet<EntityRef>,
}

impl<'a> Overlay<'a> {
    /// Without changes yet.
    #[must_use]
    pub fn new(base: &'a dyn View) -> Self {
        Self { base, over: State::new(), removed: BTreeSet::new() }
    }

    /// Applies an event as if it were recorded.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn fold(&mut self, event: &KeyEvent, cid: Cid) -> Result<(), ViewError> {
        let changes = evolve(&*self, event, cid)?;
        for change in &changes {
            match change {
                Change::Put(entity) => self.removed.remove(&entity.entity_ref()),
                Change::Remove(reference) => self.removed.insert(*reference),
            };
        }
        self.over.history.insert(cid, concerns(&event.data));
        self.over.apply(changes);
        Ok(())
    }

    /// Whether the base's word about an entity still counts.
    fn is_untouched(&self, entity: &EntityRef) -> bool {
        !self.removed.contains(entity) && !self.over.entities.contains_key(entity)
    }

    /// Up to `limit` of what `fetch` gives from the base, page by page, without what is overlaid.
    fn untouched(
        &self,
        after: Option<Uuid>,
        limit: usize,
        fetch: impl Fn(Option<Uuid>, usize) -> Result<Vec<Entity>, ViewError>,
    ) -> Result<Vec<Entity>, ViewError> {
        let (mut after, mut kept) = (after, Vec::new());
        loop {
            let page = fetch(after, limit)?;
            let full = page.len() == limit;
            after = page.last().map(|entity| entity.entity_ref().id);
            kept.extend(page.into_iter().filter(|entity| self.is_untouched(&entity.entity_ref())));
            if !full || limit == 0 || kept.len() >= limit {
                return Ok(kept);
            }
        }
    }
}

fn merge(mut ours: Vec<Entity>, theirs: Vec<Entity>, limit: usize) -> Vec<Entity> {
    ours.extend(theirs);
    ours.sort_by_key(|entity| entity.entity_ref().id);
    ours.truncate(limit);
    ours
}

impl View for Overlay<'_> {
    fn get(&self, entity: EntityRef) -> Result<Option<Entity>, ViewError> {
        if self.is_untouched(&entity) { self.base.get(entity) } else { self.over.get(entity) }
    }

    fn find(&self, key: &NameKey, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let mut found = self.over.find(key, limit)?;
        // What is overlaid may hide as many of the base's answers as there are of it.
        let hidden = self.over.len() + self.removed.len();
        let theirs = self.base.find(key, limit.saturating_add(hidden))?;
        found.extend(theirs.into_iter().filter(|entity| self.is_untouched(&entity.entity_ref())));
        let held = |entity: &Entity| entity.names().any(|(name, held)| held && name == *key);
        found.sort_by_key(|entity| std::cmp::Reverse((held(entity), entity.entity_ref().id)));
        found.truncate(limit);
        Ok(found)
    }

    fn list(&self, kind: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let theirs = self.untouched(after, limit, |after, limit| self.base.list(kind, after, limit))?;
        Ok(merge(self.over.list(kind, after, limit)?, theirs, limit))
    }

    fn referrers(
        &self,
        to: EntityRef,
        kind: Kind,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Entity>, ViewError> {
        let theirs = self.untouched(after, limit, |after, limit| self.base.referrers(to, kind, after, limit))?;
        Ok(merge(self.over.referrers(to, kind, after, limit)?, theirs, limit))
    }

    fn concerned_by(&self, event: &Cid) -> Result<Vec<EntityRef>, ViewError> {
        match self.over.history.get(event) {
            Some(entities) => Ok(entities.clone()),
            None => self.base.concerned_by(event),
        }
    }
}
