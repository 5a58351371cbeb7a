//! Placeholder.
pub mod samples;
