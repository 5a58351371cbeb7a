//! For the tests of cim-keys: real servers, faulty networks, full disks, and the check that each test of delivery ends in.
//!
//! A helper of a test that can't do its work fails the test: it panics and says why. What a machine lacks (a server, the
//! right to mount) is skipped visibly, by [`tools::skip`].

pub mod again;
pub mod auth_service;
pub mod certs;
pub mod check;
pub mod cluster;
pub mod disk;
pub mod folders;
pub mod jwt_mode;
pub mod kill;
pub mod kill_points;
pub mod manifests;
pub mod nats_server;
pub mod outbox_conformance;
pub mod proxy;
pub mod samples;
pub mod simulator;
pub mod terminal;
pub mod texts;
pub mod tools;

pub use again::{again, again_at};
pub use auth_service::AuthService;
pub use certs::Certs;
pub use check::check_everything;
pub use cluster::Cluster;
pub use disk::SmallDisk;
pub use jwt_mode::JwtMode;
pub use kill::Kills;
pub use kill_points::{KillPoint, KillPoints};
pub use nats_server::{NatsServer, ServerOptions};
pub use outbox_conformance::{OutboxUnderTest, outbox_conformance};
pub use proxy::Proxy;

#[cfg(test)]
mod tests;
