//! NATS identities: what `nsc` does, recorded, and signed by keys in custody.
//!
//! Every act is a [`Work`]: it reads what is recorded, makes keys, edits claims, checks them for what servers refuse or
//! silently break, signs them, and ends as a [`Change`] that is recorded in one transaction or not at all.

pub mod accounts;
pub mod agent;
pub mod auth_callout;
pub mod creds;
pub mod deletion;
pub mod due;
pub mod explain;
mod issue;
pub mod issuer;
pub mod lookup;
pub mod nsc;
pub mod operators;
#[cfg(feature = "nats-client")]
pub mod pull;
#[cfg(feature = "nats-client")]
pub mod push;
pub mod receipt;
pub mod revocations;
pub mod server_config;
#[cfg(feature = "nats-client")]
pub mod servers;
pub mod sharing;
pub mod signing_keys;
pub mod users;
mod work;

pub use work::{Change, KeyAccess, KeyAccessError, Made, NatsError, Work, record};
