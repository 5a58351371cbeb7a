//! Carrying out what a plan says under `[nats]`: the same acts as the commands, several in one.

use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::authority::nats::accounts::{self, NewAccount};
use crate::authority::nats::auth_callout::{self, Xkey};
use crate::authority::nats::operators::{self, NewOperator};
use crate::authority::nats::signing_keys::{self, NewSigningKey};
use crate::authority::nats::users::{self, NewUser, SignWith};
use crate::authority::nats::{NatsDraft, NatsError, lookup, sharing};
use crate::custody::ISSUING;
use crate::declare::manifest::nats::{Account, AuthCallout, Operator, Permissions, Role};
use crate::declare::manifest::{EntryName, Manifest};
use crate::declare::nats::claims::{permissions, put_account};
use crate::declare::nats::entries::account_of;
use crate::declare::{EntryPath, Fields, Ids, NatsPath, SectionStep};
use crate::events::{NatsUserCreated, Party};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId, NatsUserId};
use crate::ipld_support::parse_cid;
use crate::ledger::{AccountFacts, EntityRef, Facts, Kind, Refusal};
use crate::nats::claims::{self, ImportToken, SigningKey, UserPermissions};
use crate::nats::presets::Preset;
use crate::text::{Label, Name, Note};
use crate::time::Timestamp;

/// What the steps of one plan have in common.
pub(crate) struct Runner<'r> {
    pub(crate) manifest: &'r Manifest,
    pub(crate) ids: &'r Ids,
    /// Accounts whose claims are written when everything that they refer to is there.
    accounts: Vec<(NatsAccountId, Account)>,
}

impl<'r> Runner<'r> {
    pub(crate) const fn new(manifest: &'r Manifest, ids: &'r Ids) -> Self {
        Self { manifest, ids, accounts: Vec::new() }
    }

    /// Takes a step.
    pub(crate) fn step(&mut self, draft: &mut NatsDraft<'_, '_>, step: &SectionStep) -> Result<(), NatsError> {
        match step.path.kind() {
            Kind::Operator => self.operator(draft, step),
            Kind::Account => self.account(draft, step),
            Kind::SigningKey => self.role(draft, step),
            _ => self.user(draft, step),
        }
    }

    /// Ends an entity.
    pub(crate) fn end(
        &self,
        draft: &mut NatsDraft<'_, '_>,
        kind: Kind,
        id: Uuid,
        reason: &Note,
    ) -> Result<(), NatsError> {
        let reference = EntityRef::new(kind, id);
        let facts = draft.view().get(reference)?.map(|entity| entity.facts);
        match facts {
            Some(Facts::Account(account)) => accounts::delete(draft, &account, reason),
            Some(Facts::User(user)) => {
                let account = account_by_id(draft, user.user.account_id)?;
                users::revoke(draft, &account, &user, reason)
            }
            Some(Facts::SigningKey(key)) => match key.holder {
                crate::events::NatsHolder::Account(id) => {
                    let account = account_by_id(draft, id)?;
                    signing_keys::retire(draft, &account, &key, None, reason)
                }
                crate::events::NatsHolder::Operator(_) => Ok(()),
            },
            _ => Err(Refusal::Unknown(reference).into()),
        }
    }

    /// Writes the claims of accounts: first what stands by itself, then what looks at other accounts.
    pub(crate) fn finish(self, draft: &mut NatsDraft<'_, '_>) -> Result<(), NatsError> {
        for (id, spec) in &self.accounts {
            let facts = account_by_id(draft, *id)?;
            let attributes = |account: &mut crate::events::NatsAccountCreated| {
                if let Some(name) = &spec.name {
                    account.name = name.clone();
                }
                account.description.clone_from(&spec.description);
            };
            accounts::edit(draft, &facts, &attributes, &|nats| {
                let own = if spec.system { system_exports(spec, nats) } else { Vec::new() };
                put_account(spec, nats);
                nats.exports.extend(own);
            })?;
            let facts = account_by_id(draft, *id)?;
            let plain = |key: &SigningKey| matches!(key, SigningKey::Plain(_));
            if spec.signing_key && !draft.account_claims(&facts)?.nats.signing_keys.iter().any(plain) {
                signing_keys::add(draft, &facts, NewSigningKey::plain())?;
            }
        }
        for (id, spec) in &self.accounts {
            let facts = account_by_id(draft, *id)?;
            self.imports(draft, &facts, spec)?;
            self.auth_callout(draft, &facts, spec.auth_callout.as_ref())?;
        }
        Ok(())
    }

    fn operator(&self, draft: &mut NatsDraft<'_, '_>, step: &SectionStep) -> Result<(), NatsError> {
        let spec: Operator = parse(&step.fields)?;
        let (version, tags) = (spec.assert_server_version.clone(), spec.tags.clone());
        let claims = |claims: &mut claims::Operator| {
            claims.assert_server_version.clone_from(&version);
            claims.generic.tags = tags.iter().cloned().collect();
        };
        if step.make {
            let compartment = spec.signing_key.map_or_else(|| Label::new(ISSUING), Ok)?;
            let new = NewOperator {
                id: NatsOperatorId::from_uuid(step.id),
                name: spec.name,
                system_account: self.system_account()?,
                signing_key: Some(compartment),
                strict: spec.strict,
                service_urls: spec.service_urls.into_iter().collect(),
                account_server_url: spec.account_server_url,
            };
            return operators::add(draft, new, &claims).map(|_| ());
        }
        if let Some(compartment) = &spec.signing_key {
            let operator = lookup::operator(draft.view())?;
            let now = operators::signing_keys(draft.view(), &operator)?.pop().and_then(|key| key.compartment);
            if now.as_ref() != Some(compartment) {
                let reason = Note::typed("the file names another compartment")?;
                operators::rotate_signing_key(draft, Some(compartment), None, &reason)?;
            }
        }
        let attributes = |operator: &mut crate::events::NatsOperatorCreated| {
            operator.name = spec.name.clone();
            operator.strict_signing_key_usage = spec.strict;
            operator.service_urls = spec.service_urls.iter().cloned().collect();
            operator.account_server_url.clone_from(&spec.account_server_url);
        };
        operators::edit(draft, &attributes, &claims)
    }

    /// The system account that a new operator gets: the entry that says so, or one beside the file.
    fn system_account(&self) -> Result<NewAccount, NatsError> {
        let nats = &self.manifest.nats;
        let entry = nats.accounts.iter().find(|(_, account)| account.system);
        let (id, name) = match entry {
            Some((entry, account)) => (self.account_id(entry), account.name.clone()),
            None => (None, nats.operator.as_ref().and_then(|operator| operator.system_account.clone())),
        };
        let id = id.map_or_else(NatsAccountId::mint, NatsAccountId::from_uuid);
        let name = name.map_or_else(|| Name::new("SYS"), Ok)?;
        Ok(NewAccount { id, name, description: None, system: true })
    }

    fn account(&mut self, draft: &mut NatsDraft<'_, '_>, step: &SectionStep) -> Result<(), NatsError> {
        let spec = account_of(&step.fields).map_err(damaged)?;
        let id = NatsAccountId::from_uuid(step.id);
        if step.make && draft.view().get(id.into())?.is_none() {
            if spec.system {
                return Err(NatsError::advised(
                    format!("[{}] says that it is the system account, and the operator has another one", step.path),
                    "name that one",
                ));
            }
            let name = spec.name.clone().ok_or_else(|| NatsError::Usage(format!("[{}] has no name", step.path)))?;
            let new = NewAccount { id, name, description: spec.description.clone(), system: false };
            accounts::add(draft, new, &|_| {})?;
        }
        self.accounts.push((id, spec));
        Ok(())
    }

    fn role(&self, draft: &mut NatsDraft<'_, '_>, step: &SectionStep) -> Result<(), NatsError> {
        let spec: Role = parse(&step.fields)?;
        let account = self.account_of(draft, &step.path)?;
        let template = permissions(&spec.permissions);
        if step.make {
            let new = NewSigningKey {
                id: KeyId::from_uuid(step.id),
                role: spec.name,
                template,
                description: spec.description,
                compartment: spec.compartment,
                public_key: spec.public_key,
            };
            return signing_keys::add(draft, &account, new);
        }
        let reference = EntityRef::new(Kind::SigningKey, step.id);
        let Some(Facts::SigningKey(key)) = draft.view().get(reference)?.map(|entity| entity.facts) else {
            return Err(Refusal::Unknown(reference).into());
        };
        let fixed = [
            (spec.name.is_some() && spec.name != key.role, "name"),
            (spec.compartment.is_some() && spec.compartment != key.compartment, "compartment"),
            (spec.public_key.as_ref().is_some_and(|it| *it != key.public_key), "public_key"),
        ];
        if let Some((_, what)) = fixed.into_iter().find(|(changed, _)| *changed) {
            return Err(NatsError::advised(
                format!("[{}]: the {what} of a role's key never changes", step.path),
                "write another entry for another role",
            ));
        }
        signing_keys::edit(draft, &account, &key, &|scope| {
            scope.template = template.clone();
            scope.description.clone_from(&spec.description);
        })
    }

    fn user(&self, draft: &mut NatsDraft<'_, '_>, step: &SectionStep) -> Result<(), NatsError> {
        let text = |name: &str| step.fields.get(name).and_then(Value::as_str);
        let name = Name::new(text("name").unwrap_or_default())?;
        let owner: Option<Party> =
            step.fields.get("owner").map(|it| serde_json::from_value(it.clone())).transpose().map_err(damaged)?;
        let role = text("role").map(ToOwned::to_owned);
        let preset: Option<Preset> = text("preset").map(str::parse).transpose()?;
        let expires: Option<Timestamp> =
            step.fields.get("expires").map(|it| serde_json::from_value(it.clone())).transpose().map_err(damaged)?;
        let tags: Vec<String> = step
            .fields
            .get("tags")
            .map(|it| serde_json::from_value(it.clone()))
            .transpose()
            .map_err(damaged)?
            .unwrap_or_default();
        let own: Permissions = parse(&step.fields)?;
        let allowed = match (&role, own == Permissions::default()) {
            (Some(_), true) => UserPermissions::default(),
            _ => permissions(&own),
        };
        let claims = |user: &mut claims::User| {
            user.permissions = allowed.clone();
            user.generic.tags.clone_from(&tags);
        };
        let account = self.account_of(draft, &step.path)?;
        let id = NatsUserId::from_uuid(step.id);
        if step.make {
            let expires_at = expires.or_else(|| users::default_expiry(draft, owner.as_ref(), preset));
            let new = NewUser { name, owner, signing_key: role, expires_at };
            return users::add(draft, &account, id, new, &claims);
        }
        let Some(Facts::User(facts)) = draft.view().get(id.into())?.map(|entity| entity.facts) else {
            return Err(Refusal::Unknown(id.into()).into());
        };
        // What the file leaves open stays as it was chosen.
        let open = expires.is_none() && (preset.is_some() || matches!(owner, Some(Party::Person(_))));
        let attributes = |user: &mut NatsUserCreated| {
            user.name = name.clone();
            user.owner.clone_from(&owner);
            if !open {
                user.expires_at = expires;
            }
        };
        let sign = role.as_deref().map_or(SignWith::Plain, SignWith::Role);
        users::edit(draft, &account, &facts, sign, &attributes, &claims)
    }

    fn imports(&self, draft: &mut NatsDraft<'_, '_>, facts: &AccountFacts, spec: &Account) -> Result<(), NatsError> {
        let before = draft.account_claims(facts)?.nats.imports;
        let mut imports = Vec::new();
        for (name, it) in &spec.imports {
            let mut import = claims::Import {
                name: name.clone(),
                subject: it.subject.clone(),
                account: self.account_key(draft, &it.account)?,
                token: self.given(&it.activation, name, &before)?,
                to: String::new(),
                local_subject: it.local_subject.clone(),
                r#type: it.r#type,
                share: it.share,
                allow_trace: it.allow_trace,
            };
            if import.token.is_none() {
                import.token = self.activation(draft, facts, &import, &before)?;
            }
            imports.push(import);
        }
        let mut claims = draft.account_claims(facts)?;
        claims.nats.imports = imports;
        accounts::put(draft, facts, claims)
    }

    /// The activation that the file gives: by its text, or one of before by its content identifier.
    fn given(&self, activation: &str, name: &str, before: &[claims::Import]) -> Result<ImportToken, NatsError> {
        let Ok(cid) = parse_cid(activation) else { return Ok(ImportToken::from_text(activation.to_owned())) };
        if let Some(text) = self.manifest.activations.get(&cid) {
            return Ok(ImportToken::Text(text.clone()));
        }
        let known = before.iter().find(|it| it.token.cid() == Some(cid));
        known.map(|it| it.token.clone()).ok_or_else(|| {
            NatsError::advised(
                format!("imports.{name}.activation: no activation {cid} of the account is known"),
                "write its text",
            )
        })
    }

    /// The activation of a private export of this ledger: that of before, or a new one.
    fn activation(
        &self,
        draft: &mut NatsDraft<'_, '_>,
        importer: &AccountFacts,
        import: &claims::Import,
        before: &[claims::Import],
    ) -> Result<ImportToken, NatsError> {
        let Ok(exporter) = lookup::account(draft.view(), &import.account) else { return Ok(ImportToken::None) };
        if !sharing::asks_for_activation(draft, &exporter, import)? {
            return Ok(ImportToken::None);
        }
        let same = |it: &&claims::Import| {
            it.subject == import.subject && it.account == import.account && it.r#type == import.r#type
        };
        match before.iter().find(same).filter(|it| !it.token.is_none()) {
            Some(it) => Ok(it.token.clone()),
            None => {
                let importer = importer.account.public_key.as_str();
                Ok(sharing::activate(draft, &exporter, importer, &import.subject, import.r#type, None)?.token)
            }
        }
    }

    fn auth_callout(
        &self,
        draft: &mut NatsDraft<'_, '_>,
        facts: &AccountFacts,
        spec: Option<&AuthCallout>,
    ) -> Result<(), NatsError> {
        let Some(spec) = spec else {
            return auth_callout::set(draft, facts, Some(&[]), Some(&[]), Some(&Xkey::None));
        };
        let own = self.entry_of(facts);
        let user = |draft: &NatsDraft<'_, '_>, text: &String| -> Result<String, NatsError> {
            let path = own.clone().zip(EntryName::new(text).ok()).map(|(account, user)| NatsPath::User(account, user));
            let id = path.and_then(|path| self.id(path));
            match id.map(|id| draft.view().get(EntityRef::new(Kind::User, id))).transpose()?.flatten() {
                Some(entity) => match entity.facts {
                    Facts::User(user) => Ok(user.user.public_key.to_string()),
                    _ => Ok(text.clone()),
                },
                None => Ok(text.clone()),
            }
        };
        let users: Vec<String> = spec.users.iter().map(|text| user(draft, text)).collect::<Result<_, _>>()?;
        let allowed: Vec<String> = spec
            .allowed_accounts
            .iter()
            .map(|text| if text == "*" { Ok(text.clone()) } else { self.account_key(draft, text) })
            .collect::<Result<_, _>>()?;
        let xkey = match spec.xkey.as_str() {
            "" => Xkey::None,
            "generate" => Xkey::Generated,
            key => Xkey::Known(key.to_owned()),
        };
        auth_callout::set(draft, facts, Some(&users), Some(&allowed), Some(&xkey))
    }

    fn id(&self, path: NatsPath) -> Option<Uuid> {
        self.ids.get(&EntryPath::Nats(path))
    }

    fn account_id(&self, name: &EntryName) -> Option<Uuid> {
        self.id(NatsPath::Account(name.clone()))
    }

    fn entry_of(&self, facts: &AccountFacts) -> Option<EntryName> {
        let id = *facts.account.account_id.as_uuid();
        self.manifest.nats.accounts.keys().find(|name| self.account_id(name) == Some(id)).cloned()
    }

    /// The public key of an account that a file names: the name of an entry, or the key itself.
    fn account_key(&self, draft: &NatsDraft<'_, '_>, text: &str) -> Result<String, NatsError> {
        let id = EntryName::new(text).ok().and_then(|name| self.account_id(&name));
        match id.map(|id| draft.view().get(EntityRef::new(Kind::Account, id))).transpose()?.flatten() {
            Some(entity) => match entity.facts {
                Facts::Account(facts) => Ok(facts.account.public_key.to_string()),
                _ => Ok(text.to_owned()),
            },
            None => Ok(text.to_owned()),
        }
    }

    /// The account that an entry stands in.
    fn account_of(&self, draft: &NatsDraft<'_, '_>, path: &NatsPath) -> Result<AccountFacts, NatsError> {
        let account = path.within().ok_or_else(|| NatsError::Usage(format!("{path} stands in no account")))?;
        let id = self.ids.of(EntryPath::Nats(NatsPath::Account(account.clone())));
        account_by_id(draft, NatsAccountId::from_uuid(id.map_err(|error| NatsError::Usage(error.to_string()))?))
    }
}

/// What a system account exports for monitoring and the file does not speak of.
fn system_exports(spec: &Account, nats: &claims::Account) -> Vec<claims::Export> {
    let spoken = |export: &claims::Export| spec.exports.values().any(|it| it.subject == export.subject);
    nats.exports.iter().filter(|it| it.subject.starts_with("$SYS.") && !spoken(it)).cloned().collect()
}

fn account_by_id(draft: &NatsDraft<'_, '_>, id: NatsAccountId) -> Result<AccountFacts, NatsError> {
    match draft.view().get(id.into())?.map(|entity| entity.facts) {
        Some(Facts::Account(facts)) => Ok(facts),
        _ => Err(Refusal::Unknown(id.into()).into()),
    }
}

fn parse<T: DeserializeOwned>(fields: &Fields) -> Result<T, NatsError> {
    serde_json::from_value(Value::Object(fields.clone())).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> NatsError {
    NatsError::Usage(format!("the plan cannot be parsed: {error}"))
}
