//! Decisions about NATS identities.

use super::facts::TokenFacts;
use crate::events::{
    EventData, JwtClaimsCreated, JwtKind, JwtSigned, KeyRotated, NatsHolder, NatsParty, NatsSigningKeyGenerated,
};
use crate::ledger::command::{Cause, EventDraft, NatsCommand};
use crate::ledger::entity::Entity;
use crate::ledger::facts::Facts;
use crate::ledger::lifecycle::{active, create, create_beside, draft, known, unused, update};
use crate::ledger::reference::{EntityRef, Index, Kind, NameKey};
use crate::ledger::refusal::Refusal;
use crate::ledger::view::View;
use crate::text::PublicKey;

/// Decides on one command, as [`crate::ledger::decide`] does.
pub(in crate::ledger) fn decide(view: &dyn View, command: &NatsCommand) -> Result<Vec<EventDraft>, Refusal> {
    match command {
        NatsCommand::AddKey(event) => create(view, event.clone().into()),
        NatsCommand::CreateOperator(event) => {
            // One ledger per authority: an operator is one.
            if let Some(other) = view.all(Kind::Operator).active().next().transpose()? {
                return Err(Refusal::SecondOperator(other.label()));
            }
            create(view, event.clone().into())
        }
        NatsCommand::UpdateOperator(event) => update(view, event.clone().into()),
        NatsCommand::DeleteOperator(event) => {
            let operator = active(view, event.operator_id.into())?;
            for account in view.all_referring(event.operator_id.into(), Kind::Account).active() {
                let account = account?;
                let system = matches!(&account.facts, Facts::Account(facts) if facts.account.system);
                if !system {
                    return Err(Refusal::InUse { what: operator.label(), by: account.label() });
                }
            }
            Ok(vec![draft(event.clone(), [operator.last])])
        }
        NatsCommand::CreateAccount(event) => create(view, event.clone().into()),
        NatsCommand::UpdateAccount(event) => update(view, event.clone().into()),
        NatsCommand::DeleteAccount(event) => {
            let account = active(view, event.account_id.into())?;
            if let Facts::Account(facts) = &account.facts
                && facts.account.system
                && known(view, facts.account.operator_id.into())?.is_active()
            {
                return Err(Refusal::SystemAccount(account.label()));
            }
            unused(view, event.account_id.into(), &[Kind::User])?;
            Ok(vec![draft(event.clone(), [account.last])])
        }
        NatsCommand::RecordPush(event) => {
            let account = known(view, event.account_id.into())?;
            Ok(vec![draft(event.clone(), [account.last])])
        }
        NatsCommand::CreateUser(event) => create(view, event.clone().into()),
        NatsCommand::UpdateUser(event) => update(view, event.clone().into()),
        NatsCommand::RevokeUser(event) => {
            let user = known(view, event.user_id.into())?;
            let Facts::User(facts) = &user.facts else { return Err(Refusal::Unknown(event.user_id.into())) };
            if facts.revoked_at.is_some_and(|until| until >= event.revoked_at) {
                return Ok(Vec::new());
            }
            Ok(vec![draft(event.clone(), [user.last])])
        }
        NatsCommand::AddSigningKey(event) => {
            active(view, EntityRef::holder(&event.holder))?;
            create_beside(view, event.clone().into(), &replaced(view, event)?)
        }
        NatsCommand::RetireSigningKey(event) => {
            let key = active(view, EntityRef::signing_key(event.key_id))?;
            Ok(vec![draft(event.clone(), [key.last])])
        }
        NatsCommand::ReplaceKey { key_id, successor_id, retire_at } => {
            let key = active(view, (*key_id).into())?;
            let successor = active(view, (*successor_id).into())?;
            let (Facts::Key(old), Facts::Key(new)) = (&key.facts, &successor.facts) else {
                return Err(Refusal::Unknown((*key_id).into()));
            };
            if old.purpose != new.purpose {
                let (what, purpose, other) = (key.label(), old.purpose.as_str(), new.purpose.as_str());
                return Err(Refusal::OtherPurpose { what, purpose, other });
            }
            let (key_id, public_key) = (*key_id, old.public_key.clone());
            let (successor_id, retire_at) = (*successor_id, Some(*retire_at));
            let event = KeyRotated { key_id, public_key, successor_id, retire_at };
            Ok(vec![draft(event, [key.last, successor.last])])
        }
        NatsCommand::HandOut { claims, signed } => {
            let account = active(view, EntityRef::nats(&claims.about))?;
            let fits = matches!(claims.kind, JwtKind::Activation | JwtKind::User)
                && matches!(claims.about, NatsParty::Account(_));
            if !fits {
                return Err(Refusal::NotASigner { key: claims.issuer.to_string(), what: account.label() });
            }
            let signer = signs_for(view, &account, &claims.issuer)?;
            signed_by(&account, signer, claims, signed)
        }
        NatsCommand::RecordDeletion { claims, signed } => {
            let account = known(view, EntityRef::nats(&claims.about))?;
            let (Facts::Account(facts), JwtKind::Generic) = (&account.facts, claims.kind) else {
                return Err(Refusal::Unknown(account.entity_ref()));
            };
            if account.is_active() {
                return Err(Refusal::NotDeleted(account.label()));
            }
            let operator = active(view, facts.account.operator_id.into())?;
            let signer = signs_for(view, &operator, &claims.issuer)?;
            signed_by(&account, signer, claims, signed)
        }
        NatsCommand::IssueToken { claims, signed } => {
            let reference = EntityRef::nats(&claims.about);
            let mut entity = active(view, reference)?;
            let before = entity.facts.token_mut().and_then(Option::take);
            if let Some(TokenFacts { issued_at, .. }) = before
                && claims.issued_at <= issued_at
            {
                return Err(Refusal::TokenNotNewer { what: entity.label(), issued_at });
            }
            let signer = signer(view, &claims.about, &entity, &claims.issuer)?;
            signed_by(&entity, Some(signer), claims, signed)
        }
    }
}

/// What is said about an entity, and that it is signed; refused when nobody is found who may sign it.
fn signed_by(
    about: &Entity,
    signer: Option<Entity>,
    claims: &JwtClaimsCreated,
    signed: &JwtSigned,
) -> Result<Vec<EventDraft>, Refusal> {
    let signer = signer.ok_or_else(|| Refusal::NotASigner { key: claims.issuer.to_string(), what: about.label() })?;
    let mut first = draft(claims.clone(), [about.last, signer.last]);
    first.causes.dedup();
    let second = EventDraft { data: EventData::from(signed.clone()), causes: vec![Cause::Earlier(0)] };
    Ok(vec![first, second])
}

/// Signing keys that a newer one has taken over from: it bears their role beside them until they end.
fn replaced(view: &dyn View, event: &NatsSigningKeyGenerated) -> Result<Vec<EntityRef>, Refusal> {
    let mut found = Vec::new();
    for entity in view.all_referring(EntityRef::holder(&event.holder), Kind::SigningKey) {
        let entity = entity?;
        let key = view.get(EntityRef::new(Kind::Key, entity.entity_ref().id))?;
        if let Some(Facts::Key(key)) = key.map(|key| key.facts)
            && key.successor_id.is_some()
        {
            found.push(entity.entity_ref());
        }
    }
    Ok(found)
}

/// The key that signs a token: the identity key of the operator or account, or one of its signing keys.
fn signer(view: &dyn View, about: &NatsParty, entity: &Entity, issuer: &PublicKey) -> Result<Entity, Refusal> {
    let not_a_signer = || Refusal::NotASigner { key: issuer.to_string(), what: entity.label() };
    let above = match (about, &entity.facts) {
        (NatsParty::Operator(_), _) => entity.clone(),
        (NatsParty::Account(_), Facts::Account(facts)) => active(view, facts.account.operator_id.into())?,
        (NatsParty::User(_), Facts::User(facts)) => active(view, facts.user.account_id.into())?,
        _ => return Err(not_a_signer()),
    };
    signs_for(view, &above, issuer)?.ok_or_else(not_a_signer)
}

/// What signs for an operator or account with a public key: itself, with its identity key, or an active signing key.
fn signs_for(view: &dyn View, above: &Entity, issuer: &PublicKey) -> Result<Option<Entity>, Refusal> {
    let (identity, holder) = match &above.facts {
        Facts::Operator(facts) => (&facts.operator.public_key, NatsHolder::Operator(facts.operator.operator_id)),
        Facts::Account(facts) => (&facts.account.public_key, NatsHolder::Account(facts.account.account_id)),
        _ => return Ok(None),
    };
    if identity == issuer {
        return Ok(Some(above.clone()));
    }
    let key = NameKey { kind: Kind::SigningKey, index: Index::PublicKey, scope: None, key: issuer.as_str().to_owned() };
    Ok(view
        .find(&key, 1)?
        .into_iter()
        .find(|key| key.is_active() && matches!(&key.facts, Facts::SigningKey(facts) if facts.holder == holder)))
}
