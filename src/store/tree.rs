//! The log as a Merkle tree (RFC 6962): its leaves are the 36 bytes of the content identifiers, in order, and its node
//! hashes are stored, numbered as Crosby and Wallach do, so that a root or a proof is O(log n) reads.

use rusqlite::Connection;
use tlog_tiles::{EMPTY_HASH, Hash, node_hash, record_hash, stored_hash_count, stored_hash_index};

/// The hash of a tree, or of one node of it: SHA-256.
pub type NodeHash = [u8; 32];

/// The right edge of a tree: the roots of its complete subtrees, the largest first. All that appending needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

impl Edge {
    /// Reads the edge of a tree of this size.
    pub(super) fn read(connection: &Connection, size: u64) -> rusqlite::Result<Self> {
        let mut roots = Vec::new();
        let mut first = 0;
        for level in (0..64_u8).rev() {
            if size >> level & 1 == 1 {
                roots.push(read_hash(connection, stored_hash_index(level, first >> level))?);
                first += 1 << level;
            }
        }
        Ok(Self { size, roots })
    }

    /// How many leaves there are.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf and hands each new node, with its number, to `store`.
    pub(super) fn push<E>(&mut self, leaf: &[u8], store: impl FnMut(u64, &NodeHash) -> Result<(), E>) -> Result<(), E> {
        self.push_hash(record_hash(leaf), store)
    }

    /// Goes past a leaf of which only the stored hash is known.
    pub(super) fn push_stored(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let leaf = read_hash(connection, stored_hash_index(0, self.size))?;
        self.push_hash(leaf, |_, _| Ok(()))
    }

    fn push_hash<E>(&mut self, leaf: Hash, mut store: impl FnMut(u64, &NodeHash) -> Result<(), E>) -> Result<(), E> {
        let mut hash = leaf;
        let mut index = stored_hash_index(0, self.size);
        store(index, &hash.0)?;
        // Each trailing one bit of the size is a subtree that this leaf completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(left, hash);
                index += 1;
                store(index, &hash.0)?;
            }
        }
        self.roots.push(hash);
        self.size += 1;
        Ok(())
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> NodeHash {
        let mut roots = self.roots.iter().rev();
        let Some(&last) = roots.next() else { return EMPTY_HASH.0 };
        roots.fold(last, |right, &left| node_hash(left, right)).0
    }
}

/// How many nodes a tree of this size has.
pub(super) fn node_count(size: u64) -> u64 {
    stored_hash_count(size)
}

fn read_hash(connection: &Connection, index: u64) -> rusqlite::Result<Hash> {
    let mut statement = connection.prepare_cached("SELECT h FROM node WHERE i = ?1")?;
    let bytes: [u8; 32] = statement.query_row([index], |row| row.get(0))?;
    Ok(Hash(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sha2::{Digest, Sha256};
    use tlog_tiles::HashReader;

    /// The stored nodes, as the library of the transparency logs reads them.
    struct Nodes<'a>(&'a Connection);

    impl HashReader for Nodes<'_> {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|&index| read_hash(self.0, index).unwrap()).collect())
        }
    }

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
        for n in 0_u64..130 {
            let leaf = n.to_be_bytes().to_vec();
            edge.push(&leaf, |i, h| connection.execute("INSERT INTO node VALUES (?1, ?2)", (i, h)).map(|_| ()))
                .unwrap();
            leaves.push(leaf);
            assert_eq!(edge.root(), mth(&leaves), "size {}", n + 1);
            assert_eq!(Edge::read(&connection, n + 1).unwrap(), edge);
            assert_eq!(tlog_tiles::tree_hash(n + 1, &Nodes(&connection)).unwrap().0, edge.root());
            let count: u64 = connection.query_row("SELECT count(*) FROM node", [], |row| row.get(0)).unwrap();
            assert_eq!(count, node_count(n + 1));
        }
    }
}
