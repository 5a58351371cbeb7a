//! What must hold between the entries under `[nats]`, before a ledger is looked at.

use std::collections::BTreeMap;

use crate::declare::manifest::nats::Account;
use crate::declare::manifest::{EntryName, Manifest, PartyRef};
use crate::declare::path::NatsPath;
use crate::declare::reader::Reader;
use crate::nats::jwt::is_public_key;
use crate::text::nearest;
use crate::text::{Name, visible};

/// Reports all that is wrong. `party` checks that a party stands in the file.
pub(crate) fn check(manifest: &Manifest, reader: &mut Reader, mut party: impl FnMut(&mut Reader, &str, &PartyRef)) {
    let accounts = &manifest.nats.accounts;
    let mut names: BTreeMap<String, &EntryName> = BTreeMap::new();
    let mut system: Option<&EntryName> = None;
    for (entry, account) in accounts {
        let path = NatsPath::Account(entry.clone()).to_string();
        unique(reader, &path, entry, account.name.as_ref(), &mut names);
        if account.system
            && let Some(other) = system.replace(entry)
        {
            reader.report_at(
                &path,
                format!("{path}: [{}] is the system account already", NatsPath::Account(other.clone())),
            );
        }
        inside(reader, &path, account);
        for (user, it) in &account.users {
            if let Some(owner) = &it.owner {
                party(reader, &format!("{path}.users.{user}"), owner);
            }
        }
        for (import, it) in &account.imports {
            if !is_public_key(&it.account, &['A']) {
                account_there(reader, &path, &format!("imports.{import}.account"), &it.account, accounts);
            }
        }
        let callout = account.auth_callout.iter();
        for other in callout.flat_map(|it| &it.allowed_accounts) {
            if other != "*" && !is_public_key(other, &['A']) {
                account_there(reader, &path, "auth_callout.allowed_accounts", other, accounts);
            }
        }
    }
}

fn account_there(reader: &mut Reader, path: &str, key: &str, name: &str, accounts: &BTreeMap<EntryName, Account>) {
    if accounts.keys().any(|known| known.as_str() == name) || reader.knows(&format!("nats.accounts.{name}")) {
        return;
    }
    let shown = visible(name).into_owned();
    let advice = match nearest(name, accounts.keys().map(EntryName::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "name an entry, or give the public key (A…) of an account of elsewhere".to_owned(),
    };
    reader.report_at(path, format!("{path}.{key}: there is no [nats.accounts.{shown}]; {advice}"));
}

fn inside(reader: &mut Reader, path: &str, account: &Account) {
    let mut roles: BTreeMap<String, &EntryName> = BTreeMap::new();
    for (entry, role) in &account.roles {
        let path = format!("{path}.roles.{entry}");
        unique(reader, &path, entry, role.name.as_ref(), &mut roles);
        let Some(key) = &role.public_key else { continue };
        if !is_public_key(key.as_str(), &['A']) {
            let message = format!(
                "{path}.public_key: it is no account's signing key (A…), as it is printed where the key is made"
            );
            reader.report_at(&path, message);
        }
        if role.compartment.is_some() {
            reader
                .report_at(&path, format!("{path}: a key of which only the public half is here is in no compartment"));
        }
    }
    let mut users: BTreeMap<String, &EntryName> = BTreeMap::new();
    for (entry, user) in &account.users {
        let path = format!("{path}.users.{entry}");
        unique(reader, &path, entry, user.name.as_ref(), &mut users);
        role(reader, &path, user.role.as_ref(), account);
        if user.role.is_some() && user.preset.is_some() {
            reader
                .report_at(&path, format!("{path}: a preset is permissions, and a user of a role has none of its own"));
        }
    }
    for (entry, fleet) in &account.fleets {
        let path = format!("{path}.fleets.{entry}");
        role(reader, &path, fleet.role.as_ref(), account);
        for number in fleet.numbers() {
            let Ok(member) = fleet.member(number) else { continue };
            let before = reader.count();
            unique(reader, &path, entry, member.name.as_ref(), &mut users);
            if reader.count() > before {
                break; // the next ones are no news
            }
        }
    }
    for user in account.auth_callout.iter().flat_map(|it| &it.users) {
        let entry = account.users.keys().any(|known| known.as_str() == user);
        if !entry && !is_public_key(user, &['U']) {
            let shown = visible(user);
            let message =
                format!("{path}.auth_callout.users: there is no [{path}.users.{shown}], and it is no public key (U…)");
            reader.report_at(path, message);
        }
    }
}

fn role(reader: &mut Reader, path: &str, role: Option<&EntryName>, account: &Account) {
    let Some(role) = role else { return };
    if !account.roles.contains_key(role) {
        let near = nearest(role.as_str(), account.roles.keys().map(EntryName::as_str));
        let advice = near.map_or_else(
            || "write it under the account's roles".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        reader.report_at(path, format!("{path}.role: the account has no role {role}; {advice}"));
    }
}

fn unique<'e>(
    reader: &mut Reader,
    path: &str,
    entry: &'e EntryName,
    name: Option<&Name>,
    seen: &mut BTreeMap<String, &'e EntryName>,
) {
    let Some(name) = name else { return };
    if let Some(other) = seen.insert(name.folded(), entry) {
        let shown = visible(name.as_str());
        reader
            .report_at(path, format!("{path}: {other} has the name \"{shown}\" too, or differs from it in case only"));
    }
}
