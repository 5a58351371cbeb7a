//! What can be configured: plain values, parsed and checked.
//!
//! Nothing here reads the environment or a home folder, and only [`NatsConfig::validate`] looks at files. Who starts the
//! program gathers the [`Layers`]: built-in defaults, then `config.toml`, then `CIM_KEYS_*` variables, then flags; each
//! value remembers where it came from. A library user may as well write a [`NatsConfig`] directly:
//!
//! ```
//! use cim_keys::config::NatsConfig;
//!
//! let config = NatsConfig { url: "nats://n1.acme.example,nats://n2.acme.example".parse()?, ..NatsConfig::default() };
//! assert_eq!(config.stream_name.as_str(), "CIM_KEYS_EVENTS");
//! # Ok::<(), cim_keys::text::InvalidText>(())
//! ```
//!
//! Every key, with its default and meaning, stands in [`KEYS`]; `docs/NATS_INTEGRATION.md` and the commented file of
//! [`Config::example`] are made from it.

mod keys;
mod layers;
mod server_url;
mod validate;
mod values;

pub use keys::{KEYS, Key};
pub use layers::{ConfigError, Layers, Origin, Problem, Resolved, Setting};
pub use server_url::{ServerUrl, ServerUrls};
pub use values::{Config, InboxPrefix, NatsConfig, Payload, TlsConfig, VerifyConfig};
