//! The signed request that makes servers delete an account: signed when the ledger deletes it, and kept as tokens are.
//!
//! It is a credential. Servers take it from any key of the operator that they trust, at any time: whoever has it can use it
//! again, and it does nothing but end, once more, what has ended.

use super::draft::NatsDraft;
use super::error::NatsError;
use super::lookup;
use super::signing::Purpose;
use crate::events::{JwtKind, NatsHolder, NatsParty};
use crate::ledger::{AccountFacts, Entity, EntityRef, Facts, Kind, TokenFacts, View};
use crate::nats::claims::{Claims, GenericBody, Registered};
use crate::text::PublicKey;

/// An account that is deleted, and the request that makes servers delete it.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// Its name.
    pub name: String,
    /// Its public key (`A…`).
    pub public_key: PublicKey,
    /// The newest request.
    pub request: TokenFacts,
}

/// Finds an account that is deleted, by its name or public key.
///
/// # Errors
/// When there is none, it is not deleted, or nobody has signed the request.
pub fn find(view: &dyn View, text: &str) -> Result<Deleted, NatsError> {
    let AccountFacts { account, deletion, .. } = lookup::account(view, text)?;
    let name = account.name.to_string();
    match deletion {
        Some(request) => Ok(Deleted { name, public_key: account.public_key, request }),
        None if view.get(account.account_id.into())?.is_some_and(|entity| entity.is_active()) => {
            Err(NatsError::NotDeleted(name))
        }
        None => Err(NatsError::NoDeletion(name)),
    }
}

/// Signs the request for an account that is deleted, by the key that signs accounts. Nothing happens where one is there that
/// a key of the operator has signed which is still in use.
pub(super) fn request(draft: &mut NatsDraft<'_, '_>, facts: &AccountFacts) -> Result<(), NatsError> {
    let operator = lookup::operator(draft.view())?.operator;
    if let Some(TokenFacts { issuer, .. }) = &facts.deletion
        && (*issuer == operator.public_key || is_active(draft.view(), EntityRef::from(operator.operator_id), issuer)?)
    {
        return Ok(());
    }
    let signer = draft.signer(&NatsHolder::Operator(operator.operator_id), None)?;
    let account = &facts.account;
    // The account's key as the name: two requests of one second are two tokens.
    let (sub, name) = (signer.public_key.to_string(), account.public_key.to_string());
    let iat = i64::try_from(draft.now()).unwrap_or(i64::MAX);
    let mut nats = GenericBody::default();
    nats.fields.insert("accounts".to_owned(), vec![name.clone()].into());
    let claims = Claims { registered: Registered { sub, name, iat, ..Registered::default() }, nats };
    let about = NatsParty::Account(account.account_id);
    let token = draft.unsigned(about, JwtKind::Generic, claims, &signer, Purpose::Delete)?;
    draft.sign_tokens(vec![token])
}

fn is_active(view: &dyn View, operator: EntityRef, key: &PublicKey) -> Result<bool, NatsError> {
    let keys = lookup::members(view, operator, Kind::SigningKey)?;
    let mut active = keys.into_iter().filter(Entity::is_active);
    Ok(active.any(|entity| matches!(entity.facts, Facts::SigningKey(facts) if facts.public_key == *key)))
}
