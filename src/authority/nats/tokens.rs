//! Tokens of one act: edited while it goes on, and checked when it ends. One an identity is signed then.

use std::collections::BTreeMap;

use super::draft::{Made, NatsDraft};
use super::error::NatsError;
use super::lookup::{self, read_claims};
use super::signing::Purpose;
use crate::events::{JwtKind, NatsHolder, NatsParty};
use crate::ids::{NatsAccountId, NatsUserId};
use crate::ledger::{AccountFacts, Facts, Kind, OperatorFacts, Refusal, TokenFacts, UserFacts};
use crate::nats::check::{Finding, check_account, check_operator, check_signer, check_sources, check_user_of};
use crate::nats::claims::{Account, Claims, ImportToken, Operator, Registered, SigningKey, User, UserPermissions};

/// Claims that are to be signed when the act ends.
#[derive(Debug, Default)]
pub(super) struct Pending {
    operator: Option<Claims<Operator>>,
    accounts: BTreeMap<NatsAccountId, Claims<Account>>,
    users: BTreeMap<NatsUserId, (Claims<User>, Made)>,
}

/// Accounts that are about to be signed, and by which key; by their public keys.
type Accounts = BTreeMap<String, (AccountFacts, Claims<Account>, Made)>;

/// Claims that servers take, and that are yet to be signed.
struct Checked {
    operator: OperatorFacts,
    /// The operator's own, where they are to be signed.
    operator_claims: Option<Claims<Operator>>,
    accounts: Accounts,
    users: Vec<(NatsUserId, Claims<User>, Made)>,
}

impl NatsDraft<'_, '_> {
    /// The operator's claims, as this act leaves them so far.
    pub(super) fn operator_claims(&self, facts: &OperatorFacts) -> Result<Claims<Operator>, NatsError> {
        match &self.pending.operator {
            Some(claims) => Ok(claims.clone()),
            None => lookup::operator_claims(facts),
        }
    }

    /// An account's claims, as this act leaves them so far.
    pub(crate) fn account_claims(&self, facts: &AccountFacts) -> Result<Claims<Account>, NatsError> {
        match self.pending.accounts.get(&facts.account.account_id) {
            Some(claims) => Ok(claims.clone()),
            None => lookup::account_claims(facts),
        }
    }

    /// A user's claims, as this act leaves them so far.
    pub(super) fn user_claims(&self, facts: &UserFacts) -> Result<Claims<User>, NatsError> {
        match self.pending.users.get(&facts.user.user_id) {
            Some((claims, _)) => Ok(claims.clone()),
            None => lookup::user_claims(facts),
        }
    }

    /// What a role gives its users; nothing for a key that is no role's.
    pub(super) fn template(&self, account: &AccountFacts, signer: &Made) -> Result<Option<UserPermissions>, NatsError> {
        let key = (account.account.account_id, signer.public_key.clone());
        if let Some(known) = self.known.borrow().templates.get(&key) {
            return Ok(known.clone());
        }
        let template = |signing: &SigningKey| match signing {
            SigningKey::Scoped(scope) if scope.key == signer.public_key.as_str() => Some(scope.template.clone()),
            _ => None,
        };
        let found = self.account_claims(account)?.nats.signing_keys.iter().find_map(template);
        self.known.borrow_mut().templates.insert(key, found.clone());
        Ok(found)
    }

    /// Keeps the texts of activations, and leaves in the claims what is recorded of them. A text that is no activation stays
    /// where it is: it is refused when the act ends.
    pub(super) fn take_activations(&mut self, account: &mut Account) {
        for import in &mut account.imports {
            if let ImportToken::Text(text) = &import.token
                && let record @ ImportToken::Reference(_) = import.token.to_record()
                && let ImportToken::Reference(reference) = &record
                && reference.claims.is_some()
            {
                if self.activations.insert(reference.cid, text.clone()).is_none() {
                    self.draft.keep_text(text.clone());
                }
                import.token = record;
            }
        }
    }

    /// The operator gets a token when the act ends.
    pub(super) fn issue_operator(&mut self, claims: Claims<Operator>) {
        self.pending.operator = Some(claims);
    }

    /// An account gets a token when the act ends.
    pub(super) fn issue_account(&mut self, id: NatsAccountId, mut claims: Claims<Account>) {
        claims.nats.normalize();
        self.take_activations(&mut claims.nats);
        self.known.get_mut().templates.clear();
        self.pending.accounts.insert(id, claims);
    }

    /// A user gets a token when the act ends.
    pub(super) fn issue_user(&mut self, id: NatsUserId, claims: Claims<User>, signer: Made) {
        self.pending.users.insert(id, (claims, signer));
    }

    /// A user gets a token by another key of its account when the act ends.
    pub(super) fn reissue_user(&mut self, facts: &UserFacts, signer: &Made) -> Result<(), NatsError> {
        let claims = self.user_claims(facts)?;
        self.issue_user(facts.user.user_id, claims, signer.clone());
        Ok(())
    }

    /// An account or user that ends in this act gets no token any more.
    pub(super) fn forget_account(&mut self, id: NatsAccountId) {
        self.known.get_mut().templates.clear();
        self.pending.accounts.remove(&id);
    }

    /// See [`NatsDraft::forget_account`].
    pub(super) fn forget_user(&mut self, id: NatsUserId) {
        self.pending.users.remove(&id);
    }

    /// What the ledger knows goes into an operator's claims.
    pub(super) fn fill_operator(&self, facts: &OperatorFacts, claims: &mut Claims<Operator>) -> Result<(), NatsError> {
        let operator = &facts.operator;
        let keys = lookup::signing_keys(self.view(), &NatsHolder::Operator(operator.operator_id))?;
        let nats = &mut claims.nats;
        nats.signing_keys = keys.iter().map(|key| key.public_key.to_string()).collect();
        nats.signing_keys.sort();
        nats.operator_service_urls = operator.service_urls.iter().map(ToString::to_string).collect();
        nats.account_server_url = operator.account_server_url.as_ref().map(ToString::to_string).unwrap_or_default();
        nats.strict_signing_key_usage = operator.strict_signing_key_usage;
        nats.system_account = match operator.system_account_id {
            None => String::new(),
            Some(id) => match self.view().get(id.into())?.map(|entity| entity.facts) {
                Some(Facts::Account(facts)) => facts.account.public_key.to_string(),
                _ => return Err(Refusal::Unknown(id.into()).into()),
            },
        };
        Ok(())
    }

    /// Ends the NATS part of an act: checks all claims that it edited, and leaves each to be signed once. Nothing is signed when
    /// a server would refuse one of them, or silently break it.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub fn finish(mut self) -> Result<(), NatsError> {
        let Some(checked) = self.checked()? else { return Ok(()) };
        let Checked { operator, operator_claims, accounts, users } = checked;
        for (facts, claims, signer) in accounts.into_values() {
            self.sign_account(facts, claims, &signer)?;
        }
        self.sign_users(users)?;
        if let Some(claims) = operator_claims {
            let operator = operator.operator;
            let signer = Made { key_id: operator.key_id, public_key: operator.public_key };
            let about = NatsParty::Operator(operator.operator_id);
            let token = self.unsigned(about, JwtKind::Operator, claims, &signer, Purpose::Issue)?;
            self.sign_tokens(vec![token])?;
        }
        Ok(())
    }

    /// All claims that the act edited, when servers take them; `None` when there are none.
    fn checked(&mut self) -> Result<Option<Checked>, NatsError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.operator.is_none() && pending.accounts.is_empty() && pending.users.is_empty() {
            return Ok(None);
        }
        let operator = lookup::operator(self.view())?;
        let mut operator_claims = match pending.operator {
            Some(ref claims) => claims.clone(),
            None => lookup::operator_claims(&operator)?,
        };
        let mut problems = Vec::new();
        self.fill_operator(&operator, &mut operator_claims)?;
        self.head(&mut operator_claims, operator.operator.public_key.as_str(), operator.operator.name.as_str());
        self.date(&mut operator_claims, operator.token.as_ref());
        if pending.operator.is_some() {
            problems.extend(check_operator(&operator_claims));
            problems.extend(self.check_strict(&operator, &operator_claims, &pending)?);
        }
        let accounts = self.prepare_accounts(&operator, &operator_claims, pending.accounts, &mut problems)?;
        let users = self.prepare_users(&operator_claims, &accounts, pending.users, &mut problems)?;
        if !problems.is_empty() {
            return Err(NatsError::Claims(problems));
        }
        let operator_claims = pending.operator.map(|_| operator_claims);
        Ok(Some(Checked { operator, operator_claims, accounts, users }))
    }

    fn prepare_accounts(
        &self,
        operator: &OperatorFacts,
        operator_claims: &Claims<Operator>,
        pending: BTreeMap<NatsAccountId, Claims<Account>>,
        problems: &mut Vec<Finding>,
    ) -> Result<Accounts, NatsError> {
        let mut accounts = BTreeMap::new();
        if pending.is_empty() {
            return Ok(accounts);
        }
        let signer = self.signer(&NatsHolder::Operator(operator.operator.operator_id), None)?;
        for (id, mut claims) in pending {
            let Some(Facts::Account(facts)) = self.view().get(id.into())?.map(|entity| entity.facts) else {
                return Err(Refusal::Unknown(id.into()).into());
            };
            self.head(&mut claims, facts.account.public_key.as_str(), facts.account.name.as_str());
            self.date(&mut claims, facts.token.as_ref());
            claims.registered.iss = signer.public_key.to_string();
            accounts.insert(claims.registered.sub.clone(), (facts, claims, signer.clone()));
        }
        let now = |key: &str| match accounts.get(key) {
            Some((_, claims, _)) => Some(claims.clone()),
            None => self.recorded_account(key),
        };
        for (facts, claims, _) in accounts.values() {
            problems.extend(check_account(claims));
            problems.extend(check_sources(claims, &now));
            problems.extend(check_signer(operator_claims, claims));
            problems.extend(self.check_dependents(operator, facts, claims, &now)?);
        }
        Ok(accounts)
    }

    /// What an operator that becomes strict would cut off: everything that an identity key has signed.
    fn check_strict(
        &self,
        operator: &OperatorFacts,
        claims: &Claims<Operator>,
        pending: &Pending,
    ) -> Result<Vec<Finding>, NatsError> {
        let mut problems = Vec::new();
        let Some(token) = &operator.token else { return Ok(problems) };
        let before: Claims<Operator> = read_claims(operator.operator.name.as_str(), token)?;
        if !claims.nats.strict_signing_key_usage || before.nats.strict_signing_key_usage {
            return Ok(problems);
        }
        for account in lookup::members(self.view(), operator.operator.operator_id.into(), Kind::Account)? {
            let (true, Facts::Account(facts)) = (account.is_active(), &account.facts) else { continue };
            let account = self.account_claims(facts)?;
            if !pending.accounts.contains_key(&facts.account.account_id) {
                problems.extend(check_signer(claims, &account));
            }
            for user in lookup::members(self.view(), facts.account.account_id.into(), Kind::User)? {
                let (true, Facts::User(user)) = (user.is_active(), &user.facts) else { continue };
                if user.token.as_ref().is_some_and(|token| token.issuer == facts.account.public_key) {
                    problems.extend(check_user_of(claims, &account, &self.user_claims(user)?));
                }
            }
        }
        Ok(problems)
    }

    /// What others have from this account must still be there: their imports, and its own users' kind of credential.
    fn check_dependents(
        &self,
        operator: &OperatorFacts,
        facts: &AccountFacts,
        claims: &Claims<Account>,
        now: &dyn Fn(&str) -> Option<Claims<Account>>,
    ) -> Result<Vec<Finding>, NatsError> {
        let mut problems = Vec::new();
        let Some(token) = &facts.token else { return Ok(problems) };
        let before: Claims<Account> = read_claims(facts.account.name.as_str(), token)?;
        if before.nats.exports != claims.nats.exports {
            for other in lookup::members(self.view(), operator.operator.operator_id.into(), Kind::Account)? {
                let (true, Facts::Account(other)) = (other.is_active(), &other.facts) else { continue };
                let Some(mut importer) = now(other.account.public_key.as_str()) else { continue };
                importer.nats.imports.retain(|import| import.account == claims.registered.sub);
                if other.account.account_id != facts.account.account_id && !importer.nats.imports.is_empty() {
                    problems.extend(check_sources(&importer, now));
                }
            }
        }
        if claims.nats.limits.disallow_bearer && !before.nats.limits.disallow_bearer {
            for user in lookup::members(self.view(), facts.account.account_id.into(), Kind::User)? {
                if let (true, Facts::User(user)) = (user.is_active(), &user.facts)
                    && user.user.bearer
                {
                    problems.push(Finding {
                        place: format!("user {}/{}", facts.account.name, user.user.name),
                        problem: "it is a bearer user, and the account would refuse those".to_owned(),
                        fix: "revoke it, or edit it with --bearer false, first".to_owned(),
                    });
                }
            }
        }
        Ok(problems)
    }

    fn prepare_users(
        &self,
        operator: &Claims<Operator>,
        accounts: &Accounts,
        pending: BTreeMap<NatsUserId, (Claims<User>, Made)>,
        problems: &mut Vec<Finding>,
    ) -> Result<Vec<(NatsUserId, Claims<User>, Made)>, NatsError> {
        let mut known: BTreeMap<NatsAccountId, Claims<Account>> = BTreeMap::new();
        for (facts, claims, _) in accounts.values() {
            known.insert(facts.account.account_id, claims.clone());
        }
        let mut users = Vec::with_capacity(pending.len());
        for (id, (mut claims, signer)) in pending {
            let Some(Facts::User(facts)) = self.view().get(id.into())?.map(|entity| entity.facts) else {
                return Err(Refusal::Unknown(id.into()).into());
            };
            let account = match known.entry(facts.user.account_id) {
                std::collections::btree_map::Entry::Occupied(account) => account.into_mut(),
                std::collections::btree_map::Entry::Vacant(slot) => {
                    let account = self.view().get(facts.user.account_id.into())?.map(|entity| entity.facts);
                    let Some(Facts::Account(account)) = account else {
                        return Err(Refusal::Unknown(facts.user.account_id.into()).into());
                    };
                    slot.insert(lookup::account_claims(&account)?)
                }
            };
            self.head(&mut claims, facts.user.public_key.as_str(), facts.user.name.as_str());
            self.date(&mut claims, facts.token.as_ref());
            claims.registered.iss = signer.public_key.to_string();
            claims.nats.issuer_account.clear();
            if claims.registered.iss != account.registered.sub {
                claims.nats.issuer_account.clone_from(&account.registered.sub);
            }
            problems.extend(check_user_of(operator, account, &claims));
            users.push((id, claims, signer));
        }
        Ok(users)
    }

    /// The recorded claims of an account of this ledger, by its public key.
    fn recorded_account(&self, key: &str) -> Option<Claims<Account>> {
        match self.by_public_key(Kind::Account, key).ok().flatten()?.facts {
            Facts::Account(AccountFacts { token: Some(token), .. }) => read_claims(key, &token).ok(),
            _ => None,
        }
    }

    fn head<B>(&self, claims: &mut Claims<B>, subject: &str, name: &str) {
        let Registered { sub, name: named, .. } = &mut claims.registered;
        subject.clone_into(sub);
        name.clone_into(named);
    }

    /// `iat` rises with each token of one identity: servers tell old from new by it, and `jti` does not cover the body.
    fn date<B>(&self, claims: &mut Claims<B>, before: Option<&TokenFacts>) {
        let at = before.map_or(self.now(), |token| self.now().max(token.issued_at + 1));
        claims.registered.iat = i64::try_from(at).unwrap_or(i64::MAX);
    }
}
