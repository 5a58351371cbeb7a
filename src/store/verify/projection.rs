//! The tables of entities against their replay, in the order of their keys.

use std::cmp::Ordering;

use rusqlite::Connection;

use crate::ledger::Entity;
use crate::store::read::Log;
use crate::store::schema;
use crate::store::tables::reference_of;
use crate::verify::{Layer, Report};

/// The tables that a replay fills.
pub(super) fn scratch(report: &mut Report) -> Option<Connection> {
    match schema::scratch() {
        Ok(scratch) => Some(scratch),
        Err(error) => {
            report.add(Layer::Projection, None, None, format!("the entities can't be replayed: {error}"));
            None
        }
    }
}

/// Compares all of the tables.
pub(super) fn compare_entities(log: &Log<'_>, scratch: &Connection, report: &mut Report) {
    let same_entity = |one: &str, other: &str| {
        // A release that knows more writes the same entity as another text.
        let parse = |text: &str| serde_json::from_str::<Entity>(text).ok();
        one == other || parse(one).is_some_and(|one| Some(one) == parse(other))
    };
    let entities = "SELECT kind, id, body FROM entity ORDER BY kind, id";
    let compared = compare(log.connection, scratch, entities, same_entity, report)
        .and_then(|()| {
            let names = "SELECT kind, id, number || ' ' || held FROM name ORDER BY kind, id, 3";
            compare(log.connection, scratch, names, |one, other| one == other, report)
        })
        .and_then(|()| {
            let references = "SELECT kind, id, to_kind || ' ' || hex(to_id) FROM reference ORDER BY kind, id, 3";
            compare(log.connection, scratch, references, |one, other| one == other, report)
        })
        .and_then(|()| {
            let marks = "SELECT kind, id, position || '' FROM mark ORDER BY kind, id, 3";
            compare(log.connection, scratch, marks, |one, other| one == other, report)
        });
    if let Err(error) = compared {
        report.add(Layer::Projection, None, None, format!("the tables of entities can't be read: {error}"));
    }
}

type Key = (String, Vec<u8>, String);

fn compare(
    tables: &Connection,
    replay: &Connection,
    sql: &str,
    same: impl Fn(&str, &str) -> bool,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let (mut ours, mut theirs) = (tables.prepare(sql)?, replay.prepare(sql)?);
    let (mut ours, mut theirs) = (ours.query([])?, theirs.query([])?);
    let next = |rows: &mut rusqlite::Rows<'_>| -> rusqlite::Result<Option<(Key, String)>> {
        let Some(row) = rows.next()? else { return Ok(None) };
        let label = reference_of(row).map_or_else(|error| error.to_string(), |reference| reference.to_string());
        Ok(Some(((row.get(0)?, row.get(1)?, row.get(2)?), label)))
    };
    let (mut one, mut other) = (next(&mut ours)?, next(&mut theirs)?);
    let whole = sql.contains("body");
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) if whole => (&one.0, &one.1).cmp(&(&other.0, &other.1)),
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let mut wrong = |row: &Option<(Key, String)>, what: &str| {
            let label = row.as_ref().map_or("", |(_, label)| label.as_str());
            report.add(Layer::Projection, None, None, format!("{label} {what}; rebuild them"));
        };
        match order {
            Ordering::Less => {
                wrong(&one, "is in the tables, and does not follow from the log");
                one = next(&mut ours)?;
            }
            Ordering::Greater => {
                wrong(&other, "follows from the log, and is not in the tables");
                other = next(&mut theirs)?;
            }
            Ordering::Equal => {
                if let (Some((here, _)), Some((there, _))) = (&one, &other)
                    && !same(&here.2, &there.2)
                {
                    wrong(&one, "is otherwise in the tables than follows from the log");
                }
                one = next(&mut ours)?;
                other = next(&mut theirs)?;
            }
        }
    }
}
