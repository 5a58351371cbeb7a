//! Ledgers for the tests and benches of what is recorded. Each program that includes this needs another part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod acts;
#[cfg(feature = "custody")]
pub mod log;
pub mod store;
