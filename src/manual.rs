//! The manual: how to work with cim-keys, and the reasons for its design.
//!
//! - [`ceremony`]: the first day, on a machine without a network, step by step.
//! - [`recovery`]: what to do when something is lost, damaged or stolen.
//! - [`defaults`]: every default, and the reason for it.
//! - [`threat_model`]: which attackers this protects against, and which it does not.
//!
//! The formats, byte by byte, are in the repository's `docs/design.md`; publishing is in `docs/NATS_INTEGRATION.md`,
//! and the declarative file in `docs/apply.md`.

pub mod ceremony;
pub mod defaults;
pub mod recovery;
pub mod threat_model;
