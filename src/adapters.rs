//! What speaks to the outside.

mod denials;
pub mod message;
pub mod nats_client;
pub mod nats_system;
pub mod object_store;
#[cfg(feature = "store")]
pub mod stream_reader;

pub use nats_client::NatsClientAdapter;
