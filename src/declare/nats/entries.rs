//! Where entries stand, what they say, and which recorded entities they are.

use serde::Serialize;
use serde_json::Value;

use crate::declare::fields::{Fields, json};
use crate::declare::manifest::nats::{Account, Fleet, Role, User};
use crate::declare::manifest::{EntryName, Manifest};
use crate::declare::path::{EntryPath, NatsPath, UnknownEntry};
use crate::declare::plan::PlanError;
use crate::declare::resolve::Resolve;
use crate::ledger::{Entity, EntityRef, Facts, Index, Kind, NameKey, View, ViewError};
use crate::text::Name;

/// The paths of all entries under `[nats]`, in the order in which they can be made.
pub(in crate::declare) fn paths(manifest: &Manifest) -> Vec<NatsPath> {
    let nats = &manifest.nats;
    let mut paths: Vec<NatsPath> = Vec::new();
    paths.extend(nats.operator.iter().map(|_| NatsPath::Operator));
    paths.extend(nats.accounts.keys().cloned().map(NatsPath::Account));
    for (name, account) in &nats.accounts {
        paths.extend(account.roles.keys().map(|role| NatsPath::Role(name.clone(), role.clone())));
        paths.extend(account.users.keys().map(|user| NatsPath::User(name.clone(), user.clone())));
        for (fleet, it) in &account.fleets {
            paths.extend(it.numbers().map(|number| NatsPath::Member(name.clone(), fleet.clone(), number)));
        }
    }
    paths
}

/// What people call the entry at a path, and what it says; `None` where the manifest has none.
pub(in crate::declare) fn entry(
    resolve: Resolve<'_>,
    path: &NatsPath,
) -> Result<Option<(String, Fields)>, UnknownEntry> {
    let nats = &resolve.manifest.nats;
    let called = |name: Option<&Name>| name.map(ToString::to_string).unwrap_or_default();
    let Some(account) = path.account() else {
        return Ok(nats.operator.as_ref().map(|operator| {
            let mut fields = fields(operator);
            fields.remove("system_account");
            (operator.name.to_string(), fields)
        }));
    };
    let Some(account) = nats.accounts.get(account) else { return Ok(None) };
    let within = |name: Option<&Name>| format!("{}/{}", called(account.name.as_ref()), called(name));
    let of_user = |user: &User| Ok((within(user.name.as_ref()), user_fields(resolve, account, user)?));
    match path {
        NatsPath::Operator => Ok(None),
        NatsPath::Account(_) => Ok(Some((called(account.name.as_ref()), account_fields(account)))),
        NatsPath::Role(_, role) => Ok(account.roles.get(role).map(|it| (within(it.name.as_ref()), fields(it)))),
        NatsPath::User(_, user) => account.users.get(user).map(of_user).transpose(),
        NatsPath::Member(_, fleet, number) => {
            let member = account.fleets.get(fleet).and_then(|fleet| fleet.member(*number).ok());
            member.as_ref().map(of_user).transpose()
        }
    }
}

/// The parts of an account whose members are compared one by one.
pub(crate) const PARTS: [&str; 4] = ["limits", "exports", "imports", "mappings"];

/// An account's attributes, its exports and the like one by one: `exports.orders`.
pub(crate) fn account_fields(account: &Account) -> Fields {
    let mut all = fields(account);
    for section in ["roles", "users", "fleets"] {
        all.remove(section);
    }
    for part in PARTS {
        if let Some(Value::Object(members)) = all.remove(part) {
            all.extend(members.into_iter().map(|(name, value)| (format!("{part}.{name}"), value)));
        }
    }
    all
}

/// The reverse of [`account_fields`].
pub(crate) fn account_of(fields: &Fields) -> Result<Account, serde_json::Error> {
    let mut all = Fields::new();
    for (name, value) in fields {
        match name.split_once('.').filter(|(part, _)| PARTS.contains(part)) {
            None => drop(all.insert(name.clone(), value.clone())),
            Some((part, member)) => {
                let members = all.entry(part.to_owned()).or_insert_with(|| Value::Object(Fields::new()));
                if let Value::Object(members) = members {
                    members.insert(member.to_owned(), value.clone());
                }
            }
        }
    }
    serde_json::from_value(Value::Object(all))
}

fn user_fields(resolve: Resolve<'_>, account: &Account, user: &User) -> Result<Fields, UnknownEntry> {
    let mut all = fields(user);
    if let Some(owner) = &user.owner {
        all.insert("owner".to_owned(), json(&resolve.party(owner)?));
    }
    if let Some(role) = &user.role {
        let name = account.roles.get(role).and_then(|role| role.name.as_ref());
        all.insert("role".to_owned(), json(&name.map_or(role.as_str(), Name::as_str)));
    }
    Ok(all)
}

/// Whether an entry stands in an account that left the manifest, and ends with it.
pub(in crate::declare) fn leaves(manifest: &Manifest, path: &NatsPath) -> bool {
    path.within().is_some_and(|account| !manifest.nats.accounts.contains_key(account))
}

/// Copies an entry of one manifest into another, because it is to be remembered there.
pub(in crate::declare) fn copy(from: &Manifest, path: &NatsPath, into: &mut Manifest) {
    let account = |name: &EntryName| from.nats.accounts.get(name);
    match path {
        NatsPath::Operator => into.nats.operator.clone_from(&from.nats.operator),
        NatsPath::Account(name) => {
            if let Some(account) = account(name) {
                into.nats.accounts.insert(name.clone(), account.clone());
            }
        }
        NatsPath::Role(name, role) => {
            let found: Option<&Role> = account(name).and_then(|account| account.roles.get(role));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(name)) {
                account.roles.insert(role.clone(), it.clone());
            }
        }
        NatsPath::User(name, user) => {
            let found: Option<&User> = account(name).and_then(|account| account.users.get(user));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(name)) {
                account.users.insert(user.clone(), it.clone());
            }
        }
        NatsPath::Member(name, fleet, number) => {
            let found: Option<&Fleet> = account(name).and_then(|account| account.fleets.get(fleet));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(name)) {
                // Of a fleet that shrank, or left, the members up to this one are remembered.
                let kept = account.fleets.entry(fleet.clone()).or_insert_with(|| Fleet { count: 0, ..it.clone() });
                kept.first = kept.first.min(it.first);
                kept.count = kept.count.max(number.saturating_add(1).saturating_sub(kept.first));
            }
        }
    }
}

/// The recorded entity of the entry at a path, by what people call it.
pub(in crate::declare) fn find(
    view: &dyn View,
    resolve: Resolve<'_>,
    path: &NatsPath,
) -> Result<Option<Entity>, PlanError> {
    let nats = &resolve.manifest.nats;
    let named = |kind: Kind, scope: EntityRef, name: &Name| -> Result<Option<Entity>, ViewError> {
        let key = NameKey { kind, index: Index::Name, scope: Some(scope.id), key: name.folded() };
        Ok(view.find(&key, 1)?.pop())
    };
    let operator = || -> Result<Option<Entity>, ViewError> { view.all(Kind::Operator).active().next().transpose() };
    let Some(account) = path.account() else { return Ok(operator()?) };
    let Some(it) = nats.accounts.get(account) else { return Ok(None) };
    let within = || -> Result<EntityRef, UnknownEntry> {
        let id = resolve.id(EntryPath::Nats(NatsPath::Account(account.clone())))?;
        Ok(EntityRef::new(Kind::Account, id))
    };
    Ok(match path {
        NatsPath::Operator => None,
        NatsPath::Account(_) => match (operator()?, &it.name) {
            (Some(operator), Some(name)) => named(Kind::Account, operator.entity_ref(), name)?,
            _ => None,
        },
        NatsPath::Role(_, role) => match it.roles.get(role).and_then(|role| role.name.as_ref()) {
            Some(role) => newest_key(view, within()?, role)?,
            None => None,
        },
        NatsPath::User(_, user) => match it.users.get(user).and_then(|user| user.name.as_ref()) {
            Some(user) => named(Kind::User, within()?, user)?,
            None => None,
        },
        NatsPath::Member(_, fleet, number) => {
            let member = it.fleets.get(fleet).and_then(|fleet| fleet.member(*number).ok()?.name);
            match member {
                Some(member) => named(Kind::User, within()?, &member)?,
                None => None,
            }
        }
    })
}

/// The newest signing key of a role: an active one, else the last that ended.
fn newest_key(view: &dyn View, account: EntityRef, role: &Name) -> Result<Option<Entity>, ViewError> {
    let mut found: Option<Entity> = None;
    for key in view.all_referring(account, Kind::SigningKey) {
        let key = key?;
        let same = matches!(&key.facts, Facts::SigningKey(it) if it.role.as_ref().is_some_and(|r| r.folded() == role.folded()));
        if same && (key.is_active() || !found.as_ref().is_some_and(Entity::is_active)) {
            found = Some(key);
        }
    }
    Ok(found)
}

/// The attributes of an entry: its JSON.
pub(crate) fn fields(entry: &impl Serialize) -> Fields {
    match json(entry) {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}
