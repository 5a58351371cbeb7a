//! What events about NATS identities make of the entities.

use super::{AccountFacts, OperatorFacts, PushFacts, SignedFacts, TokenFacts, UserFacts, token_of};
use crate::events::{
    EventData, JwtKind, KeyAlgorithm, KeyEncoding, KeyPurpose, NKeyGenerated, NatsAccountCreated, NatsAccountUpdated,
    NatsOperatorCreated, NatsOperatorUpdated, NatsParty, NatsUserCreated, NatsUserUpdated, NkeyKind, Validity,
};
use crate::ledger::ended::{Ended, How};
use crate::ledger::entity::{Entity, EntityRef, Facts, KeyFacts};
use crate::ledger::evolve::same_facts;
use crate::text::{Name, Note};
use crate::time::Timestamp;

/// The facts that an event brings as a whole; [`carry`] adds what an update leaves as it is.
pub(in crate::ledger) fn facts_of(data: &EventData) -> Option<Facts> {
    Some(match data {
        EventData::NKeyGenerated(event) => Facts::Key(key_facts(event)?),
        EventData::NatsSigningKeyGenerated(event) => Facts::SigningKey(event.clone()),
        EventData::NatsOperatorCreated(event) => Facts::Operator(operator(event.clone())),
        EventData::NatsOperatorUpdated(event) => Facts::Operator(operator(event.clone().into())),
        EventData::NatsAccountCreated(event) => Facts::Account(account(event.clone())),
        EventData::NatsAccountUpdated(event) => Facts::Account(account(event.clone().into())),
        EventData::NatsUserCreated(event) => Facts::User(user(event.clone())),
        EventData::NatsUserUpdated(event) => Facts::User(user(event.clone().into())),
        _ => return None,
    })
}

/// What an update does not speak of stays as it was: tokens, pushes.
pub(in crate::ledger) fn carry(facts: &mut Facts, before: &Facts) {
    match (facts, before) {
        (Facts::Operator(now), Facts::Operator(before)) => now.token.clone_from(&before.token),
        (Facts::Account(now), Facts::Account(before)) => {
            now.token.clone_from(&before.token);
            now.pushed.clone_from(&before.pushed);
            now.deletion.clone_from(&before.deletion);
        }
        (Facts::User(now), Facts::User(before)) => {
            now.token.clone_from(&before.token);
            now.revoked_at = before.revoked_at;
        }
        _ => {}
    }
}

fn operator(operator: NatsOperatorCreated) -> OperatorFacts {
    OperatorFacts { operator, token: None }
}

fn account(account: NatsAccountCreated) -> AccountFacts {
    AccountFacts { account, token: None, pushed: None, deletion: None }
}

fn user(user: NatsUserCreated) -> UserFacts {
    UserFacts { user, token: None, revoked_at: None }
}

/// An nkey is a key like others; people know it by its public half.
fn key_facts(event: &NKeyGenerated) -> Option<KeyFacts> {
    let (algorithm, purpose) = match event.kind {
        NkeyKind::Operator => (KeyAlgorithm::Ed25519, KeyPurpose::NatsOperator),
        NkeyKind::Account => (KeyAlgorithm::Ed25519, KeyPurpose::NatsAccount),
        NkeyKind::User => (KeyAlgorithm::Ed25519, KeyPurpose::NatsUser),
        NkeyKind::Server | NkeyKind::Cluster => (KeyAlgorithm::Ed25519, KeyPurpose::NatsServer),
        NkeyKind::Curve => (KeyAlgorithm::X25519, KeyPurpose::NatsServer),
    };
    Some(KeyFacts {
        key_id: event.key_id,
        name: Name::new(event.public_key.as_str()).ok()?,
        algorithm,
        encoding: KeyEncoding::Nkey,
        public_key: event.public_key.clone(),
        purpose,
        owner: event.owner.clone(),
        compartment: Some(event.compartment.clone()),
        validity: Validity::ALWAYS,
        location_id: None,
        origin: None,
        was_plaintext: false,
        exports: 0,
        successor_id: None,
        retire_at: None,
        revocation: None,
    })
}

same_facts! {
    NatsOperatorUpdated <=> NatsOperatorCreated {
        operator_id, name, key_id, public_key, system_account_id, account_server_url, service_urls, strict_signing_key_usage
    };
    NatsAccountUpdated <=> NatsAccountCreated { account_id, operator_id, name, key_id, public_key, description, system };
    NatsUserUpdated <=> NatsUserCreated { user_id, account_id, name, key_id, public_key, owner, bearer, expires_at };
}

/// The entities that an event concerns which is not [`facts_of`] one.
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
        (_, facts) => token_of(facts),
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
