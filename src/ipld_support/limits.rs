//! What a block may not exceed, and what an event may hold.

/// The longest block that is made or read, in bytes: 8 MiB.
pub const MAX_BLOCK_LEN: usize = 8 << 20;

/// How deep maps and lists may nest.
pub const MAX_DEPTH: usize = 128;

/// The greatest magnitude of an integer in an event: 2^53 - 1, the last that every JSON reader keeps exact.
pub const MAX_EVENT_INTEGER: u64 = (1 << 53) - 1;

/// The multicodec of DAG-CBOR.
pub const DAG_CBOR: u64 = 0x71;

/// The multicodec of raw bytes: a blob.
pub const RAW: u64 = 0x55;

/// The multihash code of SHA2-256.
pub const SHA2_256: u64 = 0x12;
