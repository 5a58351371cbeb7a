//! Decisions: what may follow what is recorded.

use std::collections::BTreeSet;

use cid::Cid;

use super::attestation::{attest, keep_a_signer, require, vouch_for_ledger_key};
use super::command::{Cause, Command, EventDraft};
use super::entity::{Entity, How};
use super::facts::Facts;
use super::lifecycle::{active, create, create_beside, day, draft, known, reactivate, references, unused, update};
use super::reference::{EntityRef, Kind};
use super::refusal::Refusal;
use super::stated::facts_of;
use super::view::View;
use crate::events::{
    EventData, KeyExported, KeyGenerated, KeyPurpose, KeyRevoked, KeyRotated, LedgerRelation, Party,
    RelationshipEstablished, RelationshipKind, RoleAssigned, RoleWithdrawn,
};
use crate::ids::{KeyId, OrganizationId, RoleId};
use crate::text::Label;
use crate::time::Timestamp;

/// Decides on one command: the events that it leads to, or why not. No event means that nothing would change.
///
/// # Errors
/// The reason why the command may not follow what is recorded.
pub fn decide(view: &dyn View, command: &Command) -> Result<Vec<EventDraft>, Refusal> {
    let data = match command {
        Command::Nats(command) => return super::nats::decide(view, command),
        Command::CreateLedger(event) => return create_ledger(view, event.clone().into()),
        Command::LinkLedger(event) => return link_ledger(view, event.clone().into(), event.relation),
        Command::RotateLedgerKey { rotated: event, head } => {
            let ledger = this_ledger(view, event.ledger_id.into())?;
            match &ledger.facts {
                Facts::Ledger(facts) if facts.public_key == event.previous_public_key => {}
                _ => return Err(Refusal::OtherLedgerKey),
            }
            return Ok(vec![draft(event.clone(), [ledger.last].into_iter().chain(*head))]);
        }
        Command::HandOverLedger(event) => {
            let ledger = this_ledger(view, event.ledger_id.into())?;
            return Ok(vec![draft(event.clone(), [ledger.last])]);
        }
        Command::RecordManifest(event) => {
            let before = view.get(EntityRef::manifest(&event.name))?;
            return Ok(vec![draft(event.clone(), before.map(|entity| entity.last))]);
        }
        Command::CreateOrganization(event) => return create(view, event.clone().into()),
        Command::CreateUnit(event) => return create(view, event.clone().into()),
        Command::CreateLocation(event) => return create(view, event.clone().into()),
        Command::CreatePerson(event) => return create(view, event.clone().into()),
        Command::CreateRole(event) => return create(view, event.clone().into()),
        Command::CreatePolicy(event) => return create(view, event.clone().into()),
        Command::GenerateKey(event) => return create(view, event.clone().into()),
        Command::ImportKey(event) => return create(view, event.clone().into()),

        Command::UpdateOrganization(event) => return update(view, event.clone().into()),
        Command::UpdateUnit(event) => return update(view, event.clone().into()),
        Command::UpdateLocation(event) => return update(view, event.clone().into()),
        Command::UpdatePerson(event) => return update(view, event.clone().into()),
        Command::UpdateRole(event) => {
            separate_holders(view, event.role_id, &event.excludes)?;
            return update(view, event.clone().into());
        }
        Command::UpdatePolicy(event) => return update(view, event.clone().into()),

        Command::DissolveUnit(event) => {
            unused(view, event.unit_id.into(), &[Kind::Unit, Kind::Person])?;
            (event.unit_id.into(), EventData::from(event.clone()))
        }
        Command::CloseLocation(event) => {
            unused(view, event.location_id.into(), &[Kind::Location, Kind::Person])?;
            (event.location_id.into(), event.clone().into())
        }
        Command::DeactivatePerson(event) => {
            let who = Party::Person(event.person_id);
            keep_a_signer(view, |it| it.owner == who)?;
            (event.person_id.into(), event.clone().into())
        }
        Command::ReactivatePerson(event) => return reactivate(view, event.person_id.into(), event.clone().into()),
        Command::RetireRole(event) => (event.role_id.into(), event.clone().into()),
        Command::AssignRole(event) => return assign(view, event),
        Command::WithdrawRole { assignment_id, reason } => {
            let assignment = active(view, (*assignment_id).into())?;
            let Facts::Assignment(facts) = &assignment.facts else {
                return Err(Refusal::Unknown((*assignment_id).into()));
            };
            let (role_id, person_id) = (facts.role_id, facts.person_id);
            let event = RoleWithdrawn { assignment_id: *assignment_id, role_id, person_id, reason: reason.clone() };
            ((*assignment_id).into(), event.into())
        }
        Command::WithdrawPolicy(event) => (event.policy_id.into(), event.clone().into()),
        Command::EstablishRelationship(event) => return establish(view, event),
        Command::EndRelationship(event) => (event.relationship_id.into(), event.clone().into()),
        Command::RevokeKey { key_id, reason, note, invalid_since } => {
            let (key, public_key) = unrevoked(view, *key_id)?;
            if matches!(&key.facts, Facts::Key(it) if it.purpose == KeyPurpose::ActSigning) {
                keep_a_signer(view, |it| it.key_id == *key_id)?;
            }
            let (reason, note) = (*reason, note.clone());
            let event = KeyRevoked { key_id: *key_id, public_key, reason, note, invalid_since: *invalid_since };
            return Ok(vec![draft(event, [key.last])]);
        }
        Command::RotateKey { key_id, successor, retire_at } => return rotate(view, *key_id, successor, *retire_at),
        Command::ExportKey { key_id, recipient, reason } => {
            let key = known(view, (*key_id).into())?;
            let Facts::Key(facts) = &key.facts else { return Err(Refusal::Unknown((*key_id).into())) };
            if facts.compartment.is_none() {
                return Err(Refusal::NotInCustody(key.label()));
            }
            let public_key = facts.public_key.clone();
            let event =
                KeyExported { key_id: *key_id, public_key, recipient: recipient.clone(), reason: reason.clone() };
            return Ok(vec![draft(event, [key.last])]);
        }
        Command::AddRecipient(event) => {
            let reference = EntityRef::recipient(&event.compartment, &event.recipient);
            let before = view.get(reference)?;
            let data = EventData::from(event.clone());
            let same = |before: &Entity| before.is_active() && Some(&before.facts) == facts_of(&data).as_ref();
            if before.as_ref().is_some_and(same) {
                return Ok(Vec::new());
            }
            let mut causes: Vec<Cid> = before.map(|entity| entity.last).into_iter().collect();
            causes.extend(references(view, facts_of(&data).iter().flat_map(Facts::refers_to))?);
            return Ok(vec![draft(data, causes)]);
        }
        Command::Attest { attestation, at } => return attest(view, attestation, *at),
        Command::VouchForLedgerKey(attestation) => {
            return vouch_for_ledger_key(view, attestation);
        }
        Command::RequireSignatures(event) => return require(view, event),
        Command::RemoveRecipient(event) => {
            let reference = EntityRef::recipient(&event.compartment, &event.recipient);
            keeps_a_recipient(view, &event.compartment, reference)?;
            (reference, event.clone().into())
        }
        Command::RecordRekey(event) => {
            let before = view.get(EntityRef::recipient(&event.compartment, &event.recipient))?;
            return Ok(vec![draft(event.clone(), before.map(|entity| entity.last))]);
        }
    };
    let (reference, data) = data;
    let entity = active(view, reference)?;
    Ok(vec![draft(data, [entity.last])])
}

fn create_ledger(view: &dyn View, data: EventData) -> Result<Vec<EventDraft>, Refusal> {
    if each_ledger(view)?.iter().any(is_own) {
        return Err(Refusal::LedgerThere);
    }
    Ok(vec![draft(data, [])])
}

fn link_ledger(view: &dyn View, data: EventData, relation: LedgerRelation) -> Result<Vec<EventDraft>, Refusal> {
    let Some(facts) = facts_of(&data) else { return Ok(Vec::new()) };
    let before = view.get(facts.entity_ref())?;
    if before.as_ref().is_some_and(is_own) {
        return Err(Refusal::WithItself(format!("this ledger ({relation})")));
    }
    if before.as_ref().is_some_and(|before| before.facts == facts) {
        return Ok(Vec::new());
    }
    Ok(vec![draft(data, before.map(|entity| entity.last))])
}

fn each_ledger(view: &dyn View) -> Result<Vec<Entity>, Refusal> {
    Ok(view.all(Kind::Ledger).collect::<Result<_, _>>()?)
}

fn is_own(entity: &Entity) -> bool {
    matches!(&entity.facts, Facts::Ledger(facts) if facts.relation.is_none())
}

fn this_ledger(view: &dyn View, reference: EntityRef) -> Result<Entity, Refusal> {
    let ledger = known(view, reference)?;
    if is_own(&ledger) { Ok(ledger) } else { Err(Refusal::OtherLedger(reference)) }
}

/// The active assignments of a person, as pairs of assignment and role.
fn roles_of(view: &dyn View, person: EntityRef) -> Result<Vec<RoleId>, Refusal> {
    let mut roles = Vec::new();
    for entity in view.all_referring(person, Kind::Assignment).active() {
        if let Facts::Assignment(facts) = entity?.facts
            && EntityRef::from(facts.person_id) == person
        {
            roles.push(facts.role_id);
        }
    }
    Ok(roles)
}

fn assign(view: &dyn View, event: &RoleAssigned) -> Result<Vec<EventDraft>, Refusal> {
    let role = active(view, event.role_id.into())?;
    let person = active(view, event.person_id.into())?;
    let organization = |entity: &Entity| -> Option<OrganizationId> { entity.facts.organization() };
    if organization(&role) != organization(&person) {
        return Err(Refusal::OtherOrganization { one: role.label(), other: person.label() });
    }
    let Facts::Role(definition) = &role.facts else { return Err(Refusal::Unknown(event.role_id.into())) };
    for held in roles_of(view, event.person_id.into())? {
        let Some(other) = view.get(held.into())? else { continue };
        let excluded = match &other.facts {
            Facts::Role(facts) => facts.excludes.contains(&event.role_id) || definition.excludes.contains(&held),
            _ => false,
        };
        if excluded {
            return Err(Refusal::Excluded { person: person.label(), role: role.label(), other: other.label() });
        }
    }
    create(view, event.clone().into())
}

/// Whoever holds a role holds none of those that it is to exclude.
fn separate_holders(view: &dyn View, role_id: RoleId, excludes: &BTreeSet<RoleId>) -> Result<(), Refusal> {
    if excludes.is_empty() {
        return Ok(());
    }
    let mut holders = Vec::new();
    for entity in view.all_referring(role_id.into(), Kind::Assignment).active() {
        if let Facts::Assignment(facts) = entity?.facts
            && facts.role_id == role_id
        {
            holders.push(facts.person_id);
        }
    }
    for holder in holders {
        if let Some(&other) = roles_of(view, holder.into())?.iter().find(|id| excludes.contains(id)) {
            return Err(Refusal::Excluded {
                person: known(view, holder.into())?.label(),
                role: known(view, role_id.into())?.label(),
                other: known(view, other.into())?.label(),
            });
        }
    }
    Ok(())
}

fn establish(view: &dyn View, event: &RelationshipEstablished) -> Result<Vec<EventDraft>, Refusal> {
    if event.subject == event.object {
        return Err(Refusal::WithItself(event.subject.to_string()));
    }
    match (event.kind, event.permissions.is_empty()) {
        (RelationshipKind::DelegatesTo, true) => {
            return Err(Refusal::Permissions("a delegation needs at least one permission; say what is delegated"));
        }
        (RelationshipKind::DelegatesTo, false) | (_, true) => {}
        (_, false) => {
            return Err(Refusal::Permissions("only a delegation has permissions; leave them out, or make it one"));
        }
    }
    create(view, event.clone().into())
}

fn unrevoked(view: &dyn View, key_id: KeyId) -> Result<(Entity, crate::text::PublicKey), Refusal> {
    let key = known(view, key_id.into())?;
    let Facts::Key(facts) = &key.facts else { return Err(Refusal::Unknown(key_id.into())) };
    match &key.ended {
        Some(ended) if ended.how == How::Revoked => {
            Err(Refusal::AlreadyRevoked { what: key.label(), on: day(ended.at) })
        }
        _ => {
            let public_key = facts.public_key.clone();
            Ok((key, public_key))
        }
    }
}

fn rotate(
    view: &dyn View,
    key_id: KeyId,
    successor: &KeyGenerated,
    retire_at: Option<Timestamp>,
) -> Result<Vec<EventDraft>, Refusal> {
    let (_, public_key) = unrevoked(view, key_id)?;
    let key = active(view, key_id.into())?;
    match &key.facts {
        Facts::Key(facts) if facts.purpose != successor.purpose => {
            return Err(Refusal::OtherPurpose {
                what: key.label(),
                purpose: facts.purpose.as_str(),
                other: successor.purpose.as_str(),
            });
        }
        _ => {}
    }
    let mut drafts = create_beside(view, successor.clone().into(), &[key_id.into()])?;
    let rotated = KeyRotated { key_id, public_key, successor_id: successor.key_id, retire_at };
    let causes = vec![Cause::Recorded(key.last), Cause::Earlier(0)];
    drafts.push(EventDraft { data: rotated.into(), causes });
    Ok(drafts)
}

fn keeps_a_recipient(view: &dyn View, compartment: &Label, leaving: EntityRef) -> Result<(), Refusal> {
    for entity in view.all(Kind::Recipient).active() {
        let entity = entity?;
        let stays = entity.entity_ref() != leaving
            && matches!(&entity.facts, Facts::Recipient(facts) if facts.compartment == *compartment);
        if stays {
            return Ok(());
        }
    }
    Err(Refusal::LastRecipient)
}
