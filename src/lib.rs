//! The offline-first key ledger: content-addressed events about people, roles, policies and keys, kept on disk and
//! published to NATS JetStream exactly once.
//!
//! Data runs one way: an act (`act::Pipeline`) drafts [`ledger`] commands, which are decided upon and become [`events`]; a
//! `policy` judges them, and keys sign; `ipld_support` gives each its canonical bytes and content identifier; `store` (SQLite)
//! or `queue` (a JSON-lines file) keeps it; [`delivery`] says how it reaches a stream, and `adapters` takes it there. `log`
//! signs and proves what is recorded, `verify` checks it, and `archive` carries it. Private keys are made by `keys` and live in
//! `custody`, and nowhere else; `nats` knows the claims and tokens that they sign.
//!
//! Where to begin: `session` opens a ledger. `authority` makes keys and NATS identities, `declare` plans an apply file,
//! `replica` follows a stream, and `app` has the other use cases. `adapters::NatsClientAdapter` publishes from a program of
//! one's own. `manual` is about ceremonies, recovery, defaults and threats. Nothing in this crate reads the environment, a home
//! folder or a terminal.

#[cfg(feature = "store")]
pub mod act;
#[cfg(feature = "nats-client")]
pub mod adapters;
pub mod advice;
#[cfg(all(feature = "store", feature = "custody"))]
pub mod app;
#[cfg(feature = "store")]
pub mod archive;
#[cfg(all(feature = "store", feature = "custody"))]
pub mod authority;
pub mod config;
#[cfg(feature = "custody")]
pub mod custody;
#[cfg(all(feature = "store", feature = "custody"))]
pub mod declare;
pub mod delivery;
pub mod events;
#[cfg(any(feature = "ipld", feature = "custody"))]
pub mod files;
pub mod ids;
#[cfg(feature = "ipld")]
pub mod ipld_support;
#[cfg(any(feature = "store", feature = "custody"))]
pub mod keys;
pub mod ledger;
#[cfg(feature = "store")]
pub mod log;
#[cfg(feature = "custody")]
pub mod manual;
#[cfg(feature = "custody")]
pub mod nats;
#[cfg(feature = "custody")]
mod parallel;
#[cfg(feature = "store")]
pub mod policy;
#[cfg(feature = "ipld")]
pub mod queue;
#[cfg(all(feature = "store", feature = "custody", feature = "nats-client"))]
pub mod replica;
#[cfg(all(feature = "store", feature = "custody"))]
pub mod session;
#[cfg(feature = "store")]
pub mod store;
pub mod text;
pub mod time;
#[cfg(feature = "store")]
pub mod verify;
