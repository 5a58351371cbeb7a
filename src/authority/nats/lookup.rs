//! Finding operators, accounts, users and signing keys by what people type, and what is recorded of their claims.

use super::error::NatsError;
use crate::events::{NatsHolder, NatsSigningKeyGenerated};
use crate::ledger::lookup::near;
use crate::ledger::{
    AccountFacts, Entity, EntityRef, Facts, Index, Kind, NameKey, OperatorFacts, TokenFacts, UserFacts, View,
};
use crate::nats::claims::{Account, Body, Claims, Operator, User};
use crate::text::{Name, visible};

/// The ledger's operator: a ledger has one.
///
/// # Errors
/// When there is none yet.
pub fn operator(view: &dyn View) -> Result<OperatorFacts, NatsError> {
    match view.all(Kind::Operator).active().next().transpose()?.map(|entity| entity.facts) {
        Some(Facts::Operator(facts)) => Ok(facts),
        _ => Err(NatsError::NoOperator),
    }
}

/// An account, by its name without regard to case, or by its public key.
///
/// # Errors
/// When there is none.
pub fn account(view: &dyn View, text: &str) -> Result<AccountFacts, NatsError> {
    let operator = operator(view)?.operator.operator_id;
    let found = find(view, Kind::Account, *operator.as_uuid(), text)?;
    match found.map(|entity| entity.facts) {
        Some(Facts::Account(facts)) => Ok(facts),
        _ => {
            let near = near(view.all_referring(operator.into(), Kind::Account), text)?;
            Err(NatsError::NotFound { kind: Kind::Account, text: text.to_owned(), near })
        }
    }
}

/// One account, or all active ones.
///
/// # Errors
/// When there is none of that name, or the ledger can't be read.
pub fn accounts(view: &dyn View, only: Option<&str>) -> Result<Vec<AccountFacts>, NatsError> {
    if let Some(text) = only {
        return Ok(vec![account(view, text)?]);
    }
    let all = members(view, operator(view)?.operator.operator_id.into(), Kind::Account)?;
    let active = all.into_iter().filter(Entity::is_active);
    Ok(active.filter_map(|entity| if let Facts::Account(facts) = entity.facts { Some(facts) } else { None }).collect())
}

/// A user with its account: `ACCOUNT/USER`, or the user's public key. One that is revoked is found when no other bears
/// the name.
///
/// # Errors
/// When there is none.
pub fn user(view: &dyn View, text: &str) -> Result<(AccountFacts, UserFacts), NatsError> {
    let not_found = |near| NatsError::NotFound { kind: Kind::User, text: text.to_owned(), near };
    let mut alike = None;
    let found = match text.split_once('/') {
        Some((account_text, name)) => {
            let account = account(view, account_text)?;
            let found = find(view, Kind::User, *account.account.account_id.as_uuid(), name)?;
            if found.is_none() {
                let near = near(view.all_referring(account.account.account_id.into(), Kind::User), name)?;
                alike = near.map(|near| format!("{}/{near}", account.account.name));
            }
            found
        }
        None if text.starts_with('U') && text.len() == 56 => by_key(view, Kind::User, text)?,
        None => return Err(NatsError::UserWithoutAccount(text.to_owned())),
    };
    let Some(Facts::User(user)) = found.map(|entity| entity.facts) else { return Err(not_found(alike)) };
    match view.get(user.user.account_id.into())?.map(|entity| entity.facts) {
        Some(Facts::Account(account)) => Ok((account, user)),
        _ => Err(not_found(None)),
    }
}

fn find(view: &dyn View, kind: Kind, scope: uuid::Uuid, text: &str) -> Result<Option<Entity>, NatsError> {
    if text.len() == 56
        && let Some(found) = by_key(view, kind, text)?
    {
        return Ok(Some(found));
    }
    let Ok(name) = Name::typed(text) else { return Ok(None) };
    let key = NameKey { kind, index: Index::Name, scope: Some(scope), key: name.folded() };
    Ok(view.find(&key, 1)?.pop())
}

fn by_key(view: &dyn View, kind: Kind, text: &str) -> Result<Option<Entity>, NatsError> {
    let key = NameKey { kind, index: Index::PublicKey, scope: None, key: text.to_owned() };
    Ok(view.find(&key, 1)?.pop())
}

/// All entities of a kind that refer to one, ended ones too.
///
/// # Errors
/// When the ledger can't be read.
pub fn members(view: &dyn View, of: EntityRef, kind: Kind) -> Result<Vec<Entity>, NatsError> {
    Ok(view.all_referring(of, kind).collect::<Result<_, _>>()?)
}

/// The active signing keys of an operator or account, the oldest first.
///
/// # Errors
/// When the ledger can't be read.
pub fn signing_keys(view: &dyn View, holder: &NatsHolder) -> Result<Vec<NatsSigningKeyGenerated>, NatsError> {
    let keys = members(view, EntityRef::holder(holder), Kind::SigningKey)?;
    let active = keys.into_iter().filter(Entity::is_active);
    Ok(active.filter_map(|key| if let Facts::SigningKey(key) = key.facts { Some(key) } else { None }).collect())
}

/// The recorded claims of an operator.
///
/// # Errors
/// When it has no token, or its claims cannot be parsed.
pub fn operator_claims(facts: &OperatorFacts) -> Result<Claims<Operator>, NatsError> {
    let token = facts.token.as_ref().ok_or_else(|| NatsError::NoToken(facts.operator.name.to_string()))?;
    read_claims(facts.operator.name.as_str(), token)
}

/// The recorded claims of an account.
///
/// # Errors
/// When it has no token, or its claims cannot be parsed.
pub fn account_claims(facts: &AccountFacts) -> Result<Claims<Account>, NatsError> {
    let token = facts.token.as_ref().ok_or_else(|| NatsError::NoToken(facts.account.name.to_string()))?;
    read_claims(facts.account.name.as_str(), token)
}

/// The recorded claims of a user.
///
/// # Errors
/// When it has no token, or its claims cannot be parsed.
pub fn user_claims(facts: &UserFacts) -> Result<Claims<User>, NatsError> {
    let token = facts.token.as_ref().ok_or_else(|| NatsError::NoToken(facts.user.name.to_string()))?;
    read_claims(facts.user.name.as_str(), token)
}

/// The claims of a recorded token.
pub(super) fn read_claims<B: Body>(what: &str, token: &TokenFacts) -> Result<Claims<B>, NatsError> {
    let mut claims: Claims<B> = serde_json::from_str(token.claims.as_str())
        .map_err(|source| NatsError::Recorded { what: visible(what).into_owned(), source })?;
    // Events from before the first release held the texts of activations.
    claims.nats.take_texts();
    Ok(claims)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::nats::claims::ImportToken;
    use crate::text::{Document, Label, PublicKey};

    #[test]
    fn claims_that_hold_the_text_of_an_activation_are_read_as_its_reference() {
        let imports = r#"[{"subject":"a","account":"A","token":"an.old.text","type":"stream"}]"#;
        let token = TokenFacts {
            jti: Label::new("J").unwrap(),
            issued_at: 1,
            expires_at: None,
            issuer: PublicKey::new(&nkeys::KeyPair::new_operator().public_key()).unwrap(),
            claims: Document::new(&format!(r#"{{"sub":"A","nats":{{"imports":{imports}}}}}"#)).unwrap(),
            signed: None,
        };
        let claims: Claims<Account> = read_claims("A", &token).unwrap();
        let ImportToken::Reference(reference) = &claims.nats.imports[0].token else { panic!("{claims:?}") };
        assert_eq!(reference.cid, crate::ipld_support::cid_of_blob(b"an.old.text"));
        assert!(!serde_json::to_string(&claims).unwrap().contains("an.old.text"));
    }
}
