//! What is recorded of operators, accounts, roles and users, in the words of an apply file.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;

use crate::authority::nats::{NatsError, accounts, auth_callout, operators, users};
use crate::declare::manifest::nats::{AuthCallout, Import, Operator, Permissions, Role};
use crate::declare::nats::claims::{account_of, name, permissions_of};
use crate::declare::nats::entries::{account_fields, fields};
use crate::declare::{EntryPath, Fields, PlanError, json};
use crate::events::Party;
use crate::ledger::{AccountFacts, Entity, EntityRef, Facts, Index, Kind, NameKey, OperatorFacts, UserFacts, View};
use crate::nats::claims::{self, ImportToken, SigningKey, UserPermissions};

pub(super) fn recorded(
    view: &dyn View,
    entity: &Entity,
    paths: &HashMap<Uuid, EntryPath>,
    entry: &Fields,
) -> Result<Fields, PlanError> {
    let read = Read { view, paths };
    let found = match &entity.facts {
        Facts::Operator(facts) => read.operator(facts, entry),
        Facts::Account(facts) => read.account(facts, entry),
        Facts::SigningKey(facts) => read.role(facts, entry),
        Facts::User(facts) => read.user(facts, entry),
        _ => return Ok(Fields::new()),
    };
    found.map_err(|error| match error {
        NatsError::View(error) => PlanError::View(error),
        other => PlanError::Damaged(other.to_string()),
    })
}

struct Read<'r> {
    view: &'r dyn View,
    paths: &'r HashMap<Uuid, EntryPath>,
}

impl Read<'_> {
    fn operator(&self, facts: &OperatorFacts, entry: &Fields) -> Result<Fields, NatsError> {
        let it = &facts.operator;
        let (mut version, mut tags) = (String::new(), Vec::new());
        if let Some(token) = &facts.token {
            let claims: claims::Claims<claims::Operator> = serde_json::from_str(token.claims.as_str())
                .map_err(|source| NatsError::Recorded { what: it.name.to_string(), source })?;
            (version, tags) = (claims.nats.assert_server_version, claims.nats.generic.tags);
        }
        // Where the key is, is the file's matter only when it says so.
        let key = operators::signing_keys(self.view, facts)?.pop().and_then(|key| key.compartment);
        Ok(fields(&Operator {
            name: it.name.clone(),
            system_account: None,
            signing_key: key.filter(|_| entry.contains_key("signing_key")),
            strict: it.strict_signing_key_usage,
            service_urls: it.service_urls.iter().cloned().collect(),
            account_server_url: it.account_server_url.clone(),
            assert_server_version: version,
            tags: tags.into_iter().collect(),
        }))
    }

    fn account(&self, facts: &AccountFacts, entry: &Fields) -> Result<Fields, NatsError> {
        let claims = accounts::claims(facts)?.nats;
        let mut account = account_of(&claims);
        account.name = Some(facts.account.name.clone());
        account.description.clone_from(&facts.account.description);
        account.system = facts.account.system;
        account.signing_key = entry.contains_key("signing_key")
            && claims.signing_keys.iter().any(|key| matches!(key, SigningKey::Plain(_)));
        if account.system {
            // Every system account has these; a file says them only to change them.
            account.exports.retain(|name, export| {
                entry.contains_key(&format!("exports.{name}")) || !export.subject.starts_with("$SYS.")
            });
        }
        account.imports = self.imports(&claims)?;
        account.auth_callout = self.auth_callout(&claims)?;
        Ok(account_fields(&account))
    }

    fn imports(&self, nats: &claims::Account) -> Result<BTreeMap<String, Import>, NatsError> {
        let mut imports = BTreeMap::new();
        for it in &nats.imports {
            let here = self.by_key(Kind::Account, &it.account)?;
            let import = Import {
                subject: it.subject.clone(),
                account: here.and_then(|id| self.entry_of(id)).unwrap_or_else(|| it.account.clone()),
                r#type: it.r#type,
                local_subject: if it.local_subject.is_empty() { it.to.clone() } else { it.local_subject.clone() },
                // What this ledger activates it activates by itself.
                activation: if here.is_some() { String::new() } else { activation(&it.token) },
                share: it.share,
                allow_trace: it.allow_trace,
            };
            imports.insert(name(&it.name, &it.subject), import);
        }
        Ok(imports)
    }

    fn auth_callout(&self, nats: &claims::Account) -> Result<Option<AuthCallout>, NatsError> {
        let it = &nats.authorization;
        if *it == claims::ExternalAuthorization::default() {
            return Ok(None);
        }
        let entry = |kind: Kind, key: &String| -> Result<String, NatsError> {
            let known = self.by_key(kind, key)?.and_then(|id| self.entry_of(id));
            Ok(known.unwrap_or_else(|| key.clone()))
        };
        let own = auth_callout::is_ours(self.view, &it.xkey)?;
        Ok(Some(AuthCallout {
            users: it.auth_users.iter().map(|key| entry(Kind::User, key)).collect::<Result<_, _>>()?,
            allowed_accounts: it
                .allowed_accounts
                .iter()
                .map(|key| entry(Kind::Account, key))
                .collect::<Result<_, _>>()?,
            xkey: if own { "generate".to_owned() } else { it.xkey.clone() },
        }))
    }

    fn role(&self, facts: &crate::events::NatsSigningKeyGenerated, entry: &Fields) -> Result<Fields, NatsError> {
        let holder = self.view.get(EntityRef::holder(&facts.holder))?;
        let mut role = Role {
            name: facts.role.clone(),
            description: String::new(),
            compartment: facts.compartment.clone().filter(|_| entry.contains_key("compartment")),
            public_key: Some(facts.public_key.clone()).filter(|_| entry.contains_key("public_key")),
            permissions: Permissions::default(),
        };
        if let Some(Facts::Account(account)) = holder.map(|entity| entity.facts) {
            for key in accounts::claims(&account)?.nats.signing_keys {
                if let SigningKey::Scoped(scope) = key
                    && scope.key == facts.public_key.as_str()
                {
                    role.description = scope.description;
                    role.permissions = permissions_of(&scope.template);
                }
            }
        }
        Ok(fields(&role))
    }

    fn user(&self, facts: &UserFacts, entry: &Fields) -> Result<Fields, NatsError> {
        let claims = users::claims(facts)?;
        let own = match claims.nats.permissions == UserPermissions::default() {
            true => Permissions::default(),
            false => permissions_of(&claims.nats.permissions),
        };
        let mut all = fields(&own);
        all.insert("name".to_owned(), json(&facts.user.name));
        if !claims.nats.generic.tags.is_empty() {
            let tags: std::collections::BTreeSet<_> = claims.nats.generic.tags.into_iter().collect();
            all.insert("tags".to_owned(), json(&tags));
        }
        if let Some(owner) = &facts.user.owner {
            all.insert("owner".to_owned(), json(owner));
        }
        // An end that was chosen for want of another is no matter of the file.
        let open = entry.contains_key("preset") || matches!(facts.user.owner, Some(Party::Person(_)));
        let chosen = entry.contains_key("expires") || !open;
        // A preset is how a file says permissions, which are compared themselves.
        if let Some(preset) = entry.get("preset") {
            all.insert("preset".to_owned(), preset.clone());
        }
        if let (Some(expires), true) = (facts.user.expires_at, chosen) {
            all.insert("expires".to_owned(), json(&expires));
        }
        if let Some(id) = self.by_key(Kind::SigningKey, &claims.registered.iss)?
            && let Some(Facts::SigningKey(key)) =
                self.view.get(EntityRef::new(Kind::SigningKey, id))?.map(|key| key.facts)
            && let Some(role) = key.role
        {
            all.insert("role".to_owned(), Value::String(role.to_string()));
        }
        Ok(all)
    }

    fn by_key(&self, kind: Kind, key: &str) -> Result<Option<Uuid>, NatsError> {
        let key = NameKey { kind, index: Index::PublicKey, scope: None, key: key.to_owned() };
        Ok(self.view.find(&key, 1)?.pop().map(|entity| entity.entity_ref().id))
    }

    /// The last part of the path of an entry: how others in the file speak of it.
    fn entry_of(&self, id: Uuid) -> Option<String> {
        self.paths.get(&id).map(EntryPath::name)
    }
}

/// An activation in the normal form of a file.
fn activation(token: &ImportToken) -> String {
    match token {
        ImportToken::Url(url) => url.clone(),
        token => token.cid().map(|cid| cid.to_string()).unwrap_or_default(),
    }
}
