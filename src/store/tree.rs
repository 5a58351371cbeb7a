//! The log as a Merkle tree (RFC 6962): its leaves are the 36 bytes of the content identifiers, in order, and its node
//! hashes are stored, numbered as Crosby and Wallach do, so that a root or a proof is O(log n) reads.

use std::sync::LazyLock;

use rusqlite::Connection;
use tlog_tiles::{Hash, HashReader, stored_hash_count, stored_hash_index};

use crate::log::{Edge, NodeHash};

/// Reads the right edge of a tree of this size.
pub(super) fn read_edge(connection: &Connection, size: u64) -> rusqlite::Result<Edge> {
    let mut roots = Vec::new();
    let mut first = 0;
    for level in (0..64_u8).rev() {
        if size >> level & 1 == 1 {
            roots.push(read_hash(connection, stored_hash_index(level, first >> level))?);
            first += 1 << level;
        }
    }
    // One root for each bit of the size: it always fits.
    Ok(Edge::from_roots(size, roots).unwrap_or_default())
}

/// Goes past a leaf of which only the stored hash is known.
pub(super) fn push_stored(edge: &mut Edge, connection: &Connection) -> rusqlite::Result<()> {
    let leaf = read_hash(connection, stored_hash_index(0, edge.size()))?;
    edge.push_leaf(leaf, |_, _| Ok(()))
}

/// How many nodes one statement writes.
const TOGETHER: usize = 64;

/// Writes nodes with their numbers.
pub(super) fn write_nodes(connection: &Connection, nodes: &[(u64, NodeHash)]) -> rusqlite::Result<()> {
    static MANY: LazyLock<String> =
        LazyLock::new(|| format!("INSERT INTO node (i, h) VALUES (?, ?){}", ", (?, ?)".repeat(TOGETHER - 1)));
    let chunks = nodes.chunks_exact(TOGETHER);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut statement = connection.prepare_cached(&MANY)?;
        for (n, (i, h)) in chunk.iter().enumerate() {
            statement.raw_bind_parameter(2 * n + 1, i)?;
            statement.raw_bind_parameter(2 * n + 2, h)?;
        }
        statement.raw_execute()?;
    }
    let mut statement = connection.prepare_cached("INSERT INTO node (i, h) VALUES (?1, ?2)")?;
    rest.iter().try_for_each(|node| statement.execute(*node).map(|_| ()))
}

/// How many nodes a tree of this size has.
pub(super) fn node_count(size: u64) -> u64 {
    stored_hash_count(size)
}

fn read_hash(connection: &Connection, index: u64) -> rusqlite::Result<NodeHash> {
    let mut statement = connection.prepare_cached("SELECT h FROM node WHERE i = ?1")?;
    statement.query_row([index], |row| row.get(0))
}

/// The stored nodes, for proofs.
pub(super) struct Nodes<'a>(pub(super) &'a Connection);

impl HashReader for Nodes<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let one = |&index: &u64| {
            let hash = read_hash(self.0, index);
            hash.map(Hash).map_err(|error| tlog_tiles::Error::InvalidInput(format!("node {index}: {error}")))
        };
        indexes.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sha2::{Digest, Sha256};
    use tlog_tiles::record_hash;

    /// RFC 6962, section 2.1, as it is written.
    fn mth(leaves: &[Vec<u8>]) -> NodeHash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => Sha256::new().chain_update([0]).chain_update(leaf).finalize().into(),
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(k);
                Sha256::new().chain_update([1]).chain_update(mth(left)).chain_update(mth(right)).finalize().into()
            }
        }
    }

    #[test]
    fn the_edge_agrees_with_the_rfc_and_with_the_stored_nodes() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE node (i INTEGER PRIMARY KEY, h BLOB NOT NULL)").unwrap();
        let mut edge = Edge::default();
        let mut leaves = Vec::new();
        assert_eq!(edge.root(), mth(&leaves));
        // One at a time at first, then many at once.
        let ahead = |n: u64| if n < 130 { n } else { 260 };
        let mut written = Edge::default();
        for n in 0_u64..260 {
            let leaf = n.to_be_bytes().to_vec();
            let mut nodes = Vec::new();
            while written.size() <= ahead(n).min(259) {
                let leaf = written.size().to_be_bytes();
                let Ok(()) = written.push_leaf(record_hash(&leaf).0, |i, h| {
                    nodes.push((i, *h));
                    Ok::<_, std::convert::Infallible>(())
                });
            }
            write_nodes(&connection, &nodes).unwrap();
            let Ok(()) = edge.push_leaf(record_hash(&leaf).0, |_, _| Ok::<_, std::convert::Infallible>(()));
            leaves.push(leaf);
            assert_eq!(edge.root(), mth(&leaves), "size {}", n + 1);
            assert_eq!(read_edge(&connection, n + 1).unwrap(), edge);
            assert_eq!(tlog_tiles::tree_hash(n + 1, &Nodes(&connection)).unwrap().0, edge.root());
            let count: u64 = connection.query_row("SELECT count(*) FROM node", [], |row| row.get(0)).unwrap();
            assert_eq!(count, node_count(written.size()));
        }
    }
}
