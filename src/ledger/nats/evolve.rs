//! What events about NATS identities make of the entities.

use super::facts::{PushFacts, SignedFacts, TokenFacts};
use crate::events::{EventData, JwtKind, NatsParty};
use crate::ledger::entity::{Ended, Entity, How};
use crate::ledger::facts::Facts;
use crate::ledger::reference::EntityRef;
use crate::text::Note;
use crate::time::Timestamp;

/// The entities that an event concerns without stating the facts of one.
pub(in crate::ledger) fn concerns(data: &EventData) -> Vec<EntityRef> {
    match data {
        EventData::NatsSigningKeyRetired(event) => vec![EntityRef::signing_key(event.key_id)],
        EventData::NatsOperatorDeleted(event) => vec![event.operator_id.into()],
        EventData::NatsAccountPushed(event) => vec![event.account_id.into()],
        EventData::NatsAccountDeleted(event) => vec![event.account_id.into()],
        EventData::NatsUserRevoked(event) => vec![event.user_id.into()],
        EventData::JwtClaimsCreated(event) if is_kept(event.kind, &event.about) => vec![EntityRef::nats(&event.about)],
        EventData::JwtSigned(event) if is_kept(event.kind, &event.about) => vec![EntityRef::nats(&event.about)],
        _ => Vec::new(),
    }
}

/// Whether such a token is what an operator, account or user *is*, or the request that ends it on servers; and not something
/// that it gives out.
const fn is_kept(kind: JwtKind, about: &NatsParty) -> bool {
    matches!(
        (kind, about),
        (JwtKind::Operator, NatsParty::Operator(_))
            | (JwtKind::Account | JwtKind::Generic, NatsParty::Account(_))
            | (JwtKind::User, NatsParty::User(_))
    )
}

/// Where such a token is kept.
fn slot(facts: &mut Facts, kind: JwtKind) -> Option<&mut Option<TokenFacts>> {
    match (kind, facts) {
        (JwtKind::Generic, Facts::Account(facts)) => Some(&mut facts.deletion),
        (JwtKind::Generic | JwtKind::Activation, _) => None,
        (_, facts) => facts.token_mut(),
    }
}

/// What an event does to one entity.
pub(in crate::ledger) type EntityChange = Box<dyn FnOnce(&mut Entity)>;

/// The entity that an event modifies, with the change. `None` for events that are not about NATS identities.
pub(in crate::ledger) fn evolve(data: &EventData, at: Timestamp) -> Option<(EntityRef, EntityChange)> {
    let ended = |how: How, reason: &Note| Ended { how, at, reason: Some(reason.clone()) };
    let change: (EntityRef, EntityChange) = match data {
        EventData::NatsSigningKeyRetired(event) => {
            let ended = ended(How::Retired, &event.reason);
            (EntityRef::signing_key(event.key_id), Box::new(move |entity| entity.ended = Some(ended)))
        }
        EventData::NatsOperatorDeleted(event) => {
            let ended = ended(How::Deleted, &event.reason);
            (event.operator_id.into(), Box::new(move |entity| entity.ended = Some(ended)))
        }
        EventData::NatsAccountDeleted(event) => {
            let ended = ended(How::Deleted, &event.reason);
            (event.account_id.into(), Box::new(move |entity| entity.ended = Some(ended)))
        }
        EventData::NatsUserRevoked(event) => {
            let (ended, until) = (ended(How::Revoked, &event.reason), event.revoked_at);
            let change = move |entity: &mut Entity| {
                entity.ended = Some(ended);
                if let Facts::User(facts) = &mut entity.facts {
                    facts.revoked_at = Some(until);
                }
            };
            (event.user_id.into(), Box::new(change))
        }
        EventData::NatsAccountPushed(event) => {
            let pushed = PushFacts { jti: event.jti.clone(), servers: event.servers.iter().cloned().collect(), at };
            let change = move |entity: &mut Entity| {
                if let Facts::Account(facts) = &mut entity.facts {
                    facts.pushed = Some(pushed);
                }
            };
            (event.account_id.into(), Box::new(change))
        }
        // What a token says takes effect when it is signed; the two events stand in one transaction.
        EventData::JwtClaimsCreated(event) if is_kept(event.kind, &event.about) => {
            let token = TokenFacts {
                jti: event.jti.clone(),
                issued_at: event.issued_at,
                expires_at: event.expires_at,
                issuer: event.issuer.clone(),
                claims: event.claims.clone(),
                signed: None,
            };
            let kind = event.kind;
            let change = move |entity: &mut Entity| {
                if let Some(slot) = slot(&mut entity.facts, kind) {
                    *slot = Some(token);
                }
            };
            (EntityRef::nats(&event.about), Box::new(change))
        }
        EventData::JwtSigned(event) if is_kept(event.kind, &event.about) => {
            let signed = SignedFacts { signing_key_id: event.signing_key_id, token: *event.token.cid() };
            let (jti, kind) = (event.jti.clone(), event.kind);
            let change = move |entity: &mut Entity| {
                if let Some(Some(token)) = slot(&mut entity.facts, kind)
                    && token.jti == jti
                {
                    token.signed = Some(signed);
                }
            };
            (EntityRef::nats(&event.about), Box::new(change))
        }
        _ => return None,
    };
    Some(change)
}
