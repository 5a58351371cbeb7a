//! The file as SQLite sees it: its tables, its pages, and how far it goes.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::store::read::Log;
use crate::store::schema;
use crate::verify::{Layer, Report};

/// The most lines of SQLite's check that are asked for.
const MOST_LINES: u32 = 100;

/// The tables and indexes are those of this version, and nothing else is there: no trigger, no view.
pub(super) fn check_schema(log: &Log<'_>, report: &mut Report) {
    let compared = schema::scratch().and_then(|ours| Ok((objects(&ours)?, objects(log.connection)?)));
    let (ours, theirs) = match compared {
        Ok(both) => both,
        Err(error) => return report.add(Layer::File, None, None, format!("the tables can't be listed: {error}")),
    };
    for (name, sql) in &ours {
        match theirs.get(name) {
            None => report.add(Layer::File, None, None, format!("there is no {name}")),
            Some(other) if other != sql => {
                report.add(
                    Layer::File,
                    None,
                    None,
                    format!("{name} is otherwise than this version of the ledger has it"),
                );
            }
            Some(_) => {}
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        report.add(Layer::File, None, None, format!("there is {name}, which no ledger has"));
    }
}

/// What the file holds, but for the statistics of SQLite's planner.
fn objects(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name, coalesce(sql, '') || ' ON ' || tbl_name FROM sqlite_schema
         WHERE name NOT GLOB 'sqlite_stat[0-9]'",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// SQLite's own check of pages, and of indexes against tables.
pub(super) fn check_pages(log: &Log<'_>, report: &mut Report) {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = log.connection.prepare(&format!("PRAGMA integrity_check({MOST_LINES})"))?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    match read() {
        Ok(lines) => {
            for line in lines.into_iter().filter(|line| line != "ok") {
                report.add(Layer::File, None, None, format!("the file: {line}"));
            }
        }
        Err(error) => report.add(Layer::File, None, None, format!("the file: {error}")),
    }
}

/// The last position: of the log, or of the tree where that is further.
pub(super) fn find_end(log: &Log<'_>, report: &mut Report) -> Option<u64> {
    let number = |sql| log.connection.query_row(sql, [], |row| row.get::<_, Option<u64>>(0));
    let logged = number("SELECT max(max(position), 0) FROM log");
    let nodes = number("SELECT max(i) FROM node");
    // A tree of n leaves has between n and 2n nodes.
    let leaves = match &nodes {
        Ok(Some(last)) if *last < 1 << 50 => {
            let (level, n) = tlog_tiles::split_stored_hash_index(*last);
            Some((n + 1) << level)
        }
        Ok(_) => None,
        Err(error) => {
            report.add(Layer::Tree, None, None, format!("the tree can't be read: {error}"));
            None
        }
    };
    if let Ok(Some(first)) =
        log.connection.query_row("SELECT min(position) FROM log", [], |row| row.get::<_, Option<i64>>(0))
        && first < 1
    {
        report.add(Layer::Log, None, None, format!("there is an event at position {first}, before the first"));
    }
    match logged {
        Ok(logged) => Some(logged.unwrap_or(0).max(leaves.unwrap_or(0))),
        Err(error) => {
            report.add(Layer::Log, None, None, format!("the end of the log can't be read: {error}"));
            leaves
        }
    }
}
