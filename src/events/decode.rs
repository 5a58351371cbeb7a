//! Putting an event together from its fields, whatever their order.

use std::fmt;

use ipld_core::ipld::Ipld;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{EventData, KeyEvent};

/// Decodes from any self-describing format. Where the data stands before its type, as in canonical order, it is held as
/// [`Ipld`] in between; `ipld_support` gives the type first.
impl<'de> Deserialize<'de> for KeyEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FIELDS: &[&str] = &["id", "data", "type", "actor", "causes", "schema", "occurred_at", "correlation_id"];
        deserializer.deserialize_struct("KeyEvent", FIELDS, EventVisitor)
    }
}

struct EventVisitor;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Id,
    Data,
    Type,
    Actor,
    Causes,
    Schema,
    OccurredAt,
    CorrelationId,
    #[serde(other)]
    Other,
}

/// The data of an event whose type is known already.
struct DataOf<'a>(&'a str, u32);

impl<'de> DeserializeSeed<'de> for DataOf<'_> {
    type Value = EventData;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EventData, D::Error> {
        EventData::deserialize_as(self.0, self.1, deserializer)
    }
}

impl<'de> Visitor<'de> for EventVisitor {
    type Value = KeyEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KeyEvent, A::Error> {
        let (mut id, mut actor, mut causes, mut occurred_at, mut correlation_id) = (None, None, None, None, None);
        let (mut event_type, mut schema) = (None::<Text<'_>>, None);
        let (mut data, mut held) = (None, None::<Ipld>);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Id => once(&mut id, "id", map.next_value()?)?,
                Field::Type => once(&mut event_type, "type", map.next_value()?)?,
                Field::Actor => once(&mut actor, "actor", map.next_value()?)?,
                Field::Causes => once(&mut causes, "causes", map.next_value()?)?,
                Field::Schema => once(&mut schema, "schema", map.next_value()?)?,
                Field::OccurredAt => once(&mut occurred_at, "occurred_at", map.next_value()?)?,
                Field::CorrelationId => once(&mut correlation_id, "correlation_id", map.next_value()?)?,
                Field::Data => match (&event_type, schema) {
                    (Some(event_type), Some(schema)) if held.is_none() => {
                        once(&mut data, "data", map.next_value_seed(DataOf(&event_type.0, schema))?)?;
                    }
                    _ => once(&mut held, "data", map.next_value()?)?,
                },
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let event_type = needed(event_type, "type")?;
        let schema = needed(schema, "schema")?;
        let data = match (data, held) {
            (Some(data), None) => data,
            (None, Some(held)) => EventData::deserialize_as(&event_type.0, schema, held).map_err(A::Error::custom)?,
            (Some(_), Some(_)) => return Err(A::Error::duplicate_field("data")),
            (None, None) => return Err(A::Error::missing_field("data")),
        };
        Ok(KeyEvent {
            id: needed(id, "id")?,
            data,
            occurred_at: needed(occurred_at, "occurred_at")?,
            actor: needed(actor, "actor")?,
            correlation_id: needed(correlation_id, "correlation_id")?,
            causes: needed(causes, "causes")?,
        })
    }
}

fn once<T, E: serde::de::Error>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

fn needed<T, E: serde::de::Error>(value: Option<T>, name: &'static str) -> Result<T, E> {
    value.ok_or_else(|| E::missing_field(name))
}

/// A string, borrowed where the format allows it.
struct Text<'de>(std::borrow::Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::borrowed_or_owned(deserializer).map(Self)
    }
}
