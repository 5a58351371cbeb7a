//! Where entries stand, what they say, and which recorded entities they are.

use serde::Serialize;
use serde_json::Value;

use crate::declare::entries::{Fields, Resolve};
use crate::declare::manifest::nats::{Account, Fleet, Role, User};
use crate::declare::manifest::{EntryName, Manifest};
use crate::declare::plan::PlanError;
use crate::ledger::{Entity, EntityRef, Facts, Index, Kind, NameKey, View};
use crate::text::Name;

/// A place under `[nats]`.
pub(crate) enum Place {
    Operator,
    Account(EntryName),
    Role(EntryName, EntryName),
    User(EntryName, EntryName),
    Member(EntryName, EntryName, u32),
}

impl Place {
    pub(crate) fn of(path: &str) -> Option<Self> {
        let name = |text: &str| EntryName::new(text).ok();
        let parts: Vec<&str> = path.split('.').collect();
        Some(match parts.as_slice() {
            ["nats", "operator"] => Self::Operator,
            ["nats", "accounts", account] => Self::Account(name(account)?),
            ["nats", "accounts", account, "roles", role] => Self::Role(name(account)?, name(role)?),
            ["nats", "accounts", account, "users", user] => Self::User(name(account)?, name(user)?),
            ["nats", "accounts", account, "fleets", fleet, number] => {
                Self::Member(name(account)?, name(fleet)?, number.parse().ok()?)
            }
            _ => return None,
        })
    }
}

/// The path of an account.
pub(crate) fn account_path(name: &EntryName) -> String {
    format!("nats.accounts.{name}")
}

/// The paths of all entries under `[nats]`, in the order in which they can be made.
pub(crate) fn paths(manifest: &Manifest) -> Vec<(Kind, String)> {
    let nats = &manifest.nats;
    let mut paths: Vec<(Kind, String)> = Vec::new();
    paths.extend(nats.operator.iter().map(|_| (Kind::Operator, "nats.operator".to_owned())));
    paths.extend(nats.accounts.keys().map(|name| (Kind::Account, account_path(name))));
    for (name, account) in &nats.accounts {
        let account_path = account_path(name);
        paths.extend(account.roles.keys().map(|role| (Kind::SigningKey, format!("{account_path}.roles.{role}"))));
        paths.extend(account.users.keys().map(|user| (Kind::User, format!("{account_path}.users.{user}"))));
        for (fleet, it) in &account.fleets {
            paths.extend(it.numbers().map(|number| (Kind::User, format!("{account_path}.fleets.{fleet}.{number}"))));
        }
    }
    paths
}

/// What the entry at a path says, and what people call it.
pub(crate) fn entry(resolve: &Resolve<'_>, path: &str) -> Option<(Fields, String)> {
    let nats = &resolve.manifest.nats;
    let account = |name: &EntryName| nats.accounts.get(name);
    let called = |name: Option<&Name>| name.map(ToString::to_string).unwrap_or_default();
    Some(match Place::of(path)? {
        Place::Operator => {
            let operator = nats.operator.as_ref()?;
            let mut fields = fields(operator);
            fields.remove("system_account");
            (fields, operator.name.to_string())
        }
        Place::Account(name) => {
            let it = account(&name)?;
            (account_fields(it), called(it.name.as_ref()))
        }
        Place::Role(name, role) => {
            let it = account(&name)?.roles.get(&role)?;
            (fields(it), format!("{}/{}", called(account(&name)?.name.as_ref()), called(it.name.as_ref())))
        }
        Place::User(name, user) => {
            let it = account(&name)?;
            let user = it.users.get(&user)?;
            (user_fields(resolve, it, user), format!("{}/{}", called(it.name.as_ref()), called(user.name.as_ref())))
        }
        Place::Member(name, fleet, number) => {
            let it = account(&name)?;
            let user = it.fleets.get(&fleet)?.member(number).ok()?;
            (user_fields(resolve, it, &user), format!("{}/{}", called(it.name.as_ref()), called(user.name.as_ref())))
        }
    })
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

fn user_fields(resolve: &Resolve<'_>, account: &Account, user: &User) -> Fields {
    let mut all = fields(user);
    if let Some(owner) = &user.owner {
        all.insert("owner".to_owned(), json(&resolve.party(owner)));
    }
    if let Some(role) = &user.role {
        let name = account.roles.get(role).and_then(|role| role.name.as_ref());
        all.insert("role".to_owned(), json(&name.map_or(role.as_str(), Name::as_str)));
    }
    all
}

/// Whether an entry stands in an account that left the manifest, and ends with it.
pub(crate) fn leaves(manifest: &Manifest, path: &str) -> bool {
    match Place::of(path) {
        Some(Place::Role(name, _) | Place::User(name, _) | Place::Member(name, _, _)) => {
            !manifest.nats.accounts.contains_key(&name)
        }
        _ => false,
    }
}

/// Copies an entry of one manifest into another, because it is to be remembered there.
pub(crate) fn copy(from: &Manifest, path: &str, into: &mut Manifest) {
    let account = |name: &EntryName| from.nats.accounts.get(name);
    let Some(place) = Place::of(path) else { return };
    match place {
        Place::Operator => into.nats.operator.clone_from(&from.nats.operator),
        Place::Account(name) => {
            if let Some(account) = account(&name) {
                into.nats.accounts.insert(name, account.clone());
            }
        }
        Place::Role(name, role) => {
            let found: Option<&Role> = account(&name).and_then(|account| account.roles.get(&role));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(&name)) {
                account.roles.insert(role, it.clone());
            }
        }
        Place::User(name, user) => {
            let found: Option<&User> = account(&name).and_then(|account| account.users.get(&user));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(&name)) {
                account.users.insert(user, it.clone());
            }
        }
        Place::Member(name, fleet, number) => {
            let found: Option<&Fleet> = account(&name).and_then(|account| account.fleets.get(&fleet));
            if let (Some(it), Some(account)) = (found, into.nats.accounts.get_mut(&name)) {
                // Of a fleet that shrank, or left, the members up to this one are remembered.
                let kept = account.fleets.entry(fleet).or_insert_with(|| Fleet { count: 0, ..it.clone() });
                kept.first = kept.first.min(it.first);
                kept.count = kept.count.max(number.saturating_add(1).saturating_sub(kept.first));
            }
        }
    }
}

/// The recorded entity of the entry at a path, by what people call it.
pub(crate) fn find(view: &dyn View, resolve: &Resolve<'_>, path: &str) -> Result<Option<Entity>, PlanError> {
    let nats = &resolve.manifest.nats;
    let Some(place) = Place::of(path) else { return Ok(None) };
    let operator = || -> Result<Option<Entity>, PlanError> {
        Ok(view.list(Kind::Operator, None, 1_000)?.into_iter().find(Entity::is_active))
    };
    let named = |kind: Kind, scope: EntityRef, name: &Name| -> Result<Option<Entity>, PlanError> {
        let key = NameKey { kind, index: Index::Name, scope: Some(scope.id), key: name.folded() };
        Ok(view.find(&key, 1)?.pop())
    };
    let within = |name: &EntryName| EntityRef::new(Kind::Account, resolve.id(&account_path(name)));
    match place {
        Place::Operator => operator(),
        Place::Account(name) => match (operator()?, nats.accounts.get(&name).and_then(|it| it.name.as_ref())) {
            (Some(operator), Some(name)) => named(Kind::Account, operator.entity_ref(), name),
            _ => Ok(None),
        },
        Place::Role(name, role) => {
            let role = nats.accounts.get(&name).and_then(|it| it.roles.get(&role)?.name.as_ref());
            role.map_or(Ok(None), |role| newest_key(view, within(&name), role))
        }
        Place::User(name, user) => {
            let user = nats.accounts.get(&name).and_then(|it| it.users.get(&user)?.name.as_ref());
            user.map_or(Ok(None), |user| named(Kind::User, within(&name), user))
        }
        Place::Member(name, fleet, number) => {
            let member = nats.accounts.get(&name).and_then(|it| it.fleets.get(&fleet)?.member(number).ok()?.name);
            member.map_or(Ok(None), |member| named(Kind::User, within(&name), &member))
        }
    }
}

/// The newest signing key of a role: an active one, else the last that ended.
fn newest_key(view: &dyn View, account: EntityRef, role: &Name) -> Result<Option<Entity>, PlanError> {
    let mut found: Option<Entity> = None;
    let mut after = None;
    loop {
        let page = view.referrers(account, Kind::SigningKey, after, 256)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.entity_ref().id);
        for key in page {
            let same = matches!(&key.facts, Facts::SigningKey(it) if it.role.as_ref().is_some_and(|r| r.folded() == role.folded()));
            if same && (key.is_active() || !found.as_ref().is_some_and(Entity::is_active)) {
                found = Some(key);
            }
        }
    }
}

/// The attributes of an entry: its JSON.
pub(crate) fn fields(entry: &impl Serialize) -> Fields {
    match json(entry) {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// Entries are maps of texts, numbers, lists and maps: they always are JSON.
pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
