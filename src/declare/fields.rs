//! Attributes of entries and of what is recorded: the JSON of the event that would create an entity, without its own
//! identifier. In that form what the file says, what the last file said, and what is recorded are compared attribute by
//! attribute.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::ledger::Facts;

/// Attributes by name, as events have them.
pub type Fields = Map<String, Value>;

/// The attributes of what is recorded.
pub(super) fn of_facts(facts: &Facts) -> Fields {
    match facts {
        Facts::Organization(it) => without(it, "organization_id"),
        Facts::Location(it) => without(it, "location_id"),
        Facts::Unit(it) => without(it, "unit_id"),
        Facts::Person(it) => without(it, "person_id"),
        Facts::Role(it) => without(it, "role_id"),
        Facts::Assignment(it) => without(it, "assignment_id"),
        Facts::Policy(it) => without(it, "policy_id"),
        Facts::Relationship(it) => without(it, "relationship_id"),
        Facts::Key(it) => {
            let mut fields = without(it, "key_id");
            let compared = ["name", "algorithm", "purpose", "owner", "compartment", "validity", "location_id"];
            fields.retain(|name, _| compared.contains(&name.as_str()));
            fields
        }
        _ => Fields::new(),
    }
}

fn without(event: &impl Serialize, id: &str) -> Fields {
    match json(event) {
        Value::Object(mut fields) => {
            fields.remove(id);
            fields
        }
        _ => Fields::new(),
    }
}

/// Events are maps of texts, numbers, lists and maps: they always are JSON.
pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
