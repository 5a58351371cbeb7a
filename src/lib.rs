//! The offline-first key ledger.

pub mod config;
pub mod delivery;
pub mod events;
pub mod ids;
pub mod text;
pub mod time;
