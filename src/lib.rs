//! The offline-first key ledger.

#[cfg(feature = "custody")]
pub mod acts;
#[cfg(feature = "nats-client")]
pub mod adapters;
#[cfg(all(feature = "store", feature = "custody"))]
pub mod app;
#[cfg(feature = "store")]
pub mod archive;
pub mod config;
#[cfg(feature = "custody")]
pub mod custody;
pub mod delivery;
pub mod events;
#[cfg(feature = "store")]
pub mod files;
pub mod ids;
#[cfg(feature = "ipld")]
pub mod ipld_support;
pub mod ledger;
#[cfg(feature = "store")]
pub mod log;
#[cfg(feature = "custody")]
pub mod manual;
#[cfg(feature = "custody")]
pub mod nats;
#[cfg(feature = "ipld")]
pub mod queue;
#[cfg(feature = "store")]
pub mod store;
pub mod text;
pub mod time;
