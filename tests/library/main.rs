//! The library's tests that need no server, a module a subject. `cargo test --test library store_crash::` runs one.
#![allow(unreachable_pub, clippy::unwrap_used)]

#[cfg(feature = "store")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(all(feature = "store", feature = "custody"))]
mod act;
#[cfg(all(feature = "store", feature = "custody"))]
mod acts_faults;
#[cfg(all(feature = "store", feature = "custody"))]
mod apply_file;
#[cfg(feature = "store")]
mod archive_car;
#[cfg(all(feature = "store", feature = "custody"))]
mod archive_ledger;
mod config_layers;
#[cfg(feature = "custody")]
mod custody_age;
#[cfg(all(feature = "store", feature = "custody"))]
mod custody_bundles;
#[cfg(feature = "custody")]
mod custody_files;
#[cfg(feature = "custody")]
mod custody_keys;
#[cfg(all(feature = "store", feature = "custody"))]
mod custody_ledger;
#[cfg(all(feature = "store", feature = "custody"))]
mod custody_support;
mod delivery_model;
mod delivery_simulation;
mod design_document;
mod fuzz_seeds;
mod golden_cids;
#[cfg(all(feature = "store", feature = "custody"))]
mod init_killed;
mod ipld_events;
mod ipld_properties;
mod ipld_strict;
mod ipld_vectors;
mod ledger_decisions;
mod ledger_nats;
#[cfg(all(feature = "store", feature = "custody"))]
mod log_checkpoints;
#[cfg(all(feature = "store", feature = "custody"))]
mod log_ledger;
#[cfg(feature = "store")]
mod log_vectors;
#[cfg(feature = "custody")]
mod nats_decoding;
mod queue_files;
#[cfg(feature = "store")]
mod store_basics;
#[cfg(feature = "store")]
mod store_crash;
#[cfg(feature = "store")]
mod store_damage;
#[cfg(feature = "store")]
mod store_mirrors;
#[cfg(feature = "store")]
mod store_outbox;
#[cfg(feature = "store")]
mod store_places;
#[cfg(all(feature = "store", feature = "custody"))]
mod tamper;
#[cfg(all(feature = "store", feature = "custody"))]
mod verify_ledger;
mod world;
