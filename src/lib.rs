//! The offline-first key ledger.

pub mod config;
#[cfg(feature = "custody")]
pub mod custody;
pub mod delivery;
pub mod events;
pub mod ids;
pub mod text;
pub mod time;
