//! From the `[nats]` table to its normal form: each entry by itself, so that all problems are told at once.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::declare::manifest::EntryName;
use crate::declare::manifest::nats::{Account, Fleet, Nats, Operator, Role, User};
use crate::declare::reader::{Reader, Table, shown};
use crate::nats::presets::Preset;
use crate::text::Name;
use crate::text::nearest;

/// Reads the table.
pub(crate) fn read(reader: &mut Reader, value: &Spanned<DeValue<'_>>) -> Nats {
    let Some(mut table) = Table::of(reader, "nats".into(), value) else { return Nats::default() };
    let operator = table.get(reader, "operator").and_then(|value| {
        let operator: Option<Operator> = entry(reader, "nats.operator", value);
        operator
    });
    let mut accounts = BTreeMap::new();
    for (name, span, _) in table.entries(reader, "accounts") {
        let Some(name) = take(reader, &span, "nats.accounts", EntryName::new(name)) else { continue };
        let Some(value) = find(value, &["accounts", name.as_str()]) else { continue };
        if let Some(account) = account(reader, &format!("nats.accounts.{name}"), &name, value) {
            accounts.insert(name, account);
        }
    }
    table.finish(reader);
    Nats { operator, accounts }
}

fn account(reader: &mut Reader, path: &str, name: &EntryName, value: &Spanned<DeValue<'_>>) -> Option<Account> {
    let DeValue::Table(table) = value.get_ref() else { return None };
    let roles = section::<Role>(reader, table, path, "roles");
    let users = section::<User>(reader, table, path, "users");
    let fleets = section::<Fleet>(reader, table, path, "fleets");
    // What is left is the account itself.
    let mut rest = table.clone();
    for section in ["roles", "users", "fleets"] {
        rest.remove(section);
    }
    let rest = Spanned::new(value.span(), DeValue::Table(rest));
    let mut account: Account = entry(reader, path, &rest)?;
    account.name = account.name.or_else(|| Name::new(name.as_str()).ok());
    account.roles = roles;
    for (name, role) in &mut account.roles {
        role.name = role.name.take().or_else(|| Name::new(name.as_str()).ok());
        upper_case(&mut role.permissions.connection_types);
    }
    account.users = users;
    for (name, user) in &mut account.users {
        user.name = user.name.take().or_else(|| Name::new(name.as_str()).ok());
        upper_case(&mut user.permissions.connection_types);
        if let Some(preset) = user.preset {
            begin_with(user, preset);
        }
    }
    account.fleets = fleets;
    for (name, fleet) in &mut account.fleets {
        upper_case(&mut fleet.permissions.connection_types);
        let path = format!("{path}.fleets.{name}");
        if fleet.count > crate::declare::manifest::nats::MAX_FLEET {
            let most = crate::declare::manifest::nats::MAX_FLEET;
            reader.report_at(&path, format!("{path}: a fleet has at most {most} users; make several"));
        } else if fleet.count > 1 && !fleet.name.contains("{n") {
            reader.report_at(&path, format!("{path}.name: all would have one name; write {{n}} where the number goes"));
        } else if let Err(error) = fleet.member(fleet.first) {
            reader.report_at(&path, format!("{path}.name: {error}"));
        }
    }
    Some(account)
}

/// A preset is what the entry says of permissions, with what it says besides.
fn begin_with(user: &mut User, preset: Preset) {
    let of_preset = preset.permissions();
    let permissions = &mut user.permissions;
    permissions.publish.allow.extend(of_preset.r#pub.allow);
    permissions.subscribe.allow.extend(of_preset.sub.allow);
}

fn upper_case(types: &mut std::collections::BTreeSet<String>) {
    *types = types.iter().map(|kind| kind.to_ascii_uppercase()).collect();
}

fn section<T: DeserializeOwned>(
    reader: &mut Reader,
    table: &DeTable<'_>,
    path: &str,
    key: &str,
) -> BTreeMap<EntryName, T> {
    let mut entries = BTreeMap::new();
    let Some(value) = table.get(key) else { return entries };
    let DeValue::Table(section) = value.get_ref() else {
        reader.report(
            &value.span(),
            format!("`{path}.{key}` must hold one table an entry, such as [{path}.{key}.some-name]"),
        );
        return entries;
    };
    for (name, value) in section.iter() {
        let Some(name) = take(reader, &name.span(), path, EntryName::new(name.get_ref())) else { continue };
        let path = format!("{path}.{key}.{name}");
        reader.remember(path.clone(), &value.span());
        if let Some(entry) = entry(reader, &path, value) {
            entries.insert(name, entry);
        }
    }
    entries
}

fn take<T, E: fmt::Display>(
    reader: &mut Reader,
    span: &std::ops::Range<usize>,
    place: &str,
    result: Result<T, E>,
) -> Option<T> {
    result.map_err(|error| reader.report(span, format!("[{place}]: {error}"))).ok()
}

fn find<'v, 'i>(value: &'v Spanned<DeValue<'i>>, path: &[&str]) -> Option<&'v Spanned<DeValue<'i>>> {
    path.iter().try_fold(value, |value, key| match value.get_ref() {
        DeValue::Table(table) => table.get(*key),
        _ => None,
    })
}

/// One entry; what is wrong with it is reported.
fn entry<T: DeserializeOwned>(reader: &mut Reader, path: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
    match T::deserialize(ValueDeserializer::from(value.clone())) {
        Ok(entry) => Some(entry),
        Err(error) => {
            let span = error.span().filter(|span| !span.is_empty()).unwrap_or_else(|| value.span());
            reader.report(&span, format!("[{}] {}", shown(path), advice(error.message())));
            None
        }
    }
}

/// What is wrong, with the nearest word where one is not known.
fn advice(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.lines().map(shown).collect::<Vec<_>>().join("; ");
    };
    let (unknown, known) = rest.split_once('`').unwrap_or((rest, ""));
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).chain(PERMISSIONS).collect();
    match nearest(unknown, known.into_iter()) {
        Some(near) => format!("has no key `{}`; did you mean `{near}`?", shown(unknown)),
        None => format!("has no key `{}`; docs/apply.md lists those that it may have", shown(unknown)),
    }
}

/// The keys of permissions, which a message about an unknown key does not list.
const PERMISSIONS: [&str; 20] = [
    "publish",
    "subscribe",
    "replies",
    "source_networks",
    "times",
    "time_zone",
    "connection_types",
    "subscriptions",
    "data",
    "payload",
    "bearer",
    "proxy_required",
    "name",
    "owner",
    "role",
    "preset",
    "expires",
    "tags",
    "count",
    "description",
];
