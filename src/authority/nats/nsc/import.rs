//! An operator of an `nsc` home becomes part of a ledger: keys, entities, tokens as they are.

use std::collections::BTreeSet;

use super::disk::Skipped;
use super::home::{Home, StoredAccount, StoredOperator};
use super::keyring::Keyring;
use crate::authority::nats::draft::{Made, NatsDraft};
use crate::authority::nats::endings::record_revocation_until;
use crate::authority::nats::error::NatsError;
use crate::authority::nats::lookup;
use crate::custody::{ISSUING, ROOT, SecretBytes};
use crate::events::{
    JwtKind, KeyPurpose, NatsAccountCreated, NatsHolder, NatsOperatorCreated, NatsParty, NatsSigningKeyGenerated,
    NatsUserCreated, NkeyKind,
};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId, NatsUserId};
use crate::ledger::{AccountFacts, Facts, Kind, NatsCommand, TokenFacts};
use crate::nats::check::{SignedBy, check_account, check_operator, check_user};
use crate::nats::claims::{Account, Claims, Operator, SigningKey, User};
use crate::nats::jwt;
use crate::text::{Label, Name, Note, PublicKey, Url};
use crate::time::Timestamp;

/// What was taken of a home.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The operator's name.
    pub operator: String,
    /// How many accounts the operator has, and how many of them are new here.
    pub accounts: usize,
    /// How many users.
    pub users: usize,
    /// How many signing keys, of the operator and of accounts.
    pub signing_keys: usize,
    /// How many seeds were sealed in custody. All of them lay in plaintext before.
    pub seeds: usize,
    /// Public keys whose seed the home does not have.
    pub without_seed: Vec<String>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// What was taken as it is, and servers would refuse or silently break.
    pub warnings: Vec<String>,
    /// Public keys in the keyring that no operator of the home refers to; their seeds were not read.
    pub orphans: Vec<String>,
}

/// Takes an operator with everything below it. What is recorded already stays as it is, and newer tokens are taken, so that
/// doing it again changes nothing.
///
/// Tokens are kept byte for byte. One whose signature is not that of a key which may sign it is left out.
///
/// # Errors
/// See [`NatsError`]; nothing is recorded then. What can't be taken of accounts and users is no error, and is told.
pub fn import(
    draft: &mut NatsDraft<'_, '_>,
    home: &Home,
    stored: &StoredOperator,
    keyring: &Keyring,
    mut skipped: Vec<Skipped>,
) -> Result<Imported, NatsError> {
    let claims: Claims<Operator> = jwt::decode(&stored.token).map_err(|error| {
        NatsError::Usage(format!("the token of operator {} was not taken: {error}", crate::text::visible(&stored.name)))
    })?;
    let mut referenced = references(stored);
    for other in home.operators().filter(|other| *other != stored.name) {
        // The keyring is shared: what another operator refers to is no orphan.
        if let Ok(other) = home.read(other, &mut Vec::new()) {
            referenced.extend(references(&other));
        }
    }
    let orphans = keyring.orphans(&referenced);
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let origin = Note::typed(&format!("the nsc home of operator {}", stored.name))?;
    let report = Imported { operator: stored.name.clone(), orphans, skipped, ..Imported::default() };
    let mut taking = Taking { draft, home, keyring, origin, report };
    taking.operator(stored, claims)?;
    Ok(taking.report)
}

/// An import under way.
struct Taking<'t, 'n, 'd> {
    draft: &'t mut NatsDraft<'n, 'd>,
    home: &'t Home,
    keyring: &'t Keyring,
    origin: Note,
    report: Imported,
}

impl Taking<'_, '_, '_> {
    fn operator(&mut self, stored: &StoredOperator, claims: Claims<Operator>) -> Result<(), NatsError> {
        let public_key = PublicKey::new(&claims.registered.sub)?;
        let there = lookup::operator(self.draft.view());
        let facts = match there {
            Ok(facts) if facts.operator.public_key == public_key => facts,
            Ok(facts) => {
                return Err(NatsError::advised(
                    format!("this ledger has operator {} already, and a ledger has one", facts.operator.name),
                    "import the other operator into a ledger of its own",
                ));
            }
            Err(NatsError::NoOperator) => {
                self.create_operator(&claims, &public_key)?;
                lookup::operator(self.draft.view())?
            }
            Err(error) => return Err(error),
        };
        let operator_id = facts.operator.operator_id;
        for key in &claims.nats.signing_keys {
            let holder = NatsHolder::Operator(operator_id);
            self.signing_key(&PublicKey::new(key)?, NkeyKind::Operator, holder, None, ISSUING)?;
        }
        self.warn(&format!("operator {}", stored.name), check_operator(&claims));
        let signer = facts.operator.public_key.clone();
        let path = format!("{}.jwt", stored.name);
        if claims.registered.iss != signer.as_str() && !claims.nats.signing_keys.contains(&claims.registered.iss) {
            self.skip(stored, &path, "its token is signed by none of its keys");
        } else {
            let about = NatsParty::Operator(operator_id);
            self.token(stored, &path, about, JwtKind::Operator, facts.token.as_ref(), &claims, &stored.token)?;
        }
        for account in &stored.accounts {
            self.account(stored, operator_id, &claims, account)?;
        }
        Ok(())
    }

    fn create_operator(&mut self, claims: &Claims<Operator>, public_key: &PublicKey) -> Result<(), NatsError> {
        let key = self.key(public_key, NkeyKind::Operator, KeyPurpose::NatsOperator, ROOT, None)?;
        let nats = &claims.nats;
        let system = (!nats.system_account.is_empty()).then(NatsAccountId::mint);
        self.draft.run(NatsCommand::CreateOperator(NatsOperatorCreated {
            operator_id: NatsOperatorId::mint(),
            name: Name::typed(&claims.registered.name)?,
            key_id: key.key_id,
            public_key: public_key.clone(),
            system_account_id: system,
            account_server_url: nats.account_server_url.parse::<Url>().ok(),
            service_urls: nats.operator_service_urls.iter().filter_map(|url| url.parse::<Url>().ok()).collect(),
            strict_signing_key_usage: nats.strict_signing_key_usage,
        }))
    }

    fn account(
        &mut self,
        operator: &StoredOperator,
        operator_id: NatsOperatorId,
        above: &Claims<Operator>,
        stored: &StoredAccount,
    ) -> Result<(), NatsError> {
        let path = format!("accounts/{0}/{0}.jwt", stored.name);
        let claims = match jwt::decode::<Account>(&stored.token) {
            Ok(claims) => claims,
            Err(error) => {
                self.skip(operator, &path, error);
                return Ok(());
            }
        };
        let issuer = &claims.registered.iss;
        if *issuer != above.registered.sub && !above.nats.signing_keys.contains(issuer) {
            self.skip(operator, &path, format!("its token is signed by {issuer}, which is no key of the operator"));
            return Ok(());
        }
        let public_key = PublicKey::new(&claims.registered.sub)?;
        let facts = match self.draft.by_public_key(Kind::Account, public_key.as_str())?.map(|there| there.facts) {
            Some(Facts::Account(facts)) => facts,
            _ => match self.create_account(operator_id, above, &claims, &public_key)? {
                Ok(facts) => facts,
                Err(reason) => {
                    self.skip(operator, &path, reason);
                    return Ok(());
                }
            },
        };
        self.report.accounts += 1;
        let holder = NatsHolder::Account(facts.account.account_id);
        for key in &claims.nats.signing_keys {
            let role = role_of(key)?;
            self.signing_key(&PublicKey::new(key.public_key())?, NkeyKind::Account, holder.clone(), role, ISSUING)?;
        }
        let xkey = &claims.nats.authorization.xkey;
        if !xkey.is_empty() {
            self.key(&PublicKey::new(xkey)?, NkeyKind::Curve, KeyPurpose::NatsServer, ISSUING, None)?;
        }
        self.warn(&format!("account {}", stored.name), check_account(&claims));
        let about = NatsParty::Account(facts.account.account_id);
        self.token(operator, &path, about, JwtKind::Account, facts.token.as_ref(), &claims, &stored.token)?;
        for (name, token) in &stored.users {
            self.user(operator, &facts, &claims, (&stored.name, name, token))?;
        }
        Ok(())
    }

    fn create_account(
        &mut self,
        operator_id: NatsOperatorId,
        above: &Claims<Operator>,
        claims: &Claims<Account>,
        public_key: &PublicKey,
    ) -> Result<Result<AccountFacts, String>, NatsError> {
        let name = match Name::typed(&claims.registered.name) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Ok(other) = lookup::account(self.draft.view(), name.as_str()) {
            return Ok(Err(format!("the ledger has an account {} with another key", other.account.name)));
        }
        let operator = lookup::operator(self.draft.view())?.operator;
        let system = above.nats.system_account == claims.registered.sub;
        let account_id = match operator.system_account_id.filter(|_| system) {
            Some(id) => id,
            None => NatsAccountId::mint(),
        };
        let key = self.key(public_key, NkeyKind::Account, KeyPurpose::NatsAccount, ISSUING, None)?;
        let description = Note::typed(&claims.nats.info.description).ok();
        let account = NatsAccountCreated {
            account_id,
            operator_id,
            name,
            key_id: key.key_id,
            public_key: public_key.clone(),
            description,
            system,
        };
        self.draft.run(NatsCommand::CreateAccount(account.clone()))?;
        Ok(Ok(AccountFacts { account, token: None, pushed: None, deletion: None }))
    }

    fn user(
        &mut self,
        operator: &StoredOperator,
        account: &AccountFacts,
        above: &Claims<Account>,
        (account_name, user_name, token): (&str, &str, &str),
    ) -> Result<(), NatsError> {
        let path = format!("accounts/{account_name}/users/{user_name}.jwt");
        let claims = match jwt::decode::<User>(token) {
            Ok(claims) => claims,
            Err(error) => {
                self.skip(operator, &path, error);
                return Ok(());
            }
        };
        let issuer = &claims.registered.iss;
        let signed_by = match above.nats.signing_keys.iter().find(|key| key.public_key() == issuer) {
            Some(SigningKey::Scoped(_)) => SignedBy::ScopedKey,
            Some(SigningKey::Plain(_)) => SignedBy::SigningKey,
            None if *issuer == above.registered.sub => SignedBy::Identity,
            None => {
                self.skip(operator, &path, format!("its token is signed by {issuer}, which is no key of the account"));
                return Ok(());
            }
        };
        let public_key = PublicKey::new(&claims.registered.sub)?;
        let creds = format!("{account_name}/{user_name}");
        let there = self.draft.by_public_key(Kind::User, public_key.as_str())?.map(|there| there.facts);
        let (user, before, cut_off) = match there {
            Some(Facts::User(facts)) => (facts.user, facts.token, facts.revoked_at.is_some()),
            _ => {
                let name = match Name::typed(&claims.registered.name) {
                    Ok(name) => name,
                    Err(error) => {
                        self.skip(operator, &path, error);
                        return Ok(());
                    }
                };
                let named = format!("{}/{}", account.account.public_key, name);
                if let Ok((_, other)) = lookup::user(self.draft.view(), &named) {
                    let reason = format!("the account has a user {} with another key", other.user.name);
                    self.skip(operator, &path, reason);
                    return Ok(());
                }
                let key = self.key(&public_key, NkeyKind::User, KeyPurpose::NatsUser, ISSUING, Some(&creds))?;
                let user = NatsUserCreated {
                    user_id: NatsUserId::mint(),
                    account_id: account.account.account_id,
                    name,
                    key_id: key.key_id,
                    public_key,
                    owner: None,
                    bearer: claims.nats.permissions.bearer_token,
                    expires_at: (claims.registered.exp > 0).then(|| second(claims.registered.exp)).flatten(),
                };
                self.draft.run(NatsCommand::CreateUser(user.clone()))?;
                (user, None, false)
            }
        };
        self.report.users += 1;
        self.warn(&format!("user {creds}"), check_user(&claims, signed_by));
        if cut_off {
            return Ok(());
        }
        let about = NatsParty::User(user.user_id);
        self.token(operator, &path, about, JwtKind::User, before.as_ref(), &claims, token)?;
        let revocations = &above.nats.revocations;
        let until = [user.public_key.as_str(), "*"].into_iter().filter_map(|key| revocations.get(key)).max();
        if let Some(until) = until.copied().filter(|until| *until >= claims.registered.iat) {
            let reason = Note::typed("the account's token that nsc had revokes the user")?;
            record_revocation_until(self.draft, &user, until, &reason)?;
        }
        Ok(())
    }

    /// A key pair; its secret is taken out of the keyring, or out of a user's credentials.
    fn key(
        &mut self,
        public: &PublicKey,
        kind: NkeyKind,
        purpose: KeyPurpose,
        compartment: &str,
        creds: Option<&str>,
    ) -> Result<Made, NatsError> {
        let known = self.draft.by_public_key(Kind::Key, public.as_str())?.is_some();
        let secret = if known { None } else { self.secret(public, creds) };
        match &secret {
            Some(_) => self.report.seeds += 1,
            None if !known => self.report.without_seed.push(public.to_string()),
            None => {}
        }
        self.draft.take_key(KeyId::mint(), public, kind, purpose, compartment, secret, &self.origin)
    }

    fn secret(&mut self, public: &PublicKey, creds: Option<&str>) -> Option<SecretBytes> {
        let skipped = &mut self.report.skipped;
        let found = self.keyring.secret(public.as_str(), skipped);
        found.or_else(|| self.keyring.secret_in_creds(creds?, public.as_str(), skipped))
    }

    fn signing_key(
        &mut self,
        public_key: &PublicKey,
        kind: NkeyKind,
        holder: NatsHolder,
        role: Option<Name>,
        compartment: &str,
    ) -> Result<(), NatsError> {
        self.report.signing_keys += 1;
        if self.draft.by_public_key(Kind::SigningKey, public_key.as_str())?.is_some() {
            return Ok(());
        }
        let key = self.key(public_key, kind, KeyPurpose::NatsSigning, compartment, None)?;
        let sealed = !self.report.without_seed.iter().any(|key| key == public_key.as_str());
        let compartment = sealed.then(|| Label::new(compartment)).transpose()?;
        let (key_id, public_key) = (key.key_id, public_key.clone());
        self.draft.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
            key_id,
            holder,
            public_key,
            role,
            compartment,
        }))
    }

    /// Keeps a token, unless it or a newer one is recorded.
    #[allow(clippy::too_many_arguments)] // what a token is, where it came from, and what was before
    fn token<B: crate::nats::claims::Body>(
        &mut self,
        operator: &StoredOperator,
        path: &str,
        about: NatsParty,
        kind: JwtKind,
        before: Option<&TokenFacts>,
        claims: &Claims<B>,
        token: &str,
    ) -> Result<(), NatsError> {
        let issued_at = u64::try_from(claims.registered.iat).unwrap_or_default();
        if let Some(before) = before {
            let same = before.issued_at == issued_at && before.jti.as_str() == claims.registered.jti;
            if !same && issued_at <= before.issued_at {
                self.skip(operator, path, "the ledger has a newer token");
            }
            if same || issued_at <= before.issued_at {
                return Ok(());
            }
        }
        let issuer = PublicKey::new(&claims.registered.iss)?;
        let Some(Facts::Key(key)) = self.draft.by_public_key(Kind::Key, issuer.as_str())?.map(|key| key.facts) else {
            self.skip(operator, path, format!("its issuer {issuer} is not recorded"));
            return Ok(());
        };
        let signer = Made { key_id: key.key_id, public_key: issuer };
        self.draft.keep(about, kind, claims, &signer, token.to_owned())
    }

    fn skip(&mut self, operator: &StoredOperator, path: &str, reason: impl ToString) {
        let path = self.home.operator_folder(&operator.name).join(path);
        self.report.skipped.push(Skipped::new(&path, reason));
    }

    fn warn(&mut self, what: &str, findings: Vec<crate::nats::check::Finding>) {
        self.report.warnings.extend(findings.into_iter().map(|finding| format!("{what}: {finding}")));
    }
}

/// All public keys that an operator's tokens refer to.
fn references(stored: &StoredOperator) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    if let Ok(claims) = jwt::decode::<Operator>(&stored.token) {
        keys.insert(claims.registered.sub);
        keys.extend(claims.nats.signing_keys);
    }
    for account in &stored.accounts {
        if let Ok(claims) = jwt::decode::<Account>(&account.token) {
            keys.insert(claims.registered.sub);
            keys.extend(claims.nats.signing_keys.iter().map(|key| key.public_key().to_owned()));
            keys.insert(claims.nats.authorization.xkey);
        }
        keys.extend(
            account.users.iter().filter_map(|(_, token)| jwt::decode::<User>(token).ok()).map(|c| c.registered.sub),
        );
    }
    keys
}

/// The role under which a signing key is known: that of its scope, or, where that has no name, the key itself.
fn role_of(key: &SigningKey) -> Result<Option<Name>, NatsError> {
    Ok(match key {
        SigningKey::Plain(_) => None,
        SigningKey::Scoped(scope) => Some(Name::typed(&scope.role).or_else(|_| Name::new(&scope.key))?),
    })
}

fn second(at: i64) -> Option<Timestamp> {
    Timestamp::from_unix_micros(at.saturating_mul(1_000_000))
}
