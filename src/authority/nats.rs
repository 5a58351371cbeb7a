//! NATS identities: what `nsc` does, recorded, and signed by keys in custody.
//!
//! Every act edits a [`NatsDraft`]: it reads what is recorded, has keys made, edits claims, and checks them for what servers
//! refuse or silently break. The pipeline signs and records it.

mod account_edits;
pub mod accounts;
pub mod agent;
pub mod auth_callout;
pub mod creds;
pub mod deletion;
mod draft;
pub mod due;
mod endings;
mod error;
pub mod explain;
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
pub(crate) mod section;
pub mod server_config;
#[cfg(feature = "nats-client")]
pub mod servers;
pub mod sharing;
mod signing;
pub mod signing_keys;
mod tokens;
pub mod users;

pub use draft::{Made, NatsDraft, edit};
pub use error::NatsError;
pub use signing::SignedActivation;
