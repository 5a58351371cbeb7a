//! What an act did, in the terms of its user: what was made, changed or ended, by name, with its public key and what it may do.

use super::names;
use crate::authority::nats::{accounts, users};
use crate::events::{EventData, KeyEncoding};
use crate::ledger::{Entity, EntityRef, Facts, Kind, UserFacts, View, ViewError, concerns};
use crate::nats::claims::{SigningKey, UserPermissions};
use crate::nats::words::{self, Property};
use crate::store::AppendedEvent;

/// One thing that an act did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What the act did to it, in the past tense: "created", "revoked".
    pub done: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What else there is to know of what was made: its public key, what it may do.
    pub properties: Vec<Property>,
}

/// What an act did, one change an entity, in the order of its events. Events that only follow from others, such as the signing of
/// a token that a new user comes with, are part of those.
///
/// # Errors
/// When the ledger can't be read.
pub fn of_act(view: &dyn View, events: &[AppendedEvent]) -> Result<Vec<Change>, ViewError> {
    let mut changes: Vec<(Entity, Change)> = Vec::new();
    for appended in events {
        let data = &appended.event.data;
        let (Some(done), Some(reference)) = (done(data), concerns(data).into_iter().next()) else { continue };
        if part_of(data).is_some_and(|whole| changes.iter().any(|(it, _)| it.entity_ref() == whole)) {
            continue;
        }
        if let Some((_, before)) = changes.iter_mut().find(|(it, _)| it.entity_ref() == reference) {
            // What was made and then changed in one act is made; what ended has ended.
            if before.done != CREATED || done != CHANGED {
                before.done = done;
            }
            continue;
        }
        let Some(entity) = view.get(reference)? else { continue };
        let properties = if done == CREATED { properties(view, &entity)? } else { Vec::new() };
        let change = Change { done, kind: reference.kind, name: names::entity(view, &entity)?, properties };
        changes.push((entity, change));
    }
    // An nkey has no name of its own: what is done to it is part of what is done to its holder.
    let is_nkey = |it: &Entity| matches!(&it.facts, Facts::Key(key) if key.encoding == KeyEncoding::Nkey);
    if changes.iter().any(|(it, _)| !matches!(it.facts, Facts::Key(_))) {
        changes.retain(|(it, _)| !is_nkey(it));
    }
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

const CREATED: &str = "created";
const CHANGED: &str = "changed";

/// What an event did to what it is about, in the past tense; `None` for what only follows from another event of the act.
pub(super) const fn done(data: &EventData) -> Option<&'static str> {
    Some(match data {
        EventData::OrganizationCreated(_)
        | EventData::OrganizationalUnitCreated(_)
        | EventData::LocationCreated(_)
        | EventData::PersonCreated(_)
        | EventData::RoleCreated(_)
        | EventData::PolicyCreated(_)
        | EventData::RelationshipEstablished(_)
        | EventData::KeyGenerated(_)
        | EventData::NatsOperatorCreated(_)
        | EventData::NatsAccountCreated(_)
        | EventData::NatsUserCreated(_)
        | EventData::NatsSigningKeyGenerated(_)
        | EventData::LedgerCreated(_) => CREATED,
        EventData::OrganizationUpdated(_)
        | EventData::OrganizationalUnitUpdated(_)
        | EventData::LocationUpdated(_)
        | EventData::PersonUpdated(_)
        | EventData::RoleUpdated(_)
        | EventData::PolicyUpdated(_)
        | EventData::NatsOperatorUpdated(_)
        | EventData::NatsAccountUpdated(_)
        | EventData::NatsUserUpdated(_) => CHANGED,
        EventData::OrganizationalUnitDissolved(_) => "dissolved",
        EventData::LocationClosed(_) => "closed",
        EventData::PersonDeactivated(_) => "deactivated",
        EventData::PersonReactivated(_) => "reactivated",
        EventData::RoleAssigned(_) => "assigned",
        EventData::RoleWithdrawn(_) | EventData::PolicyWithdrawn(_) => "withdrew",
        EventData::RoleRetired(_) | EventData::NatsSigningKeyRetired(_) | EventData::YubiKeyRetired(_) => "retired",
        EventData::RelationshipEnded(_) => "ended",
        EventData::KeyImported(_) => "imported",
        EventData::KeyRevoked(_) | EventData::NatsUserRevoked(_) | EventData::CertificateRevoked(_) => "revoked",
        EventData::KeyRotated(_) | EventData::LedgerKeyRotated(_) => "rotated",
        EventData::KeyExported(_) => "exported",
        EventData::NatsOperatorDeleted(_) | EventData::NatsAccountDeleted(_) => "deleted",
        EventData::NatsAccountPushed(_) => "recorded the push of",
        EventData::LedgerLinked(_) => "linked",
        EventData::LedgerHandedOver(_) => "took over",
        EventData::ManifestApplied(_) => "applied",
        EventData::CustodyRecipientAdded(_) => "added",
        EventData::CustodyRecipientRemoved(_) => "removed",
        EventData::CustodyRekeyed(_) => "sealed anew",
        EventData::SignaturesRequired(_) => CHANGED,
        // They follow from others: a token from what it is about, a key from whose it is, a signature from what it signs. What
        // has no projection yet has no name either.
        EventData::NKeyGenerated(_)
        | EventData::JwtClaimsCreated(_)
        | EventData::JwtSigned(_)
        | EventData::EventAttested(_)
        | EventData::CertificateGenerated(_)
        | EventData::CertificateSigned(_)
        | EventData::CertificateRevocationListIssued(_)
        | EventData::YubiKeyProvisioned(_)
        | EventData::PinConfigured(_)
        | EventData::PukConfigured(_)
        | EventData::ManagementKeyRotated(_)
        | EventData::SlotProvisioned(_)
        | EventData::Unknown(_) => return None,
    })
}

/// The entity that an event's own is a part of, if both come in one act: a signing key of the operator or account.
fn part_of(data: &EventData) -> Option<EntityRef> {
    match data {
        EventData::NatsSigningKeyGenerated(event) => Some(EntityRef::holder(&event.holder)),
        EventData::NatsAccountUpdated(event) => Some(event.account_id.into()),
        _ => None,
    }
}

fn properties(view: &dyn View, entity: &Entity) -> Result<Vec<Property>, ViewError> {
    let mut all: Vec<Property> = Vec::new();
    match &entity.facts {
        Facts::Role(it) => {
            let words: Vec<String> = it.permissions.iter().map(ToString::to_string).collect();
            all.push(("permissions", if words.is_empty() { "none".to_owned() } else { words.join(", ") }));
        }
        Facts::Key(it) => {
            all.push(("public key", it.public_key.to_string()));
            all.push(("purpose", format!("{}, {}", it.purpose, it.algorithm)));
            let kept = it.compartment.as_ref();
            all.push(("kept in", kept.map_or_else(|| "no compartment".into(), |it| format!("compartment {it}"))));
            all.extend(it.validity.not_after().map(|until| ("expires", until.date())));
        }
        Facts::Operator(it) => all.push(("public key", it.operator.public_key.to_string())),
        Facts::Account(it) => {
            all.push(("public key", it.account.public_key.to_string()));
            if let Ok(claims) = accounts::claims(it) {
                all.extend(words::limits(&claims.nats.limits));
            }
        }
        Facts::User(it) => {
            all.push(("public key", it.user.public_key.to_string()));
            if let Some((role, permissions)) = may(view, it)? {
                all.extend(role.map(|role| ("role", role)));
                all.extend(words::permissions(&permissions));
            }
            all.push(("expires", it.user.expires_at.map_or_else(|| "never".to_owned(), |until| until.date())));
        }
        Facts::SigningKey(it) => all.push(("public key", it.public_key.to_string())),
        Facts::Ledger(it) => all.push(("public key", it.public_key.to_string())),
        Facts::Organization(_)
        | Facts::Unit(_)
        | Facts::Location(_)
        | Facts::Person(_)
        | Facts::Assignment(_)
        | Facts::Policy(_)
        | Facts::Relationship(_)
        | Facts::Recipient(_)
        | Facts::Manifest(_)
        | Facts::Attestation(_)
        | Facts::SignatureRequirement(_) => {}
    }
    Ok(all)
}

/// What a user may do: as its token says, or as the role says whose key signed it.
fn may(view: &dyn View, user: &UserFacts) -> Result<Option<(Option<String>, UserPermissions)>, ViewError> {
    let Ok(claims) = users::claims(user) else { return Ok(None) };
    let Some(Facts::Account(account)) = view.get(user.user.account_id.into())?.map(|entity| entity.facts) else {
        return Ok(None);
    };
    let keys = accounts::claims(&account).map(|claims| claims.nats.signing_keys).unwrap_or_default();
    let scope = keys.into_iter().find_map(|key| match key {
        SigningKey::Scoped(scope) if scope.key == claims.registered.iss => Some(scope),
        _ => None,
    });
    Ok(Some(match scope {
        Some(scope) => (Some(scope.role), scope.template),
        None => (None, claims.nats.permissions),
    }))
}
