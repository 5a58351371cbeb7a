//! The stored hashes of the tree, read in the order in which they follow from the log.

use rusqlite::{Connection, OptionalExtension as _};

use crate::log::{Edge, NodeHash, leaf_hash};
use crate::store::read::Log;
use crate::store::tree::{node_count, push_stored};
use crate::verify::{Layer, Report};

/// Nodes read at a time.
const PAGE: u64 = 1_024;

/// More events than these in a row are not gone past by their stored hashes.
const FARTHEST: u64 = 10_000;

/// The tree as it follows from the log, compared with what is stored.
pub(super) struct Tree<'a> {
    connection: &'a Connection,
    /// Absent once it can't be followed any more.
    edge: Option<Edge>,
    /// Nodes that were read ahead: of these numbers, absent where none is stored.
    first: u64,
    page: Vec<Option<Vec<u8>>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(connection: &'a Connection, edge: Edge) -> Self {
        Self { connection, edge: Some(edge), first: 0, page: Vec::new() }
    }

    pub(super) fn edge(&self) -> Option<&Edge> {
        self.edge.as_ref()
    }

    pub(super) fn into_edge(self) -> Option<Edge> {
        self.edge
    }

    /// Adds an event. The answer is what is wrong with the nodes that it completes, where anything is.
    pub(super) fn push(&mut self, cid: &cid::Cid) -> Option<String> {
        let mut edge = self.edge.take()?;
        let mut wrong = None;
        let pushed = edge.push_leaf(leaf_hash(cid), |i, hash| -> rusqlite::Result<()> {
            match self.stored(i)? {
                None => {
                    wrong.get_or_insert(format!("node {i} of the tree is missing"));
                }
                Some(stored) if stored != hash => {
                    wrong.get_or_insert(format!("node {i} of the tree has another hash than follows from the log"));
                }
                Some(_) => {}
            }
            Ok(())
        });
        match pushed {
            Ok(()) => self.edge = Some(edge),
            // The edge stopped half-way.
            Err(error) => return wrong.or_else(|| Some(format!("the tree can't be read: {error}"))),
        }
        wrong
    }

    /// Goes past events that can't be read, of which the tree keeps the hashes.
    pub(super) fn skip(&mut self, count: u64) {
        if count > FARTHEST {
            self.edge = None;
        }
        for _ in 0..count {
            let Some(mut edge) = self.edge.take() else { return };
            self.edge = push_stored(&mut edge, self.connection).ok().map(|()| edge);
        }
    }

    fn stored(&mut self, i: u64) -> rusqlite::Result<Option<&[u8]>> {
        if !(self.first..self.first + self.page.len() as u64).contains(&i) {
            self.first = i;
            self.page = self.read(i).or_else(|_| self.read_one(i).map(|one| vec![one]))?;
        }
        Ok(self.page.get((i - self.first) as usize).and_then(Option::as_deref))
    }

    fn read(&self, from: u64) -> rusqlite::Result<Vec<Option<Vec<u8>>>> {
        let mut statement =
            self.connection.prepare_cached("SELECT i, h FROM node WHERE i BETWEEN ?1 AND ?2 ORDER BY i")?;
        let mut rows = statement.query([from, from + PAGE - 1])?;
        let mut page = vec![None; PAGE as usize];
        while let Some(row) = rows.next()? {
            let i: u64 = row.get(0)?;
            if let Some(place) = page.get_mut(i.saturating_sub(from) as usize) {
                *place = Some(row.get_ref(1)?.as_blob()?.to_vec());
            }
        }
        Ok(page)
    }

    fn read_one(&self, i: u64) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut statement = self.connection.prepare_cached("SELECT h FROM node WHERE i = ?1")?;
        statement.query_row([i], |row| row.get(0)).optional()
    }
}

/// The root of a tree of this size, for what the walk could not follow.
pub(super) fn stored_root(connection: &Connection, size: u64) -> Option<NodeHash> {
    crate::store::tree::read_edge(connection, size).ok().map(|edge| edge.root())
}

/// There are as many nodes as a tree of as many events has.
pub(super) fn check_count(log: &Log<'_>, report: &mut Report) {
    let count = log.connection.query_row("SELECT count(*) FROM node", [], |row| row.get::<_, u64>(0));
    // What is beyond this is no number of events.
    let size = report.last.min(1 << 53);
    match count {
        Ok(count) if count != node_count(size) => {
            let needed = node_count(size);
            let what = format!("the tree of {size} events has {count} nodes, and should have {needed}");
            report.add(Layer::Tree, None, None, what);
        }
        Ok(_) => {}
        Err(error) => report.add(Layer::Tree, None, None, format!("the tree can't be read: {error}")),
    }
}
