//! What only shows when an operator's accounts and users are seen together.

use std::collections::{BTreeMap, BTreeSet};

use super::super::claims::{Account, Claims, Import, Operator, SigningKey, User};
use super::super::subject;
use super::user::SignedBy;
use super::{Finding, Findings, check_account, check_operator, check_user, shown};

/// An account with its users.
#[derive(Debug, Clone)]
pub struct AccountNode {
    /// The account's claims; `iss` is the key that signs them.
    pub account: Claims<Account>,
    /// Its users' claims; `iss` is the key that signs each.
    pub users: Vec<Claims<User>>,
}

/// An operator with its accounts.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The operator's claims.
    pub operator: Claims<Operator>,
    /// Its accounts.
    pub accounts: Vec<AccountNode>,
}

/// Checks an operator, its accounts and users, each by itself and all together.
#[must_use]
pub fn check_tree(tree: &Tree) -> Vec<Finding> {
    let mut list = check_operator(&tree.operator);
    let operator = &tree.operator;
    let by_key: BTreeMap<&str, &AccountNode> =
        tree.accounts.iter().map(|node| (node.account.registered.sub.as_str(), node)).collect();
    names("account", tree.accounts.iter().map(|node| shown(&node.account.registered)), &mut list);
    let system = operator.nats.system_account.as_str();
    if !system.is_empty() && !by_key.contains_key(system) {
        Findings::new(format!("operator {}", shown(&operator.registered)), &mut list)
            .add(format!("the system account {system} is none of its accounts"), "name one of its accounts");
    }
    for node in &tree.accounts {
        list.extend(check_account(&node.account));
        list.extend(check_signer(operator, &node.account));
        names("user", node.users.iter().map(|user| shown(&user.registered)), &mut list);
        for user in &node.users {
            list.extend(check_user_of(operator, &node.account, user));
        }
        list.extend(check_sources(&node.account, &|key| by_key.get(key).map(|node| node.account.clone())));
    }
    list
}

/// Checks what an account imports against the accounts that it imports from, as far as `lookup` knows them by their
/// public key: that the export is there, that there is an activation where one is needed, and that nothing comes back
/// around a circle.
#[must_use]
pub fn check_sources(account: &Claims<Account>, lookup: &dyn Fn(&str) -> Option<Claims<Account>>) -> Vec<Finding> {
    let mut list = Vec::new();
    for import in &account.nats.imports {
        let place = format!("account {}, import \"{}\"", shown(&account.registered), import.subject);
        let mut found = Findings::new(place, &mut list);
        if let Some(source) = lookup(&import.account) {
            check_source(import, &source, &mut found);
        }
        // A service that is imported around a circle is refused by servers, and a stream would run for ever.
        if leads_back(&account.registered.sub, import, lookup, &mut BTreeSet::new()) {
            found.add(
                "what it imports comes back to it through other accounts",
                "break the circle: leave out one of the imports",
            );
        }
    }
    list
}

/// Names that differ in case only make two files, or one, depending on the disk.
fn names<'a>(what: &str, names: impl Iterator<Item = &'a str>, list: &mut Vec<Finding>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            let problem = if other == name { "two bear this name" } else { "another differs from it in case only" };
            Findings::new(format!("{what} {name}"), list).add(problem, "give each a name of its own");
        }
    }
}

/// Checks that an account is signed by a key that servers trust for it: by `iss`, once that is chosen.
#[must_use]
pub fn check_signer(operator: &Claims<Operator>, account: &Claims<Account>) -> Vec<Finding> {
    let mut list = Vec::new();
    let issuer = &account.registered.iss;
    if issuer.is_empty() {
        return list;
    }
    let mut found = Findings::new(format!("account {}", shown(&account.registered)), &mut list);
    if *issuer == operator.registered.sub {
        if operator.nats.strict_signing_key_usage {
            found.add(
                "it is signed by the operator's identity key, which servers do not trust under strict_signing_key_usage",
                "sign it with an operator signing key",
            );
        }
    } else if !operator.nats.signing_keys.contains(issuer) {
        found.add(format!("it is signed by {issuer}, which is no key of the operator"), "sign it again");
    }
    list
}

/// Checks a user as one of its account: what it may hold follows from the key that signs it (`iss`).
#[must_use]
pub fn check_user_of(operator: &Claims<Operator>, account: &Claims<Account>, user: &Claims<User>) -> Vec<Finding> {
    let issuer = &user.registered.iss;
    let key = account.nats.signing_keys.iter().find(|key| key.public_key() == issuer);
    let signed_by = match key {
        Some(SigningKey::Scoped(_)) => SignedBy::ScopedKey,
        Some(SigningKey::Plain(_)) => SignedBy::SigningKey,
        None => SignedBy::Identity,
    };
    let mut list = check_user(user, signed_by);
    let mut found =
        Findings::new(format!("user {}/{}", shown(&account.registered), shown(&user.registered)), &mut list);
    if !issuer.is_empty() && key.is_none() {
        if *issuer != account.registered.sub {
            found.add(format!("it is signed by {issuer}, which is no key of the account"), "sign it again");
        } else if operator.nats.strict_signing_key_usage {
            found.add(
                "it is signed by the account's identity key, which servers do not trust under strict_signing_key_usage",
                "sign it with an account signing key",
            );
        }
    }
    let bearer = match key {
        Some(SigningKey::Scoped(scope)) => scope.template.bearer_token,
        _ => user.nats.permissions.bearer_token,
    };
    if bearer && account.nats.limits.disallow_bearer {
        found.add("it is a bearer user, and the account refuses those", "drop bearer_token, or disallow_bearer");
    }
    list
}

fn check_source(import: &Import, source: &Claims<Account>, found: &mut Findings<'_>) {
    let exports = &source.nats.exports;
    let name = shown(&source.registered);
    let Some(export) =
        exports.iter().find(|e| e.r#type == import.r#type && subject::covers(&e.subject, &import.subject))
    else {
        let kind = import.r#type.as_str();
        found.add(format!("account {name} exports no such {kind}"), "add the export there, or leave the import out");
        return;
    };
    if export.token_req && import.token.is_none() {
        found.add(
            format!("account {name} asks for an activation, and there is none"),
            "add one, signed by that account",
        );
    }
}

fn leads_back(
    start: &str,
    import: &Import,
    lookup: &dyn Fn(&str) -> Option<Claims<Account>>,
    seen: &mut BTreeSet<(String, String)>,
) -> bool {
    if import.account == start {
        return true;
    }
    if !seen.insert((import.account.clone(), import.subject.clone())) {
        return false;
    }
    let Some(source) = lookup(&import.account) else { return false };
    source.nats.imports.iter().filter(|next| next.r#type == import.r#type).any(|next| {
        let local = if next.local_subject.is_empty() { &next.subject } else { &next.local_subject };
        subject::overlaps(local, &import.subject) && leads_back(start, next, lookup, seen)
    })
}
