//! Decisions: what may follow what is recorded.

use std::collections::BTreeSet;

use cid::Cid;

use super::command::{Cause, Command, EventDraft};
use super::ended::How;
use super::entity::{Entity, EntityRef, Facts, Kind};
use super::evolve::facts_of;
use super::refusal::Refusal;
use super::view::{Index, NameKey, View, each_referrer};
use crate::events::{
    EventData, KeyExported, KeyGenerated, KeyPurpose, KeyRevoked, KeyRotated, LedgerRelation, Party,
    RelationshipEstablished, RelationshipKind, RoleAssigned, RoleWithdrawn,
};
use crate::ids::{KeyId, OrganizationId, RoleId};
use crate::text::Label;
use crate::time::Timestamp;

/// How deep units and locations nest.
const DEEPEST: usize = 64;

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
            super::attestation::keep_a_signer(view, |it| it.owner == who)?;
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
                super::attestation::keep_a_signer(view, |it| it.key_id == *key_id)?;
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
        Command::Attest { attestation, at } => return super::attestation::attest(view, attestation, *at),
        Command::VouchForLedgerKey(attestation) => {
            return super::attestation::vouch_for_ledger_key(view, attestation);
        }
        Command::RequireSignatures(event) => return super::attestation::require(view, event),
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

pub(super) fn draft(data: impl Into<EventData>, causes: impl IntoIterator<Item = Cid>) -> EventDraft {
    let mut seen = BTreeSet::new();
    let causes = causes.into_iter().filter(|cid| seen.insert(*cid)).map(Cause::Recorded).collect();
    EventDraft { data: data.into(), causes }
}

/// An entity that is recorded and holds nothing that is unknown here.
pub(super) fn known(view: &dyn View, reference: EntityRef) -> Result<Entity, Refusal> {
    let entity = view.get(reference)?.ok_or(Refusal::Unknown(reference))?;
    match entity.unknown {
        Some(event) => Err(Refusal::HoldsUnknown { what: entity.label(), event: Box::new(event) }),
        None => Ok(entity),
    }
}

/// An entity that is known and has not ended.
pub(super) fn active(view: &dyn View, reference: EntityRef) -> Result<Entity, Refusal> {
    let entity = known(view, reference)?;
    match &entity.ended {
        None => Ok(entity),
        Some(ended) => Err(Refusal::HasEnded {
            what: entity.label(),
            how: ended.how.as_str(),
            on: day(ended.at),
            next: match ended.how {
                How::Deactivated => "reactivate the person first, or name another",
                How::Rotated => "name its successor",
                _ => "name another, or add a new one",
            },
        }),
    }
}

fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// The last events of entities that are referred to, all of which must be active.
fn references(view: &dyn View, refs: impl IntoIterator<Item = EntityRef>) -> Result<Vec<Cid>, Refusal> {
    refs.into_iter().map(|reference| active(view, reference).map(|entity| entity.last)).collect()
}

/// No other entity holds one of the names.
fn names_are_free(view: &dyn View, facts: &Facts, except: &[EntityRef]) -> Result<(), Refusal> {
    for (key, unique) in facts.names() {
        if !unique {
            continue;
        }
        for holder in view.find(&key, except.len() + 1)? {
            let reference = holder.entity_ref();
            if !except.contains(&reference) && holder.names().any(|(name, held)| held && name == key) {
                return Err(taken(&key, &holder));
            }
        }
    }
    Ok(())
}

fn taken(key: &NameKey, holder: &Entity) -> Refusal {
    let shown = crate::text::visible(&key.key);
    let what = match key.index {
        Index::Name => format!("the name \"{shown}\""),
        Index::Email => format!("the e-mail address {shown}"),
        Index::PublicKey => format!("the public key {shown}"),
        Index::Pair | Index::Event => format!("this {}", key.kind),
    };
    Refusal::Taken { what, holder: holder.label(), id: holder.entity_ref().id }
}

/// What is referred to belongs to the same organisation, and no one is above itself.
fn fits(view: &dyn View, facts: &Facts) -> Result<(), Refusal> {
    let Some(organization) = facts.organization() else { return Ok(()) };
    for reference in facts.refers_to() {
        let other = match reference.kind {
            Kind::Organization => continue,
            _ => known(view, reference)?,
        };
        if other.facts.organization().is_some_and(|id| id != organization) {
            let one = facts.name().map_or_else(|| facts.entity_ref().to_string(), |name| format!("\"{name}\""));
            return Err(Refusal::OtherOrganization { one, other: other.label() });
        }
    }
    let own = facts.entity_ref();
    let label = || facts.name().map_or_else(|| own.to_string(), |name| format!("{} \"{name}\"", own.kind));
    let mut above = facts.parent();
    for _ in 0..DEEPEST {
        let Some(parent) = above else { return Ok(()) };
        if parent == own {
            let inside = facts.parent().map(|parent| known(view, parent)).transpose()?;
            let inside = inside.map_or_else(String::new, |entity| entity.label());
            return Err(Refusal::Cycle { what: label(), inside });
        }
        above = view.get(parent)?.and_then(|entity| entity.facts.parent());
    }
    Err(Refusal::TooDeep(label()))
}

pub(super) fn create(view: &dyn View, data: EventData) -> Result<Vec<EventDraft>, Refusal> {
    create_beside(view, data, &[])
}

/// Makes an entity, which may take the names of those in `except`.
pub(super) fn create_beside(
    view: &dyn View,
    data: EventData,
    except: &[EntityRef],
) -> Result<Vec<EventDraft>, Refusal> {
    let Some(facts) = facts_of(&data) else { return Ok(Vec::new()) };
    if view.get(facts.entity_ref())?.is_some() {
        return Err(Refusal::AlreadyThere(facts.entity_ref()));
    }
    names_are_free(view, &facts, except)?;
    let causes = references(view, facts.refers_to())?;
    fits(view, &facts)?;
    Ok(vec![draft(data, causes)])
}

pub(super) fn update(view: &dyn View, data: EventData) -> Result<Vec<EventDraft>, Refusal> {
    let Some(mut facts) = facts_of(&data) else { return Ok(Vec::new()) };
    let before = active(view, facts.entity_ref())?;
    super::nats::carry(&mut facts, &before.facts);
    if before.facts == facts {
        return Ok(Vec::new());
    }
    if before.facts.organization() != facts.organization() {
        return Err(Refusal::StaysInOrganization(before.label()));
    }
    names_are_free(view, &facts, &[facts.entity_ref()])?;
    let known_before = before.facts.refers_to();
    let new = facts.refers_to().into_iter().filter(|reference| !known_before.contains(reference));
    let mut causes = vec![before.last];
    causes.extend(references(view, new)?);
    fits(view, &facts)?;
    Ok(vec![draft(data, causes)])
}

fn reactivate(view: &dyn View, reference: EntityRef, data: EventData) -> Result<Vec<EventDraft>, Refusal> {
    let entity = known(view, reference)?;
    if entity.is_active() {
        return Err(Refusal::IsActive(entity.label()));
    }
    names_are_free(view, &entity.facts, &[reference])?;
    references(view, entity.facts.refers_to())?;
    Ok(vec![draft(data, [entity.last])])
}

/// No active entity of these kinds depends on one that is to end.
pub(super) fn unused(view: &dyn View, reference: EntityRef, kinds: &[Kind]) -> Result<(), Refusal> {
    for &kind in kinds {
        let user = each_referrer(view, reference, kind, |entity| Ok(entity.is_active().then_some(entity)))?;
        if let Some(user) = user {
            let what = known(view, reference)?.label();
            return Err(Refusal::InUse { what, by: user.label() });
        }
    }
    Ok(())
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
    Ok(view.list(Kind::Ledger, None, 1_000)?)
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
    each_referrer(view, person, Kind::Assignment, |entity| {
        if let Facts::Assignment(facts) = &entity.facts
            && entity.is_active()
            && EntityRef::from(facts.person_id) == person
        {
            roles.push(facts.role_id);
        }
        Ok(None::<()>)
    })?;
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
    each_referrer(view, role_id.into(), Kind::Assignment, |entity| {
        if let Facts::Assignment(facts) = &entity.facts
            && entity.is_active()
            && facts.role_id == role_id
        {
            holders.push(facts.person_id);
        }
        Ok(None::<()>)
    })?;
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
    let mut after = None;
    loop {
        let page = view.list(Kind::Recipient, after, 256)?;
        let Some(last) = page.last() else { return Err(Refusal::LastRecipient) };
        after = Some(last.entity_ref().id);
        let stays = page.iter().any(|entity| {
            entity.is_active()
                && entity.entity_ref() != leaving
                && matches!(&entity.facts, Facts::Recipient(facts) if facts.compartment == *compartment)
        });
        if stays {
            return Ok(());
        }
    }
}
