//! The way back from a stream to a ledger, against real servers: reading, verifying, replaying, following, putting back.
#![cfg(all(feature = "nats-client", feature = "store", feature = "custody"))]
#![allow(clippy::unwrap_used)]

#[path = "../log_support/mod.rs"]
mod log_support;

mod reconciling;
mod replaying;
mod support;
mod tampering;
mod verifying;
