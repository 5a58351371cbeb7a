//! What an account's claims revoke: users by key, or everybody, up to a second of issue.

use super::accounts;
use super::draft::NatsDraft;
use super::error::NatsError;
use crate::advice::Action;
use crate::ledger::{AccountFacts, Facts, Index, Kind, NameKey, View};
use crate::nats::jwt;

/// One revocation of an account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Revocation {
    /// The account's name.
    pub account: String,
    /// The user's public key, or `*` for everybody.
    pub public_key: String,
    /// The user's name, where the key is still a user's of this ledger.
    pub user: Option<String>,
    /// Whatever was issued up to this second of the Unix epoch is refused.
    pub revoked_at: i64,
}

/// What an account revokes.
///
/// # Errors
/// When it has no token, or the ledger can't be read.
pub fn list(view: &dyn View, account: &AccountFacts) -> Result<Vec<Revocation>, NatsError> {
    let name = |key: &str| -> Result<Option<String>, NatsError> {
        let key = NameKey { kind: Kind::User, index: Index::PublicKey, scope: None, key: key.to_owned() };
        let found = view.find(&key, 1)?.pop().map(|entity| entity.facts);
        Ok(if let Some(Facts::User(user)) = found { Some(user.user.name.to_string()) } else { None })
    };
    let one = |(key, at): (String, i64)| {
        let (account, user) = (account.account.name.to_string(), name(&key)?);
        Ok(Revocation { account, public_key: key, user, revoked_at: at })
    };
    accounts::claims(account)?.nats.revocations.into_iter().map(one).collect()
}

/// Refuses what was issued to a user's key, or with `*` to everybody, up to now. For users of this ledger
/// [`super::users::revoke`] says more.
///
/// # Errors
/// See [`NatsError`].
pub fn add(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, key: &str) -> Result<(), NatsError> {
    if key != "*" && !jwt::is_public_key(key, &['U']) {
        let shown = crate::text::visible(key);
        return Err(NatsError::Usage(format!("\"{shown}\" is no user's public key (U…), and not * for all users")));
    }
    let now = i64::try_from(draft.now()).unwrap_or(i64::MAX);
    accounts::edit(draft, account, &|_| {}, &|claims| {
        let until = claims.revocations.entry(key.to_owned()).or_default();
        *until = now.max(*until);
    })
}

/// Takes revocations back: tokens that were revoked by them are good again.
///
/// # Errors
/// See [`NatsError`]; also when a key is not revoked.
pub fn clear(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, keys: &[String]) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    for key in keys {
        if claims.nats.revocations.remove(key).is_none() {
            let account = account.account.name.to_string();
            return Err(NatsError::act(
                format!("account {account} revokes nothing of \"{}\"", crate::text::visible(key)),
                Action::ListOf { what: "revocation", account: account.into() },
                "shows its revocations",
            ));
        }
    }
    accounts::put(draft, account, claims)
}
