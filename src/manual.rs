//! The manual: how to work with cim-keys, and why it is as it is.
//!
//! - [`ceremony`]: the first day, on a machine without a network, step by step.
//! - [`recovery`]: what to do when something is lost, damaged or stolen.
//! - [`defaults`]: every default, and why it is this and not another.
//! - [`threat_model`]: against whom this protects, and against whom it does not.
//!
//! The formats, byte by byte, are in the repository's `docs/design.md`; publishing is in `docs/NATS_INTEGRATION.md`, and the
//! declarative file in `docs/apply.md`.

pub mod ceremony;
pub mod defaults;
pub mod recovery;
pub mod threat_model;
