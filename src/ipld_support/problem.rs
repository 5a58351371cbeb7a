//! Where and why bytes are no canonical block.

use super::limits::{MAX_BLOCK_LEN, MAX_DEPTH};

/// Where and why bytes are not a canonical block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical block: at byte {offset}, {problem}")]
pub struct BlockError {
    /// The offset of the offending item, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What makes bytes something else than a canonical block. The clauses are of the DAG-CBOR specification's "Strictness".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Bytes follow the value.
    #[error("bytes follow the value: a block holds exactly one")]
    Trailing,
    /// A head is longer than it need be.
    #[error("an integer or a length is not in its shortest form")]
    NotMinimal,
    /// An item of indefinite length.
    #[error("an item has an indefinite length")]
    Indefinite,
    /// A simple value other than false, true and null, a float that is not 64 bits wide, or a reserved head.
    #[error("a simple value other than false, true and null, a float shorter than 64 bits, or a reserved head")]
    Reserved,
    /// A float that is infinite or not a number.
    #[error("a float is infinite or not a number")]
    NotFinite,
    /// Negative zero, whose encoding is that of zero.
    #[error("a float is negative zero")]
    NegativeZero,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A map key that is no string.
    #[error("a map key is not a string")]
    KeyNotString,
    /// A map key that does not sort after the one before it, or is the same.
    #[error("a map key does not sort after the one before it: keys are unique, shorter ones first, then bytewise")]
    KeyOrder,
    /// A tag other than 42.
    #[error("a tag other than 42 (a link)")]
    Tag,
    /// Tag 42 around something that is not a content identifier.
    #[error("a link is not a content identifier, or has bytes after it")]
    Link,
    /// More levels than [`MAX_DEPTH`].
    #[error("it nests deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More bytes than [`MAX_BLOCK_LEN`].
    #[error("it is longer than {MAX_BLOCK_LEN} bytes")]
    TooLong,
    /// A float, in an event.
    #[error("events hold no floats")]
    EventFloat,
    /// A null, in an event.
    #[error("events hold no null: what is absent is left out")]
    EventNull,
    /// An integer beyond 2^53-1, in an event.
    #[error("events hold no integer beyond 2^53-1")]
    EventInteger,
    /// The key `/`, in an event.
    #[error("events hold no map key \"/\": DAG-JSON cannot carry it")]
    EventKey,
    /// A link of another version, codec or hash, in an event.
    #[error("links of events are CIDv1, dag-cbor or raw, sha2-256")]
    EventLink,
    /// The value is well-formed, but something else is needed here.
    #[error("{0} is needed")]
    Expected(&'static str),
    /// An event lacks one of its fields.
    #[error("the event lacks its field \"{0}\"")]
    Missing(&'static str),
}
