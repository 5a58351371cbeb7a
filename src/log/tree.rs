//! The log as a Merkle tree (RFC 6962, section 2.1): what a stranger checks.

use cid::Cid;
use tlog_tiles::{EMPTY_HASH, Hash, check_record, check_tree, node_hash, record_hash, stored_hash_index};

/// The hash of a leaf, of an inner node or of a whole tree: SHA-256.
pub type NodeHash = [u8; 32];

/// No proof is longer: a tree has at most 2^64 leaves, and a consistency proof one hash more than it is deep.
pub(super) const MAX_PROOF: usize = 65;

/// Why a proof does not prove what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no such leaf in a tree of this size.
    #[error("there is no leaf {index} in a tree of {size}: the proof and the checkpoint do not belong together")]
    Outside {
        /// The leaf's index, from 0.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The older tree is empty, or larger than the newer one: there is nothing to prove.
    #[error("no tree of {size} events goes on from one of {old_size}")]
    Sizes {
        /// The older tree's size.
        old_size: u64,
        /// The newer tree's size.
        size: u64,
    },
    /// The hashes do not lead from the leaf to the root.
    #[error("the proof does not lead from this event to this root: one of the three is not what the ledger recorded")]
    Inclusion,
    /// The hashes do not lead from the one root to the other.
    #[error(
        "the trees of {old_size} and of {size} events do not agree: one history was rewritten, or the proof is damaged"
    )]
    Consistency {
        /// The older tree's size.
        old_size: u64,
        /// The newer tree's size.
        size: u64,
    },
}

/// The hash of an event's leaf: its data are the 36 bytes of the content identifier.
#[must_use]
pub fn leaf_hash(cid: &Cid) -> NodeHash {
    with_cid_bytes(cid, |bytes| record_hash(bytes).0)
}

/// Shows the bytes of a content identifier, which are not allocated where there are 36, as every event's has.
pub(crate) fn with_cid_bytes<T>(cid: &Cid, show: impl FnOnce(&[u8]) -> T) -> T {
    let mut bytes = [0; 36];
    match cid.write_bytes(&mut bytes[..]) {
        Ok(36) => show(&bytes),
        _ => show(&cid.to_bytes()),
    }
}

/// Checks that the tree of this size and root has this leaf at this index (RFC 6962, section 2.1.1).
///
/// # Errors
/// See [`ProofError`].
pub fn check_inclusion(
    proof: &[NodeHash],
    index: u64,
    leaf: &NodeHash,
    size: u64,
    root: &NodeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let hashes = hashes(proof).ok_or(ProofError::Inclusion)?;
    check_record(&hashes, size, Hash(*root), index, Hash(*leaf)).map_err(|_| ProofError::Inclusion)
}

/// Checks that the older tree is the beginning of the newer one (RFC 6962, section 2.1.2). An empty tree is the beginning
/// of every other and says nothing, so it is refused.
///
/// # Errors
/// See [`ProofError`].
pub fn check_consistency(
    proof: &[NodeHash],
    old_size: u64,
    old_root: &NodeHash,
    size: u64,
    root: &NodeHash,
) -> Result<(), ProofError> {
    if old_size == 0 || old_size > size {
        return Err(ProofError::Sizes { old_size, size });
    }
    let disagree = ProofError::Consistency { old_size, size };
    let hashes = hashes(proof).ok_or_else(|| disagree.clone())?;
    check_tree(&hashes, size, Hash(*root), old_size, Hash(*old_root)).map_err(|_| disagree)
}

fn hashes(proof: &[NodeHash]) -> Option<Vec<Hash>> {
    (proof.len() <= MAX_PROOF).then(|| proof.iter().copied().map(Hash).collect())
}

/// The right edge of a tree: the roots of its complete subtrees, the largest first. It is all that appending needs, and it
/// is O(log n): whoever follows a log keeps this, and not the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    roots: Vec<NodeHash>,
}

impl Edge {
    /// The edge of a tree of this size, from the roots of its complete subtrees, the largest first; `None` when their
    /// number does not fit the size.
    #[must_use]
    pub fn from_roots(size: u64, roots: Vec<NodeHash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first.
    #[must_use]
    pub fn roots(&self) -> &[NodeHash] {
        &self.roots
    }

    /// Adds the leaf of an event.
    pub fn push(&mut self, cid: &Cid) {
        let Ok(()) = self.push_leaf(leaf_hash(cid), |_, _| Ok::<_, std::convert::Infallible>(()));
    }

    /// Adds a leaf by its hash, and hands each new node, with its number in storage, to `store`.
    pub(crate) fn push_leaf<E>(
        &mut self,
        leaf: NodeHash,
        mut store: impl FnMut(u64, &NodeHash) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hash = leaf;
        let mut index = stored_hash_index(0, self.size);
        store(index, &hash)?;
        // Each trailing one bit of the size is a subtree that this leaf completes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(Hash(left), Hash(hash)).0;
                index += 1;
                store(index, &hash)?;
            }
        }
        self.roots.push(hash);
        self.size += 1;
        Ok(())
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        let mut roots = self.roots.iter().rev().copied().map(Hash);
        let Some(last) = roots.next() else { return EMPTY_HASH.0 };
        roots.fold(last, |right, left| node_hash(left, right)).0
    }
}
