//! Keys that were replaced with an overlap: until when they are good, and how they end.
//!
//! A server takes a revocation at once, whatever time stands in it, and a token that is out has the expiry that it was made
//! with. So an overlap is kept here: the ledger remembers when the old key is to end, and ends it then.

use super::draft::NatsDraft;
use super::endings::{record_retirement, revocation_second};
use super::error::NatsError;
use super::{account_edits, lookup, operators, signing_keys};
use crate::events::{KeyPurpose, NatsHolder, NatsSigningKeyGenerated, RevocationReason};
use crate::ledger::{AccountFacts, Command, EntityRef, Facts, How, KeyFacts, Kind, UserFacts, View};
use crate::text::Note;
use crate::time::Timestamp;

/// What an old key still lets in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Old {
    /// A user comes with it.
    User(Box<AccountFacts>, Box<UserFacts>),
    /// Users, or accounts, are signed by it.
    SigningKey(Box<NatsSigningKeyGenerated>),
}

/// A key that was replaced, and is good until it is retired.
#[derive(Debug, Clone)]
pub struct Due {
    /// The old key.
    pub key: KeyFacts,
    /// When it is to end.
    pub retire_at: Timestamp,
    /// What it still lets in.
    pub old: Old,
}

/// All keys that still have to end, the most urgent first.
///
/// # Errors
/// When the ledger can't be read.
pub fn scheduled(view: &dyn View) -> Result<Vec<Due>, NatsError> {
    let mut found = Vec::new();
    for entity in view.all(Kind::Key) {
        let entity = entity?;
        let rotated = entity.ended.as_ref().is_some_and(|ended| ended.how == How::Rotated);
        let Facts::Key(key) = entity.facts else { continue };
        let Some(retire_at) = key.retire_at.filter(|_| rotated) else { continue };
        if let Some(old) = old(view, &key)? {
            found.push(Due { key, retire_at, old });
        }
    }
    found.sort_by_key(|due| due.retire_at);
    Ok(found)
}

fn old(view: &dyn View, key: &KeyFacts) -> Result<Option<Old>, NatsError> {
    if let Some(entity) = view.get(EntityRef::signing_key(key.key_id))? {
        return Ok(match entity.facts {
            Facts::SigningKey(ref facts) if entity.is_active() => Some(Old::SigningKey(Box::new(facts.clone()))),
            _ => None,
        });
    }
    if key.purpose != KeyPurpose::NatsUser {
        return Ok(None);
    }
    // Its successor may have been replaced as well; the last one is what the user has now.
    let mut successor = key.successor_id;
    while let Some(id) = successor {
        let Some(Facts::Key(next)) = view.get(id.into())?.map(|entity| entity.facts) else { return Ok(None) };
        match lookup::user(view, next.public_key.as_str()) {
            Ok((account, user)) => return Ok(Some(Old::User(Box::new(account), Box::new(user)))),
            Err(_) => successor = next.successor_id,
        }
    }
    Ok(None)
}

/// Ends every key whose time has come, and signs what they let in anew. Says which.
///
/// # Errors
/// See [`NatsError`].
pub fn end(draft: &mut NatsDraft<'_, '_>, reason: &Note) -> Result<Vec<Due>, NatsError> {
    let now = i64::try_from(draft.now()).unwrap_or(i64::MAX);
    let mut due = scheduled(draft.view())?;
    due.retain(|due| due.retire_at.unix_micros().div_euclid(1_000_000) <= now);
    for one in &due {
        match &one.old {
            Old::User(account, user) => {
                revoke_key(draft, &one.key, reason)?;
                let (until, key) = (revocation_second(draft, user), one.key.public_key.to_string());
                let account = lookup::account(draft.view(), account.account.public_key.as_str())?;
                account_edits::edit(draft, &account, &|_| {}, &|claims| {
                    claims.revocations.insert(key.clone(), until);
                })?;
            }
            Old::SigningKey(key) => match &key.holder {
                NatsHolder::Operator(_) => {
                    record_retirement(draft, key, one.key.successor_id, reason)?;
                    operators::edit(draft, &|_| {}, &|_| {})?;
                }
                NatsHolder::Account(id) => {
                    if let Some(Facts::Account(account)) = draft.view().get((*id).into())?.map(|entity| entity.facts) {
                        signing_keys::retire(draft, &account, key, one.key.successor_id, reason)?;
                    }
                }
            },
        }
    }
    Ok(due)
}

fn revoke_key(draft: &mut NatsDraft<'_, '_>, key: &KeyFacts, reason: &Note) -> Result<(), NatsError> {
    draft.run_any(Command::RevokeKey {
        key_id: key.key_id,
        reason: RevocationReason::Superseded,
        note: Some(reason.clone()),
        invalid_since: None,
    })
}
