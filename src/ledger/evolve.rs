//! What a recorded event does to the entities.

use cid::Cid;

use super::entity::{Ended, Entity, How};
use super::facts::{Facts, Revocation};
use super::reference::{EntityRef, Kind};
use super::stated::{carry, facts_of, is_update};
use super::view::{Change, View, ViewError};
use crate::events::{EventData, KeyEvent};
use crate::text::Note;

/// The changes that an event makes, given what stands before it. An event about something that is not recorded changes
/// nothing: what made it may be of a type that this release does not know.
///
/// # Errors
/// Only the view's own.
pub fn evolve(view: &dyn View, event: &KeyEvent, cid: Cid) -> Result<Vec<Change>, ViewError> {
    let mut evolution = Evolution { view, event, cid, changes: Vec::new() };
    evolution.run()?;
    Ok(evolution.changes)
}

/// The entities that an event of a known type concerns; none for types without a projection.
#[must_use]
pub fn concerns(data: &EventData) -> Vec<EntityRef> {
    if let Some(facts) = facts_of(data) {
        return vec![facts.entity_ref()];
    }
    match data {
        EventData::LedgerKeyRotated(event) => vec![event.ledger_id.into()],
        EventData::LedgerHandedOver(event) => vec![event.ledger_id.into()],
        EventData::OrganizationalUnitDissolved(event) => vec![event.unit_id.into()],
        EventData::LocationClosed(event) => vec![event.location_id.into()],
        EventData::PersonDeactivated(event) => vec![event.person_id.into()],
        EventData::PersonReactivated(event) => vec![event.person_id.into()],
        EventData::RoleRetired(event) => vec![event.role_id.into()],
        EventData::RoleWithdrawn(event) => vec![event.assignment_id.into()],
        EventData::PolicyWithdrawn(event) => vec![event.policy_id.into()],
        EventData::RelationshipEnded(event) => vec![event.relationship_id.into()],
        EventData::KeyRevoked(event) => vec![event.key_id.into()],
        EventData::KeyRotated(event) => vec![event.key_id.into()],
        EventData::KeyExported(event) => vec![event.key_id.into()],
        EventData::CustodyRecipientRemoved(event) => vec![EntityRef::recipient(&event.compartment, &event.recipient)],
        EventData::CustodyRekeyed(event) => vec![EntityRef::recipient(&event.compartment, &event.recipient)],
        EventData::EventAttested(event) => vec![EntityRef::attestation(event.event.cid(), event.key_id)],
        _ => super::nats::concerns(data),
    }
}

struct Evolution<'a> {
    view: &'a dyn View,
    event: &'a KeyEvent,
    cid: Cid,
    changes: Vec<Change>,
}

impl Evolution<'_> {
    fn run(&mut self) -> Result<(), ViewError> {
        if let Some(facts) = facts_of(&self.event.data) {
            return self.replace(facts);
        }
        match &self.event.data {
            EventData::LedgerKeyRotated(event) => self.modify(event.ledger_id, |entity| {
                if let Facts::Ledger(facts) = &mut entity.facts {
                    facts.public_key = event.public_key.clone();
                }
            }),
            EventData::LedgerHandedOver(event) => self.modify(event.ledger_id, |_| {}),
            EventData::OrganizationalUnitDissolved(event) => self.end(event.unit_id, How::Dissolved, &event.reason),
            EventData::LocationClosed(event) => self.end(event.location_id, How::Closed, &event.reason),
            EventData::PersonDeactivated(event) => {
                self.end(event.person_id, How::Deactivated, &event.reason)?;
                self.end_assignments(event.person_id.into(), &event.reason)
            }
            EventData::PersonReactivated(event) => self.modify(event.person_id, |entity| entity.ended = None),
            EventData::RoleRetired(event) => {
                self.end(event.role_id, How::Retired, &event.reason)?;
                self.end_assignments(event.role_id.into(), &event.reason)
            }
            EventData::RoleWithdrawn(event) => self.end(event.assignment_id, How::Withdrawn, &event.reason),
            EventData::PolicyWithdrawn(event) => self.end(event.policy_id, How::Withdrawn, &event.reason),
            EventData::RelationshipEnded(event) => self.end(event.relationship_id, How::Ended, &event.reason),
            EventData::KeyRevoked(event) => {
                let ended = Ended { how: How::Revoked, at: self.event.occurred_at, reason: event.note.clone() };
                self.modify(event.key_id, |entity| {
                    entity.ended = Some(ended);
                    if let Facts::Key(facts) = &mut entity.facts {
                        let revocation = Revocation { reason: event.reason, invalid_since: event.invalid_since };
                        facts.revocation = Some(revocation);
                    }
                })
            }
            EventData::KeyRotated(event) => {
                let ended = Ended { how: How::Rotated, at: self.event.occurred_at, reason: None };
                self.modify(event.key_id, |entity| {
                    entity.ended.get_or_insert(ended);
                    if let Facts::Key(facts) = &mut entity.facts {
                        facts.successor_id = Some(event.successor_id);
                        facts.retire_at = event.retire_at;
                    }
                })
            }
            EventData::KeyExported(event) => self.modify(event.key_id, |entity| {
                if let Facts::Key(facts) = &mut entity.facts {
                    facts.exports = facts.exports.saturating_add(1);
                }
            }),
            EventData::CustodyRecipientRemoved(event) => {
                let recipient = EntityRef::recipient(&event.compartment, &event.recipient);
                self.end(recipient, How::Removed, &event.reason)
            }
            EventData::CustodyRekeyed(event) => {
                self.modify(EntityRef::recipient(&event.compartment, &event.recipient), |_| {})
            }
            EventData::EventAttested(event) => match super::standing::facts(self.view, event, self.event)? {
                Some(facts) => self.replace(Facts::Attestation(facts)),
                None => Ok(()),
            },
            EventData::Unknown(_) => self.mark(),
            data => match super::nats::evolve(data, self.event.occurred_at) {
                Some((entity, change)) => self.modify(entity, change),
                None => Ok(()),
            },
        }
    }

    /// Puts facts in place of those that are there.
    fn replace(&mut self, mut facts: Facts) -> Result<(), ViewError> {
        let at = self.event.occurred_at;
        let before = self.view.get(facts.entity_ref())?;
        let entity = match before {
            Some(before) => {
                carry(&mut facts, &before.facts);
                // What is added again after its end is active again: a custody recipient, an applied file.
                let ended = if is_update(&self.event.data) { before.ended } else { None };
                Entity {
                    facts,
                    last: self.cid,
                    created_at: before.created_at,
                    changed_at: at,
                    ended,
                    unknown: before.unknown,
                }
            }
            None => Entity { facts, last: self.cid, created_at: at, changed_at: at, ended: None, unknown: None },
        };
        self.changes.push(Change::Put(entity));
        Ok(())
    }

    fn modify(&mut self, entity: impl Into<EntityRef>, change: impl FnOnce(&mut Entity)) -> Result<(), ViewError> {
        if let Some(mut entity) = self.view.get(entity.into())? {
            change(&mut entity);
            entity.last = self.cid;
            entity.changed_at = self.event.occurred_at;
            self.changes.push(Change::Put(entity));
        }
        Ok(())
    }

    fn end(&mut self, entity: impl Into<EntityRef>, how: How, reason: &Note) -> Result<(), ViewError> {
        let ended = Ended { how, at: self.event.occurred_at, reason: Some(reason.clone()) };
        self.modify(entity, |entity| entity.ended = Some(ended))
    }

    /// Ends every active assignment of a role, or of a person.
    fn end_assignments(&mut self, of: EntityRef, reason: &Note) -> Result<(), ViewError> {
        let ended = Ended { how: How::Withdrawn, at: self.event.occurred_at, reason: Some(reason.clone()) };
        for entity in self.view.all_referring(of, Kind::Assignment) {
            let mut entity = entity?;
            if let Facts::Assignment(facts) = &entity.facts
                && entity.is_active()
                && (EntityRef::from(facts.role_id) == of || EntityRef::from(facts.person_id) == of)
            {
                entity.ended = Some(ended.clone());
                entity.last = self.cid;
                entity.changed_at = self.event.occurred_at;
                self.changes.push(Change::Put(entity));
            }
        }
        Ok(())
    }

    /// Marks what the causes concern: an event that is not known here happened to it.
    fn mark(&mut self) -> Result<(), ViewError> {
        let mut marked = std::collections::BTreeSet::new();
        for cause in &self.event.causes {
            marked.extend(self.view.concerned_by(cause.cid())?);
        }
        for entity in marked {
            let cid = self.cid;
            self.modify(entity, |entity| {
                entity.unknown.get_or_insert(cid);
            })?;
        }
        Ok(())
    }
}
