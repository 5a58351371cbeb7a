//! Events and entities as JSON for other programs. These keys are stable: later releases add, and never rename.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::events::Validity;
use crate::ipld_support::{cid_of_block, to_dag_json};
use crate::ledger::{Entity, Facts};
use crate::store::{AppendedEvent, ReadError, Recorded};
use crate::text::SubjectPrefix;

/// An event: `position, cid, id, type, subject, occurred_at, actor, correlation_id, causes, data`. Causes are content
/// identifiers; data is DAG-JSON.
///
/// # Errors
/// When the block does not read as an event.
pub fn recorded(recorded: &Recorded, prefix: &SubjectPrefix) -> Result<Value, ReadError> {
    let damaged = |detail: String| ReadError::Damaged { position: recorded.position, detail };
    let envelope = recorded.envelope()?;
    let text = to_dag_json(&recorded.block).map_err(|error| damaged(error.to_string()))?;
    let mut block: Value = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let mut take = |name: &str| block.get_mut(name).map(Value::take).unwrap_or_default();
    let subject = format!("{prefix}.{}.{}", recorded.aggregate, envelope.event_type.to_ascii_lowercase());
    let causes: Vec<String> = envelope.causes.iter().map(|cid| cid.to_string()).collect();
    Ok(json!({
        "position": recorded.position,
        "cid": recorded.cid.to_string(),
        "id": take("id"),
        "type": take("type"),
        "subject": subject,
        "occurred_at": take("occurred_at"),
        "actor": take("actor"),
        "correlation_id": take("correlation_id"),
        "causes": causes,
        "data": take("data"),
    }))
}

/// An event that was recorded this moment, in the form of [`recorded`].
#[must_use]
pub fn appended(appended: &AppendedEvent, prefix: &SubjectPrefix) -> Value {
    let event = &appended.event;
    let aggregate = event.aggregate().map_or("unknown", |aggregate| aggregate.as_str());
    let subject = format!("{prefix}.{aggregate}.{}", event.event_type().to_ascii_lowercase());
    let block = crate::ipld_support::canonical_bytes(event).unwrap_or_default();
    debug_assert_eq!(cid_of_block(&block), appended.cid);
    let text = to_dag_json(&block).unwrap_or_default();
    let data = serde_json::from_str::<Value>(&text).ok().and_then(|mut block| Some(block.get_mut("data")?.take()));
    json!({
        "position": appended.position,
        "cid": appended.cid.to_string(),
        "id": event.id,
        "type": event.event_type(),
        "subject": subject,
        "occurred_at": event.occurred_at,
        "actor": event.actor,
        "correlation_id": event.correlation_id,
        "causes": event.causes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "data": data,
    })
}

/// An entity: `kind, id, status`, its attributes as events name them, then `created_at, changed_at, last_event` and, when
/// it ended, `ended_at` and `end_reason`.
#[must_use]
pub fn entity(entity: &Entity) -> Value {
    let reference = entity.entity_ref();
    let mut object = Map::new();
    object.insert("kind".into(), reference.kind.as_str().into());
    object.insert("id".into(), reference.id.to_string().into());
    object.insert("status".into(), entity.status().into());
    if let Some(name) = entity.facts.name() {
        object.insert("name".into(), name.as_str().into());
    }
    for (name, value) in attributes(&entity.facts) {
        object.entry(name).or_insert(value);
    }
    object.insert("created_at".into(), entity.created_at.to_string().into());
    object.insert("changed_at".into(), entity.changed_at.to_string().into());
    object.insert("last_event".into(), entity.last.to_string().into());
    if let Some(ended) = &entity.ended {
        object.insert("ended_at".into(), ended.at.to_string().into());
        if let Some(reason) = &ended.reason {
            object.insert("end_reason".into(), reason.as_str().into());
        }
    }
    Value::Object(object)
}

/// The attributes, without the identifier: it stands beside them.
fn attributes(facts: &Facts) -> Map<String, Value> {
    let (value, own) = match facts {
        Facts::Ledger(it) => (object(it), "ledger_id"),
        Facts::Organization(it) => (object(it), "organization_id"),
        Facts::Unit(it) => (object(it), "unit_id"),
        Facts::Location(it) => (object(it), "location_id"),
        Facts::Person(it) => (object(it), "person_id"),
        Facts::Role(it) => (object(it), "role_id"),
        Facts::Assignment(it) => (object(it), "assignment_id"),
        Facts::Policy(it) => (object(it), "policy_id"),
        Facts::Relationship(it) => (object(it), "relationship_id"),
        Facts::Key(it) => (object(it), "key_id"),
        Facts::Recipient(it) => (object(it), ""),
        Facts::Operator(it) => (object(it), ""),
        Facts::Account(it) => (object(it), ""),
        Facts::User(it) => (object(it), ""),
        Facts::SigningKey(it) => (object(it), ""),
        Facts::Manifest(it) => (object(it), ""),
        Facts::Attestation(it) => (object(it), ""),
        Facts::SignatureRequirement(it) => (object(it), ""),
    };
    // A location's or relationship's own kind would hide what the object is.
    let renamed = |name: String| match (facts, name.as_str()) {
        (Facts::Location(_), "kind") => "location_kind".to_owned(),
        (Facts::Relationship(_), "kind") => "relationship_kind".to_owned(),
        _ => name,
    };
    let others = value.into_iter().filter(|(name, _)| name != own);
    others.map(|(name, value)| (renamed(name), value)).collect()
}

fn object(facts: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(facts) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// A validity for people, to be put behind what it is about; empty for one without ends.
#[must_use]
pub fn validity(validity: &Validity) -> String {
    let day = |time: crate::time::Timestamp| time.to_string().get(..10).unwrap_or_default().to_owned();
    match (validity.not_before(), validity.not_after()) {
        (None, None) => String::new(),
        (Some(from), None) => format!(" from {}", day(from)),
        (None, Some(until)) => format!(" until {}", day(until)),
        (Some(from), Some(until)) => format!(" from {} until {}", day(from), day(until)),
    }
}
