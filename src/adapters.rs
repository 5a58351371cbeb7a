//! What speaks to the outside.

pub mod message;
pub mod nats_client;
pub mod object_store;

pub use nats_client::NatsClientAdapter;
