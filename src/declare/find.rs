//! Finding what is recorded already by what people call it.

use super::entries;
use super::nats;
use super::path::EntryPath;
use super::plan::PlanError;
use super::resolve::Resolve;
use crate::ledger::{Entity, Facts, Index, Kind, NameKey, View};

/// The recorded entity that the entry at a path names: an active one first, else the newest that ended. A person without
/// an e-mail address is found by name when only one has it.
pub(super) fn find(view: &dyn View, resolve: Resolve<'_>, path: &EntryPath) -> Result<Option<Entity>, PlanError> {
    if let EntryPath::Nats(path) = path {
        return nats::find(view, resolve, path);
    }
    let keys: Vec<NameKey> = match entries::facts(resolve, path)? {
        Some(facts) => {
            let email = facts.names().iter().any(|(key, _)| key.index == Index::Email);
            let by_name = |key: &NameKey| !(email && key.index == Index::Name);
            facts.names().into_iter().map(|(key, _)| key).filter(by_name).collect()
        }
        None => {
            let key = entries::key(resolve.manifest, path);
            key.map(|key| NameKey::name(Kind::Key, None, &key.name)).into_iter().collect()
        }
    };
    for key in keys {
        let found = view.find(&key, 2)?;
        let several = found.len() > 1 && found.iter().all(Entity::is_active);
        let same = |entity: &Entity| entity.entity_ref().kind == path.kind();
        if let Some(entity) = found.into_iter().find(same)
            && !(several && matches!(entity.facts, Facts::Person(_)))
        {
            return Ok(Some(entity));
        }
    }
    Ok(None)
}
