//! Signing keys of accounts: plain ones, and roles with a template.

use super::lookup;
use super::work::{Made, NatsError, Work};
use super::{accounts, users};
use crate::custody::ISSUING;
use crate::events::{NatsHolder, NatsSigningKeyGenerated, NatsSigningKeyRetired, NkeyKind};
use crate::ids::KeyId;
use crate::ledger::{AccountFacts, Entity, Facts, Kind, NatsCommand};
use crate::nats::claims::{SigningKey, UserPermissions, UserScope};
use crate::text::{Label, Name, Note};

/// A signing key to be made.
#[derive(Debug, Clone)]
pub struct NewSigningKey {
    /// The role's name, for a scoped key.
    pub role: Option<Name>,
    /// What the role's users may do.
    pub template: UserPermissions,
    /// What the role is for.
    pub description: String,
    /// The custody compartment; `issuing` when absent.
    pub compartment: Option<Label>,
}

/// Gives an account a signing key, and signs the account anew.
///
/// # Errors
/// See [`NatsError`].
pub fn add(work: &mut Work<'_, '_>, account: &AccountFacts, new: NewSigningKey) -> Result<(), NatsError> {
    let compartment = new.compartment.as_ref().map_or(ISSUING, Label::as_str);
    let made = make(work, account, new.role.clone(), compartment)?;
    let key = match new.role {
        None => SigningKey::Plain(made.public_key.to_string()),
        Some(role) => SigningKey::Scoped(Box::new(UserScope::new(
            made.public_key.as_str(),
            role.as_str(),
            new.template,
            &new.description,
        ))),
    };
    accounts::edit(work, account, &|_| {}, &|claims| claims.signing_keys.push(key.clone()))
}

fn make(
    work: &mut Work<'_, '_>,
    account: &AccountFacts,
    role: Option<Name>,
    compartment: &str,
) -> Result<Made, NatsError> {
    let made = work.make_key(NkeyKind::Account, compartment)?;
    work.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
        key_id: made.key_id,
        holder: NatsHolder::Account(account.account.account_id),
        public_key: made.public_key.clone(),
        role,
        compartment: Some(Label::new(compartment)?),
    }))?;
    Ok(made)
}

/// An active signing key of an account, by its role without regard to case, or by its public key.
///
/// # Errors
/// When there is none.
pub fn find(work: &Work<'_, '_>, account: &AccountFacts, text: &str) -> Result<NatsSigningKeyGenerated, NatsError> {
    let keys = lookup::members(work.view(), account.account.account_id.into(), Kind::SigningKey)?;
    keys.into_iter()
        .filter(Entity::is_active)
        .filter_map(|key| if let Facts::SigningKey(key) = key.facts { Some(key) } else { None })
        .find(|key| {
            key.public_key.as_str() == text
                || key.role.as_ref().is_some_and(|role| role.as_str().eq_ignore_ascii_case(text))
        })
        .ok_or_else(|| NatsError::NotFound { kind: Kind::SigningKey, noun: "signing-key", text: text.to_owned() })
}

/// Replaces a signing key by a new one with the same role, and signs the account and the key's users anew. Servers cut off
/// whoever still comes with a token of the old key once the account is pushed.
///
/// # Errors
/// See [`NatsError`].
pub fn rotate(
    work: &mut Work<'_, '_>,
    account: &AccountFacts,
    old: &NatsSigningKeyGenerated,
    reason: &Note,
) -> Result<KeyId, NatsError> {
    let mut signed = Vec::new();
    for user in lookup::members(work.view(), account.account.account_id.into(), Kind::User)? {
        if let (true, Facts::User(user)) = (user.is_active(), user.facts)
            && user.token.as_ref().is_some_and(|token| token.issuer == old.public_key)
        {
            signed.push(user);
        }
    }
    record_retirement(work, old, None, reason)?;
    let made = make(work, account, old.role.clone(), old.compartment.as_ref().map_or(ISSUING, Label::as_str))?;
    accounts::edit(work, account, &|_| {}, &|claims| {
        for key in &mut claims.signing_keys {
            if key.public_key() == old.public_key.as_str() {
                match key {
                    SigningKey::Plain(key) => *key = made.public_key.to_string(),
                    SigningKey::Scoped(scope) => scope.key = made.public_key.to_string(),
                }
            }
        }
    })?;
    let account = lookup::account(work.view(), account.account.public_key.as_str())?;
    for user in signed {
        users::reissue(work, &account, &user, &made)?;
    }
    Ok(made.key_id)
}

/// Takes a signing key out of use, and signs the account anew. Its users are cut off once the account is pushed.
///
/// # Errors
/// See [`NatsError`].
pub fn retire(
    work: &mut Work<'_, '_>,
    account: &AccountFacts,
    key: &NatsSigningKeyGenerated,
    reason: &Note,
) -> Result<(), NatsError> {
    record_retirement(work, key, None, reason)?;
    accounts::edit(work, account, &|_| {}, &|claims| {
        claims.signing_keys.retain(|known| known.public_key() != key.public_key.as_str());
    })
}

/// Records that a signing key is out of use; the account's claims are the caller's to change.
pub(super) fn record_retirement(
    work: &mut Work<'_, '_>,
    key: &NatsSigningKeyGenerated,
    successor_id: Option<KeyId>,
    reason: &Note,
) -> Result<(), NatsError> {
    work.run(NatsCommand::RetireSigningKey(NatsSigningKeyRetired {
        key_id: key.key_id,
        holder: key.holder.clone(),
        public_key: key.public_key.clone(),
        successor_id,
        reason: reason.clone(),
    }))
}
