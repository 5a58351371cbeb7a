//! Signing keys of accounts: plain ones, and roles with a template.

use super::draft::{Made, NatsDraft};
use super::endings::{record_retirement, record_successor};
use super::error::NatsError;
use super::{account_edits, lookup};
use crate::advice::{Action, Advice};
use crate::custody::ISSUING;
use crate::events::{KeyPurpose, NatsHolder, NatsSigningKeyGenerated, NkeyKind};
use crate::ids::KeyId;
use crate::ledger::{AccountFacts, Entity, Facts, Kind, NatsCommand, UserFacts, View};
use crate::nats::claims::{SigningKey, UserPermissions, UserScope};
use crate::nats::jwt::is_public_key;
use crate::text::{Label, Name, Note, PublicKey, visible};
use crate::time::Timestamp;

/// A signing key to be made.
#[derive(Debug, Clone)]
pub struct NewSigningKey {
    /// Its identifier.
    pub id: KeyId,
    /// The role's name, for a scoped key.
    pub role: Option<Name>,
    /// What the role's users may do.
    pub template: UserPermissions,
    /// What the role is for.
    pub description: String,
    /// The custody compartment; `issuing` when absent.
    pub compartment: Option<Label>,
    /// The public half (`A…`) of a key that was made elsewhere, and stays there: an issuer's. No key is made then.
    pub public_key: Option<PublicKey>,
}

impl NewSigningKey {
    /// A plain key in compartment `issuing`.
    #[must_use]
    pub fn plain() -> Self {
        let (template, description) = (UserPermissions::default(), String::new());
        Self { id: KeyId::mint(), role: None, template, description, compartment: None, public_key: None }
    }
}

/// Gives an account a signing key, and signs the account anew.
///
/// # Errors
/// See [`NatsError`].
pub fn add(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, new: NewSigningKey) -> Result<(), NatsError> {
    let made = match &new.public_key {
        Some(public_key) => take(draft, new.id, public_key)?,
        None => {
            let compartment = new.compartment.as_ref().map_or(ISSUING, Label::as_str);
            draft.make_key_as(new.id, NkeyKind::Account, compartment)?
        }
    };
    record_new(draft, account, new.role.clone(), &made)?;
    let key = match new.role {
        None => SigningKey::Plain(made.public_key.to_string()),
        Some(role) => SigningKey::Scoped(Box::new(UserScope::new(
            made.public_key.as_str(),
            role.as_str(),
            new.template,
            &new.description,
        ))),
    };
    account_edits::edit(draft, account, &|_| {}, &|claims| claims.signing_keys.push(key.clone()))
}

/// Takes the public half of a signing key that was made elsewhere.
fn take(draft: &mut NatsDraft<'_, '_>, id: KeyId, public_key: &PublicKey) -> Result<Made, NatsError> {
    if !is_public_key(public_key.as_str(), &['A']) {
        return Err(NatsError::act(
            format!("\"{}\" is no public key of an account's signing key (A…)", visible(public_key.as_str())),
            Action::AddIssuer,
            "prints one, where the key is made",
        ));
    }
    if draft.by_public_key(Kind::Account, public_key.as_str())?.is_some() {
        return Err(NatsError::advised(
            format!("{public_key} is the identity key of an account"),
            "give the public key of a signing key",
        ));
    }
    let origin = Note::new("made elsewhere, where it stays: only its public half came here")?;
    draft.take_key(id, public_key, NkeyKind::Account, KeyPurpose::NatsSigning, ISSUING, None, &origin)
}

fn record_new(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    role: Option<Name>,
    made: &Made,
) -> Result<(), NatsError> {
    let key = draft.view().get(made.key_id.into())?.map(|key| key.facts);
    let compartment = if let Some(Facts::Key(key)) = key { key.compartment } else { None };
    draft.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
        key_id: made.key_id,
        holder: NatsHolder::Account(account.account.account_id),
        public_key: made.public_key.clone(),
        role,
        compartment,
    }))
}

/// An active signing key of an account, by its role without regard to case, or by its public key.
///
/// # Errors
/// When there is none.
pub fn find(view: &dyn View, account: &AccountFacts, text: &str) -> Result<NatsSigningKeyGenerated, NatsError> {
    let keys = lookup::signing_keys(view, &NatsHolder::Account(account.account.account_id))?;
    keys.into_iter()
        // During an overlap two bear the role; the newer one signs.
        .rev()
        .find(|key| {
            key.public_key.as_str() == text
                || key.role.as_ref().is_some_and(|role| role.as_str().eq_ignore_ascii_case(text))
        })
        .ok_or_else(|| NatsError::NotFound { kind: Kind::SigningKey, text: text.to_owned(), near: None })
}

/// Changes what a role gives its users, its name or what it is for. Servers take it from the account's token: the users
/// need no new ones.
///
/// # Errors
/// See [`NatsError`].
pub fn edit(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    key: &NatsSigningKeyGenerated,
    edit: &dyn Fn(&mut UserScope),
) -> Result<(), NatsError> {
    if key.role.is_none() {
        return Err(NatsError::advised(
            format!("the signing key {} is plain: what it signs has permissions of its own", key.public_key),
            "edit its users instead",
        ));
    }
    account_edits::edit(draft, account, &|_| {}, &|claims| {
        for known in &mut claims.signing_keys {
            if let SigningKey::Scoped(scope) = known
                && scope.key == key.public_key.as_str()
            {
                edit(scope);
            }
        }
    })
}

/// The active users of an account whose token a signing key signed.
///
/// # Errors
/// When the ledger can't be read.
pub fn signed_by(
    view: &dyn View,
    account: &AccountFacts,
    key: &NatsSigningKeyGenerated,
) -> Result<Vec<UserFacts>, NatsError> {
    let users = lookup::members(view, account.account.account_id.into(), Kind::User)?;
    let active = users.into_iter().filter(Entity::is_active);
    let facts = active.filter_map(|user| if let Facts::User(user) = user.facts { Some(user) } else { None });
    Ok(facts.filter(|user| user.token.as_ref().is_some_and(|token| token.issuer == key.public_key)).collect())
}

/// Replaces a signing key by a new one with the same role, and signs the account and the key's users anew. The old key ends
/// at once, or stays good until `overlap_until`: servers cut off whoever still comes with a token of it after that.
/// A key whose private half is elsewhere is not replaced by one that is made here.
///
/// # Errors
/// See [`NatsError`].
pub fn rotate(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    old: &NatsSigningKeyGenerated,
    overlap_until: Option<Timestamp>,
    reason: &Note,
) -> Result<KeyId, NatsError> {
    let signed = signed_by(draft.view(), account, old)?;
    let Some(compartment) = &old.compartment else {
        let text = format!("the signing key {} was made elsewhere, and its private half is there", old.public_key);
        let advice = vec![
            Advice::Run(Action::AddIssuer, "makes its successor there"),
            Advice::Do("add the successor here under a role of its own, and retire this one"),
        ];
        return Err(NatsError::Advised { text, advice });
    };
    let made = draft.make_key(NkeyKind::Account, compartment.as_str())?;
    match overlap_until {
        Some(until) => record_successor(draft, old.key_id, made.key_id, until)?,
        None => record_retirement(draft, old, Some(made.key_id), reason)?,
    }
    record_new(draft, account, old.role.clone(), &made)?;
    account_edits::edit(draft, account, &|_| {}, &|claims| {
        let mut added = Vec::new();
        for key in claims.signing_keys.iter_mut().filter(|key| key.public_key() == old.public_key.as_str()) {
            let mut new = key.clone();
            match &mut new {
                SigningKey::Plain(key) => *key = made.public_key.to_string(),
                SigningKey::Scoped(scope) => scope.key = made.public_key.to_string(),
            }
            if overlap_until.is_some() { added.push(new) } else { *key = new }
        }
        claims.signing_keys.extend(added);
    })?;
    for user in signed {
        draft.reissue_user(&user, &made)?;
    }
    Ok(made.key_id)
}

/// Takes a signing key out of use, and signs the account anew. Its users are cut off once the account is pushed. Where the
/// account is one of elsewhere ([`super::issuer`]), this ledger only signs with the key no more.
///
/// # Errors
/// See [`NatsError`].
pub fn retire(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    key: &NatsSigningKeyGenerated,
    successor_id: Option<KeyId>,
    reason: &Note,
) -> Result<(), NatsError> {
    record_retirement(draft, key, successor_id, reason)?;
    if account.token.is_none() {
        // An issuer's ledger: the account is elsewhere, and so is whoever signs it anew.
        return Ok(());
    }
    account_edits::edit(draft, account, &|_| {}, &|claims| {
        claims.signing_keys.retain(|known| known.public_key() != key.public_key.as_str());
    })
}
