//! The library's tests against real servers and other people's programs, which `cargo xtask test` fetches. Without them
//! a test says `SKIPPED` and why.
#![allow(unreachable_pub, clippy::unwrap_used)]

#[cfg(feature = "store")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "nats-client")]
mod cross_language;
#[cfg(feature = "nats-client")]
mod nats;
mod nats_documentation;
#[cfg(feature = "nats-client")]
mod nats_example;
#[cfg(all(feature = "custody", feature = "nats-client"))]
mod nats_explain;
#[cfg(all(feature = "nats-client", feature = "store", feature = "custody"))]
mod stream;
