//! Finding what is recorded already by what people call it.

use super::entries::Resolve;
use super::plan::PlanError;
use crate::ledger::{Entity, Facts, Index, Kind, NameKey, View};

/// The recorded entity that the entry at a path names: an active one first, else the newest that ended. A person without
/// an e-mail address is found by name when only one has it.
pub(crate) fn find(
    view: &dyn View,
    resolve: &Resolve<'_>,
    kind: Kind,
    path: &str,
) -> Result<Option<Entity>, PlanError> {
    if super::nats::is_ours(kind) {
        return super::nats::find(view, resolve, path);
    }
    let keys: Vec<NameKey> = match resolve.facts(path) {
        Some(facts) => {
            let email = facts.names().iter().any(|(key, _)| key.index == Index::Email);
            let by_name = |key: &NameKey| !(email && key.index == Index::Name);
            facts.names().into_iter().map(|(key, _)| key).filter(by_name).collect()
        }
        None => resolve.key(path).map(|key| NameKey::name(Kind::Key, None, &key.name)).into_iter().collect(),
    };
    for key in keys {
        let found = view.find(&key, 2)?;
        let several = found.len() > 1 && found.iter().all(Entity::is_active);
        let same = |entity: &Entity| entity.entity_ref().kind == kind;
        if let Some(entity) = found.into_iter().find(same)
            && !(several && matches!(entity.facts, Facts::Person(_)))
        {
            return Ok(Some(entity));
        }
    }
    Ok(None)
}
