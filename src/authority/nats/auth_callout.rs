//! External authorization (auth callout): a service decides who may connect to an account.

use super::accounts;
use super::draft::NatsDraft;
use super::error::NatsError;
use crate::advice::Action;
use crate::custody::ISSUING;
use crate::events::{NkeyKind, RevocationReason};
use crate::ledger::{AccountFacts, Command, Facts, Index, Kind, NameKey, View};
use crate::text::Note;

/// The key that requests to the service are encrypted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Xkey {
    /// A key of the ledger's own custody: made when there is none, else kept.
    Generated,
    /// A key that is kept elsewhere: its public half (`X…`).
    Known(String),
    /// None: requests are not encrypted.
    None,
}

/// Sets what an account's external authorization says. Users are public keys, accounts too, or `*` for all.
///
/// # Errors
/// See [`NatsError`].
pub fn set(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    users: Option<&[String]>,
    allowed: Option<&[String]>,
    xkey: Option<&Xkey>,
) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let authorization = &mut claims.nats.authorization;
    if let Some(users) = users {
        authorization.auth_users = users.to_vec();
    }
    if let Some(allowed) = allowed {
        authorization.allowed_accounts = allowed.to_vec();
    }
    match xkey {
        None => {}
        Some(Xkey::None) => authorization.xkey.clear(),
        Some(Xkey::Known(key)) => authorization.xkey.clone_from(key),
        Some(Xkey::Generated) if is_ours(draft.view(), &authorization.xkey)? => {}
        Some(Xkey::Generated) => {
            authorization.xkey = draft.make_key(NkeyKind::Curve, ISSUING)?.public_key.to_string();
        }
    }
    accounts::put(draft, account, claims)
}

/// Whether a key's private half is in this ledger's custody.
pub(crate) fn is_ours(view: &dyn View, key: &str) -> Result<bool, NatsError> {
    Ok(!key.is_empty() && find(view, key)?.is_some())
}

fn find(view: &dyn View, key: &str) -> Result<Option<crate::ledger::KeyFacts>, NatsError> {
    let key = NameKey { kind: Kind::Key, index: Index::PublicKey, scope: None, key: key.to_owned() };
    let found = view.find(&key, 1)?.pop().filter(crate::ledger::Entity::is_active);
    Ok(found.and_then(|entity| match entity.facts {
        Facts::Key(facts) if facts.compartment.is_some() => Some(facts),
        _ => None,
    }))
}

/// Gives an account a new encryption key; servers use it as soon as they have the account's new token, so the service must
/// hold both until then.
///
/// # Errors
/// See [`NatsError`].
pub fn rotate_xkey(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, reason: &Note) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    if claims.nats.authorization.xkey.is_empty() {
        let account = account.account.name.to_string();
        return Err(NatsError::act(
            format!("account {account} has no encryption key to replace"),
            Action::AddCalloutKey { account },
            "makes one",
        ));
    }
    let old = find(draft.view(), &claims.nats.authorization.xkey)?;
    claims.nats.authorization.xkey = draft.make_key(NkeyKind::Curve, ISSUING)?.public_key.to_string();
    if let Some(old) = old {
        draft.run_any(Command::RevokeKey {
            key_id: old.key_id,
            reason: RevocationReason::Superseded,
            note: Some(reason.clone()),
            invalid_since: None,
        })?;
    }
    accounts::put(draft, account, claims)
}
