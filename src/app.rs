//! Use cases that take more than one room, one file each. Others are in [`authority`](crate::authority),
//! [`declare`](crate::declare) and `replica`.
//!
//! Nothing here prints, asks, or reads the environment; a front end does that and calls these functions. Those about one
//! kind of thing look up what is meant and answer with a [`Command`](crate::ledger::Command), which the ledger decides
//! on when it is recorded.

pub mod apply;
pub mod archive;
pub mod attest;
pub mod backup;
pub mod carry;
pub mod changes;
pub mod debts;
pub mod describe;
pub mod handover;
pub mod history;
pub mod init;
pub mod leave;
pub mod ledgers;
pub mod locations;
pub mod log;
pub mod medium;
pub mod mirrors;
pub mod names;
pub mod offboard;
pub mod organizations;
pub mod people;
pub mod policies;
pub mod publishing;
pub mod queue;
pub mod recover;
pub mod relationships;
pub mod requests;
pub mod revocation;
pub mod roles;
pub mod state;
pub mod status;
pub mod tokens;
pub mod units;
pub mod verify;
