//! Delivery against real servers, one fault a test. Each ends in the same check: every event once, in order, its CID true,
//! and the outbox empty or the event parked with its reason.
//!
//! `cargo xtask test` fetches the servers; without them these tests say `SKIPPED` and why.

mod cluster;
mod fast;
mod formats;
mod harness;
mod identity;
#[cfg(feature = "store")]
mod ledger;
mod older;
mod outages;
mod processes;
mod refusals;
mod streams;
