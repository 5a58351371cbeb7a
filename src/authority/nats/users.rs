//! Users: made, edited, rotated, cut off.

use std::collections::BTreeMap;

use super::draft::{Made, NatsDraft};
use super::endings::{record_revocation, record_successor, revocation_second};
use super::error::NatsError;
use super::{account_edits, lookup};
use crate::custody::ISSUING;
use crate::events::{NatsHolder, NatsUserCreated, NkeyKind, Party, RevocationReason};
use crate::ids::{KeyId, NatsAccountId, NatsUserId};
use crate::ledger::{AccountFacts, Command, Entity, EntityRef, Facts, Kind, NatsCommand, UserFacts};
use crate::nats::claims::{Claims, Registered, User, UserPermissions};
use crate::nats::presets::Preset;
use crate::text::{Name, Note};
use crate::time::Timestamp;

pub use super::lookup::user_claims as claims;

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its name.
    pub name: Name,
    /// The person or service that uses it.
    pub owner: Option<Party>,
    /// The role or public key of the signing key; the newest plain one, or the identity key, when absent.
    pub signing_key: Option<String>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// For how long a person's user is good when nothing else is said: people leave, and forget to say so.
pub const PERSON_LIFETIME_SECS: i64 = 365 * 24 * 60 * 60;

/// When a user ends by itself, when nobody says: never, but for those of a person and of some presets.
#[must_use]
pub fn default_expiry(draft: &NatsDraft<'_, '_>, owner: Option<&Party>, preset: Option<Preset>) -> Option<Timestamp> {
    let of_person = matches!(owner, Some(Party::Person(_))).then_some(PERSON_LIFETIME_SECS);
    let lifetime = preset.and_then(Preset::lifetime_secs).or(of_person)?;
    let at = i64::try_from(draft.now()).ok()?.checked_add(lifetime)?;
    Timestamp::from_unix_micros(at.checked_mul(1_000_000)?)
}

/// Makes a user: its key in compartment `issuing`, and its token. Everything is allowed, as far as the account goes,
/// until `edit` says otherwise; a user of a role gets the role's template and nothing else.
///
/// # Errors
/// See [`NatsError`].
pub fn add(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    id: NatsUserId,
    new: NewUser,
    edit: &dyn Fn(&mut User),
) -> Result<(), NatsError> {
    let signer = signer(draft, account, new.signing_key.as_deref())?;
    let key = draft.make_key(NkeyKind::User, ISSUING)?;
    let mut nats = User { permissions: base(draft, account, &signer)?, ..User::default() };
    edit(&mut nats);
    let user = NatsUserCreated {
        user_id: id,
        account_id: account.account.account_id,
        name: new.name,
        key_id: key.key_id,
        public_key: key.public_key,
        owner: new.owner,
        bearer: bearer(draft, account, &signer, &nats)?,
        expires_at: new.expires_at,
    };
    draft.run(NatsCommand::CreateUser(user))?;
    draft.issue_user(id, Claims { registered: expiring(new.expires_at), nats }, signer);
    Ok(())
}

/// Which key signs a user that is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignWith<'r> {
    /// The one that signed before, or its successor.
    AsBefore,
    /// The newest plain signing key, or the identity key.
    Plain,
    /// The newest key of a role, or the signing key of this public key.
    Role(&'r str),
}

/// Replaces a user's attributes and edits its claims. Nothing happens where nothing changes. A user that gets a role loses
/// permissions of its own, and one that loses its role may do everything until `edit` says otherwise.
///
/// # Errors
/// See [`NatsError`].
pub fn edit(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    facts: &UserFacts,
    sign: SignWith<'_>,
    attributes: &dyn Fn(&mut NatsUserCreated),
    edit: &dyn Fn(&mut User),
) -> Result<(), NatsError> {
    let before = draft.user_claims(facts)?;
    let mut facts = facts.clone();
    attributes(&mut facts.user);
    let mut claims = before.clone();
    let signer = match sign {
        SignWith::AsBefore => current_signer(draft, account, &before)?,
        SignWith::Plain => signer(draft, account, None)?,
        SignWith::Role(role) => signer(draft, account, Some(role))?,
    };
    if sign != SignWith::AsBefore && signer.public_key.as_str() != before.registered.iss {
        claims.nats.permissions = base(draft, account, &signer)?;
    }
    edit(&mut claims.nats);
    claims.registered.exp = expiring(facts.user.expires_at).exp;
    facts.user.bearer = bearer(draft, account, &signer, &claims.nats)?;
    update(draft, &facts.user)?;
    let same = claims.nats == before.nats
        && claims.registered.exp == before.registered.exp
        && (sign == SignWith::AsBefore || signer.public_key.as_str() == before.registered.iss);
    if same && before.registered.name == facts.user.name.as_str() {
        return Ok(());
    }
    draft.issue_user(facts.user.user_id, claims, signer);
    Ok(())
}

/// Gives a user a new key with the permissions of before; one that expires gets as long again as it had. The old key is
/// revoked at once, and the account signed anew, or it stays good until `overlap_until` (see [`due`](super::due)).
///
/// # Errors
/// See [`NatsError`].
pub fn rotate(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    facts: &UserFacts,
    overlap_until: Option<Timestamp>,
    reason: &Note,
) -> Result<(), NatsError> {
    let mut claims = draft.user_claims(facts)?;
    let signer = current_signer(draft, account, &claims)?;
    let (old_key, old_key_id) = (facts.user.public_key.clone(), facts.user.key_id);
    let key = draft.make_key(NkeyKind::User, ISSUING)?;
    let mut facts = facts.clone();
    (facts.user.key_id, facts.user.public_key) = (key.key_id, key.public_key);
    if claims.registered.exp > 0 {
        let lifetime = claims.registered.exp.saturating_sub(claims.registered.iat);
        claims.registered.exp = i64::try_from(draft.now()).unwrap_or(i64::MAX).saturating_add(lifetime);
        facts.user.expires_at = Timestamp::from_unix_micros(claims.registered.exp.saturating_mul(1_000_000));
    }
    update(draft, &facts.user)?;
    draft.issue_user(facts.user.user_id, claims, signer);
    if let Some(until) = overlap_until {
        return record_successor(draft, old_key_id, key.key_id, until);
    }
    draft.run_any(Command::RevokeKey {
        key_id: old_key_id,
        reason: RevocationReason::Superseded,
        note: Some(reason.clone()),
        invalid_since: None,
    })?;
    let until = revocation_second(draft, &facts);
    let account = lookup::account(draft.view(), account.account.public_key.as_str())?;
    account_edits::edit(draft, &account, &|_| {}, &|claims| {
        claims.revocations.insert(old_key.to_string(), until);
    })
}

/// Cuts a user off: the account's claims revoke every token that was issued to it up to now, and are signed anew.
///
/// # Errors
/// See [`NatsError`].
pub fn revoke(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    facts: &UserFacts,
    reason: &Note,
) -> Result<(), NatsError> {
    let until = record_revocation(draft, facts, reason)?;
    let key = facts.user.public_key.to_string();
    account_edits::edit(draft, account, &|_| {}, &|claims| {
        claims.revocations.insert(key.clone(), until);
    })
}

/// Cuts off every user that belongs to a party, and signs each account anew once. Gives the users' keys, which are revoked.
///
/// # Errors
/// See [`NatsError`].
pub fn revoke_owned(draft: &mut NatsDraft<'_, '_>, owner: &Party, reason: &Note) -> Result<Vec<KeyId>, NatsError> {
    let Some(reference) = EntityRef::party(owner) else { return Ok(Vec::new()) };
    let mut accounts_of: BTreeMap<NatsAccountId, Vec<UserFacts>> = BTreeMap::new();
    for entity in lookup::members(draft.view(), reference, Kind::User)?.into_iter().filter(Entity::is_active) {
        if let Facts::User(facts) = entity.facts
            && facts.user.owner.as_ref() == Some(owner)
        {
            accounts_of.entry(facts.user.account_id).or_default().push(facts);
        }
    }
    let mut keys = Vec::new();
    for (account_id, users) in accounts_of {
        let mut revocations = Vec::new();
        for facts in users {
            let until = record_revocation(draft, &facts, reason)?;
            keys.push(facts.user.key_id);
            revocations.push((facts.user.public_key.to_string(), until));
        }
        let account = draft.view().get(account_id.into())?.filter(Entity::is_active);
        if let Some(Facts::Account(account)) = account.map(|account| account.facts) {
            account_edits::edit(draft, &account, &|_| {}, &|claims| {
                claims.revocations.extend(revocations.iter().cloned())
            })?;
        }
    }
    Ok(keys)
}

fn update(draft: &mut NatsDraft<'_, '_>, user: &NatsUserCreated) -> Result<(), NatsError> {
    draft.run(NatsCommand::UpdateUser(user.clone().into()))
}

fn signer(draft: &NatsDraft<'_, '_>, account: &AccountFacts, role: Option<&str>) -> Result<Made, NatsError> {
    draft.signer(&NatsHolder::Account(account.account.account_id), role)
}

/// The key that signed before, if it still signs; else the account's usual one.
fn current_signer(draft: &NatsDraft<'_, '_>, account: &AccountFacts, before: &Claims<User>) -> Result<Made, NatsError> {
    let issuer = &before.registered.iss;
    if *issuer == account.account.public_key.as_str() {
        return signer(draft, account, None);
    }
    match draft.by_public_key(crate::ledger::Kind::SigningKey, issuer)? {
        Some(entity) if entity.is_active() => match entity.facts {
            Facts::SigningKey(facts) => Ok(Made { key_id: facts.key_id, public_key: facts.public_key }),
            _ => signer(draft, account, None),
        },
        Some(entity) => match entity.facts {
            // Its successor bears the same role.
            Facts::SigningKey(facts) => signer(draft, account, facts.role.as_ref().map(Name::as_str)),
            _ => signer(draft, account, None),
        },
        None => signer(draft, account, None),
    }
}

/// What a new user may do: nothing of its own when a role signs, else everything.
fn base(draft: &NatsDraft<'_, '_>, account: &AccountFacts, signer: &Made) -> Result<UserPermissions, NatsError> {
    Ok(match draft.template(account, signer)? {
        Some(_) => UserPermissions::default(),
        None => UserPermissions::unlimited(),
    })
}

fn bearer(draft: &NatsDraft<'_, '_>, account: &AccountFacts, signer: &Made, user: &User) -> Result<bool, NatsError> {
    Ok(draft.template(account, signer)?.map_or(user.permissions.bearer_token, |template| template.bearer_token))
}

fn expiring(at: Option<Timestamp>) -> Registered {
    let exp = at.map_or(0, |at| at.unix_micros().div_euclid(1_000_000));
    Registered { exp, ..Registered::default() }
}
