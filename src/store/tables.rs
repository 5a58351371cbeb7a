//! The entities in tables: the same lookups and changes as in memory.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use cid::Cid;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::events::{EventData, KeyEvent};
use crate::ipld_support::decode_block;
use crate::ledger::{Change, Entity, EntityRef, Kind, NameKey, View, ViewError, concerns, evolve};

/// The entities behind a connection, within whatever transaction it is in.
pub(super) struct Tables<'a> {
    connection: &'a Connection,
    /// Where the log is: the same, but in a replay.
    log: &'a Connection,
    /// What was read and written within one transaction, where it is all in one.
    cache: Option<&'a Cache>,
}

/// Entities as they are in the tables at this moment of a transaction, those that are not there too. An append looks the
/// same ones up again and again: whether an identifier is free, and the organisation that everything belongs to.
#[derive(Default)]
pub(super) struct Cache {
    /// Boxed: most of what is looked up is not there, and a table that grows moves all that it holds.
    entities: RefCell<HashMap<EntityRef, Option<Box<Entity>>>>,
    /// The highest identifier of each kind: identifiers are minted in order, so that one above it is new without a look.
    highest: RefCell<HashMap<Kind, Uuid>>,
}

impl Cache {
    /// The most that is held.
    const MOST: usize = 4_096;

    /// Forgets everything: after a rollback the tables are others.
    pub(super) fn clear(&self) {
        self.entities.borrow_mut().clear();
        self.highest.borrow_mut().clear();
    }

    fn get(&self, reference: EntityRef) -> Option<Option<Entity>> {
        self.entities.borrow().get(&reference).map(|known| known.as_deref().cloned())
    }

    fn set(&self, reference: EntityRef, entity: Option<Entity>) {
        let mut entities = self.entities.borrow_mut();
        if entities.len() >= Self::MOST {
            entities.clear();
        }
        entities.insert(reference, entity.map(Box::new));
    }

    /// Whether an identifier is above all others of its kind, which `read` finds where that is not known yet.
    fn is_above(&self, reference: EntityRef, read: impl FnOnce() -> rusqlite::Result<Uuid>) -> rusqlite::Result<bool> {
        let mut highest = self.highest.borrow_mut();
        if let Some(&highest) = highest.get(&reference.kind) {
            return Ok(reference.id > highest);
        }
        let found = read()?;
        highest.insert(reference.kind, found);
        Ok(reference.id > found)
    }

    /// An identifier is about to be in the tables.
    fn raise(&self, reference: EntityRef) {
        if let Some(highest) = self.highest.borrow_mut().get_mut(&reference.kind) {
            *highest = reference.id.max(*highest);
        }
    }
}

impl<'a> Tables<'a> {
    /// The entities of a ledger.
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self { connection, log: connection, cache: None }
    }

    /// The entities of a ledger, within one transaction.
    pub(super) const fn cached(connection: &'a Connection, cache: &'a Cache) -> Self {
        Self { connection, log: connection, cache: Some(cache) }
    }

    /// Entities that are made anew from the log of a ledger.
    pub(super) const fn replay(connection: &'a Connection, log: &'a Connection, cache: &'a Cache) -> Self {
        Self { connection, log, cache: Some(cache) }
    }

    /// Applies an event that stands at a position.
    pub(super) fn fold(&self, event: &KeyEvent, position: u64, cid: Cid) -> Result<(), TableError> {
        let changes = evolve(self, event, cid).map_err(TableError::View)?;
        self.apply(&changes)?;
        match event.data {
            EventData::Unknown(_) => self.remember_marks(position, &changes),
            _ => Ok(()),
        }
    }

    /// Applies what an event changed.
    fn apply(&self, changes: &[Change]) -> Result<(), TableError> {
        for change in changes {
            let reference = change.entity_ref();
            let before = self.read(reference)?;
            let after = match change {
                Change::Put(entity) => Some(entity),
                Change::Remove(_) => None,
            };
            if let Some(cache) = self.cache {
                cache.set(reference, after.cloned());
                cache.raise(reference);
            }
            self.rename(reference, before.as_ref(), after)?;
            self.refer(reference, before.as_ref(), after)?;
            match after {
                Some(entity) => {
                    let body = serde_json::to_string(entity).map_err(TableError::Json)?;
                    self.connection
                        .prepare_cached("INSERT OR REPLACE INTO entity (kind, id, body) VALUES (?1, ?2, ?3)")?
                        .execute((reference.kind.as_str(), reference.id.as_bytes(), body))?;
                }
                None => {
                    self.connection
                        .prepare_cached("DELETE FROM entity WHERE kind = ?1 AND id = ?2")?
                        .execute((reference.kind.as_str(), reference.id.as_bytes()))?;
                }
            }
        }
        Ok(())
    }

    /// Remembers which entities an event that is not known here marked.
    fn remember_marks(&self, position: u64, changes: &[Change]) -> Result<(), TableError> {
        for change in changes {
            let reference = change.entity_ref();
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO mark (position, kind, id) VALUES (?1, ?2, ?3)")?
                .execute((position, reference.kind.as_str(), reference.id.as_bytes()))?;
        }
        Ok(())
    }

    /// Forgets all entities.
    pub(super) fn clear(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("DELETE FROM entity; DELETE FROM name; DELETE FROM reference; DELETE FROM mark;")
    }

    fn read(&self, reference: EntityRef) -> Result<Option<Entity>, TableError> {
        let Some(cache) = self.cache else { return self.read_row(reference) };
        if let Some(known) = cache.get(reference) {
            return Ok(known);
        }
        let entity = match cache.is_above(reference, || self.highest(reference.kind))? {
            true => None,
            false => self.read_row(reference)?,
        };
        cache.set(reference, entity.clone());
        Ok(entity)
    }

    /// The highest identifier of a kind; nil where there is none.
    fn highest(&self, kind: Kind) -> rusqlite::Result<Uuid> {
        let mut statement = self.connection.prepare_cached("SELECT max(id) FROM entity WHERE kind = ?1")?;
        let bytes: Option<[u8; 16]> = statement.query_row([kind.as_str()], |row| row.get(0))?;
        Ok(bytes.map_or(Uuid::nil(), Uuid::from_bytes))
    }

    fn read_row(&self, reference: EntityRef) -> Result<Option<Entity>, TableError> {
        let body = self
            .connection
            .prepare_cached("SELECT body FROM entity WHERE kind = ?1 AND id = ?2")?
            .query_row((reference.kind.as_str(), reference.id.as_bytes()), |row| {
                Ok(parse(reference, row.get_ref(0)?.as_str()?))
            })
            .optional()?;
        body.transpose()
    }

    fn rename(
        &self,
        reference: EntityRef,
        before: Option<&Entity>,
        after: Option<&Entity>,
    ) -> Result<(), rusqlite::Error> {
        let names = |entity: Option<&Entity>| entity.map(|entity| entity.names().collect::<Vec<_>>());
        let (before, after) = (names(before).unwrap_or_default(), names(after).unwrap_or_default());
        let row =
            |key: &NameKey, held: bool| (name_number(key), held, reference.id.into_bytes(), reference.kind.as_str());
        for (key, held) in before.iter().filter(|name| !after.contains(name)) {
            self.connection
                .prepare_cached("DELETE FROM name WHERE number = ?1 AND held = ?2 AND id = ?3 AND kind = ?4")?
                .execute(row(key, *held))?;
        }
        for (key, held) in after.iter().filter(|name| !before.contains(name)) {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO name (number, held, id, kind) VALUES (?1, ?2, ?3, ?4)")?
                .execute(row(key, *held))?;
        }
        Ok(())
    }

    fn refer(
        &self,
        reference: EntityRef,
        before: Option<&Entity>,
        after: Option<&Entity>,
    ) -> Result<(), rusqlite::Error> {
        let refs = |entity: Option<&Entity>| entity.map(|entity| entity.facts.refers_to()).unwrap_or_default();
        let (before, after) = (refs(before), refs(after));
        let row =
            |to: &EntityRef| (to.kind.as_str(), *to.id.as_bytes(), reference.kind.as_str(), *reference.id.as_bytes());
        for to in before.iter().filter(|to| !after.contains(to)) {
            self.connection
                .prepare_cached("DELETE FROM reference WHERE to_kind = ?1 AND to_id = ?2 AND kind = ?3 AND id = ?4")?
                .execute(row(to))?;
        }
        for to in after.iter().filter(|to| !before.contains(to)) {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO reference (to_kind, to_id, kind, id) VALUES (?1, ?2, ?3, ?4)")?
                .execute(row(to))?;
        }
        Ok(())
    }

    fn query(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Entity>, ViewError> {
        let read = || -> Result<Vec<Entity>, TableError> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut entities = Vec::new();
            while let Some(row) = rows.next()? {
                let reference = reference_of(row)?;
                entities.push(parse(reference, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?);
            }
            Ok(entities)
        };
        read().map_err(ViewError::new)
    }

    /// The log row of an event: position, type, block.
    fn logged(&self, event: &Cid) -> rusqlite::Result<Option<(u64, Vec<u8>)>> {
        let bytes = event.to_bytes();
        self.log
            .prepare_cached("SELECT position, block FROM log WHERE substr(cid, 5, 8) = substr(?1, 5, 8) AND cid = ?1")?
            .query_row([bytes], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }
}

impl View for Tables<'_> {
    fn get(&self, entity: EntityRef) -> Result<Option<Entity>, ViewError> {
        self.read(entity).map_err(ViewError::new)
    }

    fn find(&self, key: &NameKey, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let find = || -> Result<Vec<Entity>, TableError> {
            let mut statement = self
                .connection
                .prepare_cached("SELECT kind, id FROM name WHERE number = ?1 ORDER BY held DESC, id DESC")?;
            let mut rows = statement.query([name_number(key)])?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let entity = self.read(reference_of(row)?)?;
                // Two names may share a number.
                found.extend(entity.filter(|entity| entity.names().any(|(name, _)| name == *key)));
            }
            Ok(found)
        };
        find().map_err(ViewError::new)
    }

    fn list(&self, kind: Kind, after: Option<Uuid>, limit: usize) -> Result<Vec<Entity>, ViewError> {
        let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        self.query(
            "SELECT kind, id, body FROM entity WHERE kind = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
            (kind.as_str(), after, bounded(limit)),
        )
    }

    fn referrers(
        &self,
        to: EntityRef,
        kind: Kind,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Entity>, ViewError> {
        let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        self.query(
            "SELECT entity.kind, entity.id, body
             FROM reference JOIN entity ON entity.kind = reference.kind AND entity.id = reference.id
             WHERE to_kind = ?1 AND to_id = ?2 AND reference.kind = ?3 AND reference.id > ?4
             ORDER BY reference.id LIMIT ?5",
            (to.kind.as_str(), to.id.as_bytes(), kind.as_str(), after, bounded(limit)),
        )
    }

    fn concerned_by(&self, event: &Cid) -> Result<Vec<EntityRef>, ViewError> {
        let Some((position, block)) = self.logged(event).map_err(ViewError::new)? else { return Ok(Vec::new()) };
        let event: KeyEvent = decode_block(&block).map_err(ViewError::new)?;
        match event.data {
            EventData::Unknown(_) => self.marked_by(position).map_err(ViewError::new),
            data => Ok(concerns(&data)),
        }
    }
}

impl Tables<'_> {
    fn marked_by(&self, position: u64) -> Result<Vec<EntityRef>, TableError> {
        let mut statement = self.connection.prepare_cached("SELECT kind, id FROM mark WHERE position = ?1")?;
        let mut rows = statement.query([position])?;
        let mut marked = BTreeSet::new();
        while let Some(row) = rows.next()? {
            marked.insert(reference_of(row)?);
        }
        Ok(marked.into_iter().collect())
    }
}

/// A table does not hold what was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// An entity's text is no entity.
    #[error("the table of entities is damaged at {entity}: {detail}")]
    Entity {
        /// Which.
        entity: String,
        /// What is wrong.
        detail: String,
    },
    /// The entities can't be looked up.
    #[error(transparent)]
    View(ViewError),
    /// An entity does not become text.
    #[error("an entity can't be written: {0}")]
    Json(serde_json::Error),
}

fn parse(reference: EntityRef, body: &str) -> Result<Entity, TableError> {
    let damaged = |detail: String| TableError::Entity { entity: reference.to_string(), detail };
    let entity: Entity = serde_json::from_str(body).map_err(|error| damaged(error.to_string()))?;
    if entity.entity_ref() == reference { Ok(entity) } else { Err(damaged("it is another entity".into())) }
}

/// The entity that the first two columns name.
pub(super) fn reference_of(row: &Row<'_>) -> Result<EntityRef, TableError> {
    let word = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    let damaged = |detail: &str| TableError::Entity { entity: format!("{word:.20}"), detail: detail.into() };
    let kind = Kind::from_word(word).ok_or_else(|| damaged("it is no kind of entity"))?;
    let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let id = Uuid::from_slice(bytes).map_err(|_| damaged("its identifier has not 16 bytes"))?;
    Ok(EntityRef::new(kind, id))
}

/// A limit as SQLite takes it.
fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The number under which a name is kept: the first eight bytes of the SHA-256 of its kind, a zero byte, its index, a zero
/// byte, the length of its scope in one byte, the scope, and its text; big-endian, in two's complement. Whoever finds an
/// entity by it looks whether it has that name.
fn name_number(key: &NameKey) -> i64 {
    let scope = key.scope.as_ref().map_or(&[][..], |id| id.as_bytes());
    let hash = Sha256::new()
        .chain_update(key.kind.as_str())
        .chain_update([0])
        .chain_update(key.index.as_str())
        .chain_update([0, scope.len() as u8])
        .chain_update(scope)
        .chain_update(&key.key)
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(first)
}
