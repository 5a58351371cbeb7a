//! Rows of the tables, changed with SQL, so that the file itself is sound.

use cim_keys::ipld_support::ContentAddressedEvent;
use cim_keys::log::Edge;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::history::{EVIDENCE, History, TABLES, content, invented, rewritten};
use super::random::Random;
use super::{Outcome, Told};

/// A row with the names of its columns.
struct Rows {
    table: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

pub(crate) fn mutate(history: &History, random: &mut Random) -> Told {
    for _ in 0..200 {
        let connection = history.tamper();
        let Some((what, layers)) = act(history, &connection, random) else { continue };
        // An act that a constraint turned into nothing is none.
        let changed = content(&connection).map_or(true, |content| content != history.content);
        drop(connection);
        if changed {
            return Told { what: format!("rows: {what}"), outcome: judge(history, layers) };
        }
    }
    Told { what: "rows".into(), outcome: Err("no act has any effect".into()) }
}

/// It must be found in one of the layers that it belongs to.
fn judge(history: &History, layers: &[&str]) -> Result<Outcome, String> {
    let report = match history.verify() {
        Ok(report) => report,
        Err(error) => return Ok(Outcome::Refused(error)),
    };
    if report.ok() {
        return Err("it passes".into());
    }
    let named: Vec<_> = report.problems.iter().map(|problem| problem.layer.as_str()).collect();
    if !named.iter().any(|name| layers.contains(name)) {
        return Err(format!("it is found in {named:?}, and belongs to {layers:?}"));
    }
    Ok(Outcome::Found(named))
}

/// Where damage of a table is to be told.
fn layers(table: &str) -> &'static [&'static str] {
    match table {
        "log" => &["log", "block", "order", "tree", "identity"],
        "node" => &["tree"],
        "blob" => &["blob"],
        "checkpoint" => &["checkpoint", "signature"],
        "meta" => &["identity", "checkpoint", "file"],
        _ => &["projection"],
    }
}

fn act(history: &History, connection: &Connection, random: &mut Random) -> Option<(String, &'static [&'static str])> {
    if random.below(8) == 0 {
        return redo(history, connection, random);
    }
    let table = *random.choose(&TABLES);
    let rows = read(connection, table);
    if rows.rows.is_empty() {
        return None;
    }
    let column = random.below(rows.columns.len());
    let at = random.below(rows.rows.len());
    let row = &rows.rows[at];
    let (what, done) = match random.below(5) {
        0 => ("flip", rows.replace(connection, &[(at, changed(row, column, random, flipped))])),
        1 => ("drop", rows.replace(connection, &[]).and_then(|()| rows.delete(connection, row))),
        2 if rows.rows.len() > 1 => {
            let (one, other) = random.two(rows.rows.len());
            let (mut left, mut right) = (rows.rows[one].clone(), rows.rows[other].clone());
            std::mem::swap(&mut left[column], &mut right[column]);
            ("swap", rows.replace(connection, &[(one, left), (other, right)]))
        }
        3 => ("truncate", rows.replace(connection, &[(at, changed(row, column, random, truncated))])),
        _ => ("duplicate", rows.insert(connection, &changed(row, column, random, flipped))),
    };
    done.ok()?;
    let what =
        if what == "drop" { format!("drop {table}") } else { format!("{what} {table}.{}", rows.columns[column]) };
    Some((what, layers(table)))
}

/// What somebody does who knows how things hang together: hashes are made anew after the change.
fn redo(history: &History, connection: &Connection, random: &mut Random) -> Option<(String, &'static [&'static str])> {
    let last = history.events.len();
    let at = random.below(last);
    let mut events = history.events.clone();
    let what = match random.below(5) {
        0 => {
            events[at] = rewritten(&events[at], random.next() % 1_000);
            "rewrite an event and its identifier"
        }
        1 => {
            events.push(invented(random.next() % 1_000));
            "append an event"
        }
        2 => {
            events.truncate(at);
            "truncate the log"
        }
        3 => {
            let (one, other) = random.two(last);
            events.swap(one, other);
            "swap two events"
        }
        _ => {
            events.remove(at);
            "drop an event and close the gap"
        }
    };
    let nodes = random.below(3) > 0;
    write_log(connection, &events).ok()?;
    if nodes {
        write_nodes(connection, &events).ok()?;
    }
    let with = if nodes { ", and the tree" } else { "" };
    let everywhere = &["log", "block", "order", "tree", "checkpoint", "projection", "identity"];
    Some((format!("redo: {what}{with}"), everywhere))
}

fn write_log(
    connection: &Connection,
    events: &[ContentAddressedEvent<cim_keys::events::KeyEvent>],
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM log", [])?;
    for (event, position) in events.iter().zip(1_u64..) {
        let inner = &event.event;
        connection.execute(
            "INSERT INTO log (position, cid, event_id, occurred_at, aggregate, type, block)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                position,
                event.cid.to_bytes(),
                inner.id.as_uuid().as_bytes().to_vec(),
                inner.occurred_at.unix_micros(),
                inner.aggregate().map_or("thing", |aggregate| aggregate.as_str()),
                inner.event_type(),
                event.block(),
            ),
        )?;
    }
    Ok(())
}

fn write_nodes(
    connection: &Connection,
    events: &[ContentAddressedEvent<cim_keys::events::KeyEvent>],
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM node", [])?;
    let mut edge = Edge::default();
    for event in events {
        // As the log numbers them: the leaf, then each subtree that it completes.
        let mut i = tlog_tiles::stored_hash_index(0, edge.size());
        let before = edge.roots().to_vec();
        let completed = edge.size().trailing_ones() as usize;
        edge.push(&event.cid);
        let mut hash = cim_keys::log::leaf_hash(&event.cid);
        connection.execute("INSERT INTO node (i, h) VALUES (?1, ?2)", (i, hash))?;
        for left in before.iter().rev().take(completed) {
            hash = tlog_tiles::node_hash(tlog_tiles::Hash(*left), tlog_tiles::Hash(hash)).0;
            i += 1;
            connection.execute("INSERT INTO node (i, h) VALUES (?1, ?2)", (i, hash))?;
        }
    }
    Ok(())
}

fn read(connection: &Connection, table: &'static str) -> Rows {
    let evidence = if table == "meta" { EVIDENCE } else { "true" };
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} WHERE {evidence}")).unwrap();
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let count = columns.len();
    let rows = statement.query_map([], |row| (0..count).map(|column| row.get(column)).collect()).unwrap();
    let rows = rows.collect::<Result<_, _>>().unwrap();
    Rows { table, columns, rows }
}

impl Rows {
    /// Puts other rows in the place of some, in a way that no unique index minds in between.
    fn replace(&self, connection: &Connection, with: &[(usize, Vec<Value>)]) -> rusqlite::Result<()> {
        for (at, _) in with {
            self.delete(connection, &self.rows[*at])?;
        }
        with.iter().try_for_each(|(_, row)| self.insert(connection, row))
    }

    fn delete(&self, connection: &Connection, row: &[Value]) -> rusqlite::Result<()> {
        let all: Vec<String> =
            self.columns.iter().enumerate().map(|(i, name)| format!("{name} IS ?{}", i + 1)).collect();
        let sql = format!("DELETE FROM {} WHERE {}", self.table, all.join(" AND "));
        connection.execute(&sql, rusqlite::params_from_iter(row)).map(|_| ())
    }

    fn insert(&self, connection: &Connection, row: &[Value]) -> rusqlite::Result<()> {
        // A text may have become one that is not UTF-8: it goes in as bytes, and becomes a text there.
        let places: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(i, value)| match value {
                Value::Blob(_) if self.is_text(i) => format!("CAST(?{} AS TEXT)", i + 1),
                _ => format!("?{}", i + 1),
            })
            .collect();
        let sql = format!("INSERT INTO {} ({}) VALUES ({})", self.table, self.columns.join(", "), places.join(", "));
        connection.execute(&sql, rusqlite::params_from_iter(row)).map(|_| ())
    }

    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().all(|row| matches!(row[column], Value::Text(_)))
    }
}

fn changed(row: &[Value], column: usize, random: &mut Random, change: fn(&mut Random, Value) -> Value) -> Vec<Value> {
    let mut row = row.to_vec();
    let value = std::mem::replace(&mut row[column], Value::Null);
    row[column] = change(random, value);
    row
}

fn flipped(random: &mut Random, value: Value) -> Value {
    match value {
        Value::Integer(number) => Value::Integer(number ^ (1 << random.below(24))),
        Value::Text(text) => {
            let mut bytes = text.into_bytes();
            random.flip(&mut bytes);
            String::from_utf8(bytes).map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text)
        }
        Value::Blob(mut bytes) => {
            random.flip(&mut bytes);
            Value::Blob(bytes)
        }
        value => value,
    }
}

fn truncated(random: &mut Random, value: Value) -> Value {
    match value {
        Value::Integer(number) => Value::Integer(number >> (1 + random.below(8))),
        Value::Text(text) => {
            let bytes = text.as_bytes()[..random.below(text.len())].to_vec();
            String::from_utf8(bytes).map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text)
        }
        Value::Blob(mut bytes) => {
            bytes.truncate(random.below(bytes.len()));
            Value::Blob(bytes)
        }
        value => value,
    }
}
