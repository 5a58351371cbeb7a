//! A leaver: what ends with them, and what they could open and others still use.

use std::collections::BTreeSet;

use super::names;
use crate::authority::nats::{NatsDraft, NatsError, users};
use crate::events::{CustodyRecipientRemoved, Party, PersonDeactivated, RelationshipEnded, RevocationReason};
use crate::ids::{KeyId, PersonId, RelationshipId};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Entity, EntityRef, Facts, KeyFacts, Kind, RecipientFacts, View, ViewError};
use crate::text::{Label, Note};

/// One thing of a plan, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which entity.
    pub entity: EntityRef,
    /// What people call it.
    pub name: String,
}

/// A key that others go on using and the leaver could open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedKey {
    /// The key.
    pub key: Item,
    /// The compartment that holds it.
    pub compartment: Label,
}

/// What offboarding a person comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offboarding {
    /// Who leaves.
    pub person: Item,
    /// Whether the person is active still, and will be deactivated.
    pub active: bool,
    /// The roles that end.
    pub roles: Vec<Item>,
    /// The relationships that end.
    pub relationships: Vec<Item>,
    /// The person's own keys, which are revoked.
    pub keys: Vec<Item>,
    /// The person's NATS users, which are cut off.
    pub users: Vec<Item>,
    /// The compartments that stop being sealed to the person.
    pub recipients: Vec<Label>,
    /// The keys of others that the person could open: to be rotated, which nobody but their owners can decide.
    pub to_rotate: Vec<SharedKey>,
    /// Compartments of which it is not recorded who opens them.
    pub unknown: Vec<Label>,
    person_id: PersonId,
    leaving: Vec<RecipientFacts>,
}

impl Offboarding {
    /// Whether nothing would be recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.active
            && self.relationships.is_empty()
            && self.keys.is_empty()
            && self.users.is_empty()
            && self.recipients.is_empty()
    }
}

/// Plans the offboarding of a person.
///
/// # Errors
/// When the person is not there.
pub fn plan(view: &dyn View, who: &str) -> Result<Offboarding, LookupError> {
    let entity = lookup::entity(view, Kind::Person, who)?;
    let person_id = PersonId::from_uuid(entity.entity_ref().id);
    let party = Party::Person(person_id);
    let mut plan = Offboarding {
        person: item(view, &entity)?,
        active: entity.is_active(),
        roles: Vec::new(),
        relationships: Vec::new(),
        keys: Vec::new(),
        users: Vec::new(),
        recipients: Vec::new(),
        to_rotate: Vec::new(),
        unknown: Vec::new(),
        person_id,
        leaving: Vec::new(),
    };
    let about = EntityRef::from(person_id);
    let mut held = BTreeSet::from([party.clone()]);
    for entity in view.all_referring(about, Kind::Assignment).active() {
        let entity = entity?;
        let Facts::Assignment(it) = &entity.facts else { continue };
        if it.person_id == person_id {
            held.insert(Party::Role(it.role_id));
            let role = view.get(it.role_id.into())?;
            plan.roles.extend(role.map(|role| Item { entity: entity.entity_ref(), name: role.label() }));
        }
    }
    for entity in view.all_referring(about, Kind::Relationship).active() {
        let entity = entity?;
        plan.relationships.push(item(view, &entity)?);
    }
    for entity in view.all_referring(about, Kind::User).active() {
        let entity = entity?;
        if matches!(&entity.facts, Facts::User(it) if it.user.owner.as_ref() == Some(&party)) {
            plan.users.push(item(view, &entity)?);
        }
    }
    for entity in view.all_referring(about, Kind::Key) {
        let entity = entity?;
        if matches!(&entity.facts, Facts::Key(it) if it.owner == party && it.revocation.is_none()) {
            plan.keys.push(item(view, &entity)?);
        }
    }
    compartments(view, &held, &mut plan)?;
    Ok(plan)
}

/// What the person could open, alone or through a role, and what else lies there.
fn compartments(view: &dyn View, held: &BTreeSet<Party>, plan: &mut Offboarding) -> Result<(), ViewError> {
    let party = Party::Person(plan.person_id);
    let mut recipients: Vec<RecipientFacts> = Vec::new();
    for entity in view.all(Kind::Recipient).active() {
        if let Facts::Recipient(it) = entity?.facts {
            recipients.push(it);
        }
    }
    let mut open = BTreeSet::new();
    for it in &recipients {
        match &it.holder {
            Some(holder) if held.contains(holder) => {
                open.insert(it.compartment.clone());
                let others = recipients.iter().any(|other| other.compartment == it.compartment && other != it);
                if *holder == party && others {
                    plan.recipients.push(it.compartment.clone());
                    plan.leaving.push(it.clone());
                }
            }
            None if !plan.unknown.contains(&it.compartment) => plan.unknown.push(it.compartment.clone()),
            _ => {}
        }
    }
    for entity in view.all(Kind::Key).active() {
        let entity = entity?;
        let Facts::Key(KeyFacts { compartment: Some(compartment), owner, .. }) = &entity.facts else { continue };
        if open.contains(compartment) && *owner != party {
            let compartment = compartment.clone();
            plan.to_rotate.push(SharedKey { key: item(view, &entity)?, compartment });
        }
    }
    Ok(())
}

/// Carries a plan out, as part of one act: users are cut off, keys revoked, relationships and roles ended, the person is
/// deactivated.
///
/// # Errors
/// When the ledger refuses, or the key that signs the accounts of the users is not given.
pub fn carry_out(draft: &mut NatsDraft<'_, '_>, plan: &Offboarding, reason: &Note) -> Result<(), NatsError> {
    let user_keys = users::revoke_owned(draft, &Party::Person(plan.person_id), reason)?;
    for key in &plan.keys {
        let key_id = KeyId::from_uuid(key.entity.id);
        if !user_keys.contains(&key_id) {
            let (reason, note) = (RevocationReason::CessationOfOperation, Some(reason.clone()));
            draft.run_any(Command::RevokeKey { key_id, reason, note, invalid_since: None })?;
        }
    }
    for relationship in &plan.relationships {
        let relationship_id = RelationshipId::from_uuid(relationship.entity.id);
        draft.run_any(Command::EndRelationship(RelationshipEnded { relationship_id, reason: reason.clone() }))?;
    }
    for it in &plan.leaving {
        let (compartment, recipient) = (it.compartment.clone(), it.recipient.clone());
        let reason = reason.clone();
        draft.run_any(Command::RemoveRecipient(CustodyRecipientRemoved { compartment, recipient, reason }))?;
    }
    if plan.active {
        let person_id = plan.person_id;
        draft.run_any(Command::DeactivatePerson(PersonDeactivated { person_id, reason: reason.clone() }))?;
    }
    Ok(())
}

fn item(view: &dyn View, entity: &Entity) -> Result<Item, ViewError> {
    let (reference, name) = (entity.entity_ref(), names::entity(view, entity)?);
    let name = match reference.kind {
        Kind::Relationship => name,
        kind => format!("{kind} \"{name}\""),
    };
    Ok(Item { entity: reference, name })
}
