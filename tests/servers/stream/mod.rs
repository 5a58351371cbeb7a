//! The way back from a stream to a ledger, against real servers: reading, verifying, replaying, following, putting back.

mod reconciling;
mod replaying;
mod support;
mod tampering;
mod verifying;
