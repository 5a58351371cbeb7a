//! Decisions about NATS identities.

use super::{NatsCommand, TokenFacts, token_of};
use crate::events::{EventData, NatsHolder, NatsParty};
use crate::ledger::command::{Cause, EventDraft};
use crate::ledger::decide::{active, create, draft, known, unused, update};
use crate::ledger::entity::{Entity, EntityRef, Facts, Kind};
use crate::ledger::refusal::Refusal;
use crate::ledger::view::View;
use crate::text::PublicKey;

/// Decides on one command, as [`crate::ledger::decide`] does.
pub(in crate::ledger) fn decide(view: &dyn View, command: &NatsCommand) -> Result<Vec<EventDraft>, Refusal> {
    match command {
        NatsCommand::AddKey(event) => create(view, event.clone().into()),
        NatsCommand::CreateOperator(event) => {
            // One ledger per authority: an operator is one.
            if let Some(other) = each(view, Kind::Operator)?.into_iter().find(Entity::is_active) {
                return Err(Refusal::SecondOperator(other.label()));
            }
            create(view, event.clone().into())
        }
        NatsCommand::UpdateOperator(event) => update(view, event.clone().into()),
        NatsCommand::CreateAccount(event) => create(view, event.clone().into()),
        NatsCommand::UpdateAccount(event) => update(view, event.clone().into()),
        NatsCommand::DeleteAccount(event) => {
            let account = active(view, event.account_id.into())?;
            if let Facts::Account(facts) = &account.facts
                && facts.account.system
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
            create(view, event.clone().into())
        }
        NatsCommand::RetireSigningKey(event) => {
            let key = active(view, EntityRef::signing_key(event.key_id))?;
            Ok(vec![draft(event.clone(), [key.last])])
        }
        NatsCommand::IssueToken { claims, signed } => {
            let reference = EntityRef::nats(&claims.about);
            let mut entity = active(view, reference)?;
            let before = token_of(&mut entity.facts).and_then(Option::take);
            if let Some(TokenFacts { issued_at, .. }) = before
                && claims.issued_at <= issued_at
            {
                return Err(Refusal::TokenNotNewer { what: entity.label(), issued_at });
            }
            let signer = signer(view, &claims.about, &entity, &claims.issuer)?;
            let mut first = draft(claims.clone(), [entity.last, signer.last]);
            first.causes.dedup();
            let second = EventDraft { data: EventData::from(signed.clone()), causes: vec![Cause::Earlier(0)] };
            Ok(vec![first, second])
        }
    }
}

fn each(view: &dyn View, kind: Kind) -> Result<Vec<Entity>, Refusal> {
    Ok(view.list(kind, None, 1_000)?)
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
    let (identity, holder) = match &above.facts {
        Facts::Operator(facts) => (&facts.operator.public_key, NatsHolder::Operator(facts.operator.operator_id)),
        Facts::Account(facts) => (&facts.account.public_key, NatsHolder::Account(facts.account.account_id)),
        _ => return Err(not_a_signer()),
    };
    if identity == issuer {
        return Ok(above);
    }
    let key = crate::ledger::view::NameKey {
        kind: Kind::SigningKey,
        index: crate::ledger::view::Index::PublicKey,
        scope: None,
        key: issuer.as_str().to_owned(),
    };
    view.find(&key, 1)?
        .into_iter()
        .find(|key| key.is_active() && matches!(&key.facts, Facts::SigningKey(facts) if facts.holder == holder))
        .ok_or_else(not_a_signer)
}
