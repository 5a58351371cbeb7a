//! NATS identities in decentralised JWT authentication: claims, signed tokens, credentials, and what servers make of them.
//!
//! Pure: nothing here reads a clock, a disk or a network, and a private key appears only as something that signs. The
//! claims are those of JWT version 2 (`nats-io/jwt` v2), field for field; fields that a newer version adds are kept.

pub mod check;
pub mod claims;
pub mod creds;
pub mod explain;
pub mod held;
pub mod jwt;
pub mod presets;
pub mod subject;
pub mod template;
pub mod words;
