//! The life of an entity, whatever its kind: it is made, replaced, referred to, in use, and comes back.

use std::collections::BTreeSet;

use cid::Cid;

use super::command::{Cause, EventDraft};
use super::entity::{Entity, How};
use super::facts::Facts;
use super::reference::{EntityRef, Index, Kind, NameKey};
use super::refusal::Refusal;
use super::stated::{carry, facts_of};
use super::view::View;
use crate::events::EventData;
use crate::text::visible;
use crate::time::Timestamp;

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

pub(super) fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// The last events of entities that are referred to, all of which must be active.
pub(super) fn references(view: &dyn View, refs: impl IntoIterator<Item = EntityRef>) -> Result<Vec<Cid>, Refusal> {
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
    let shown = visible(&key.key);
    let what = match key.index {
        Index::Name => format!("the name \"{shown}\""),
        Index::Email => format!("the e-mail address {shown}"),
        Index::PublicKey => format!("the public key {shown}"),
        Index::Pair | Index::Event => format!("this {}", key.kind),
    };
    Refusal::Taken { what, holder: holder.label(), id: holder.entity_ref().id }
}

/// How deep units and locations nest.
const DEEPEST: usize = 64;

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
    carry(&mut facts, &before.facts);
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

pub(super) fn reactivate(view: &dyn View, reference: EntityRef, data: EventData) -> Result<Vec<EventDraft>, Refusal> {
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
        if let Some(user) = view.all_referring(reference, kind).active().next().transpose()? {
            let what = known(view, reference)?.label();
            return Err(Refusal::InUse { what, by: user.label() });
        }
    }
    Ok(())
}
