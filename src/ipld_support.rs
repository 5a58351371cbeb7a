//! Content addressing: the canonical bytes of an event and the identifier (CID) that follows from them.
//!
//! The **canonical bytes** of a value are its DAG-CBOR encoding in the strict form of the specification: definite lengths,
//! every integer and length in its shortest form, map keys are strings, unique, sorted by length and then bytewise, floats
//! are 64 bits wide and finite, and the only tag is 42, a link. The **CID** is version 1, codec dag-cbor (0x71), multihash
//! sha2-256 (0x12) of exactly these bytes. The same value has the same CID on every platform and with every set of features.
//!
//! ```
//! use cim_keys::ipld_support::{ContentAddressedEvent, generate_cid, verify_cid};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Seen {
//!     place: String,
//!     count: u32,
//! }
//!
//! let seen = Seen { place: "vault".into(), count: 3 };
//! let cid = generate_cid(&seen)?;
//! assert!(verify_cid(&seen, &cid)?);
//!
//! let mut addressed = ContentAddressedEvent::new(seen)?;
//! assert_eq!(addressed.cid, cid);
//! assert!(addressed.verify()?);
//! addressed.event.count = 4;
//! assert!(!addressed.verify()?);
//! # Ok::<(), cim_keys::ipld_support::EncodeError>(())
//! ```
//!
//! **Decoding is strict.** Bytes are judged on the data model before any Rust type sees them ([`validate()`]); what is not
//! canonical is refused, and an extra field of a newer release is no damage. Events are held to more: [`validate_event`].

use cid::Cid;
use serde::Serialize;

mod cids;
mod dag_json;
mod decode;
mod encode;
mod envelope;
mod event;
mod from_json;
mod limits;
mod problem;
mod read;
mod sort;
mod validate;

pub use cids::{InvalidCid, cid_of_blob, cid_of_block, parse_cid, verify_block};
pub(crate) use cids::{cid_of_digest, digest_of};
pub use dag_json::{ToJsonError, append_dag_json, append_message_body, to_dag_json};
pub use decode::{DecodeError, decode_block};
pub use encode::{EVENT_STRUCT, EncodeError};
pub use envelope::{Causes, Envelope, EventBlock};
pub use event::ContentAddressedEvent;
pub use from_json::{FromJsonError, from_dag_json, parse_message_body};
pub use limits::{DAG_CBOR, MAX_BLOCK_LEN, MAX_DEPTH, MAX_EVENT_INTEGER, RAW, SHA2_256};
pub use problem::{BlockError, Problem};
pub use validate::{validate, validate_event};

/// The content identifier of a value: of its canonical bytes, without keeping them.
///
/// # Errors
/// See [`EncodeError`].
pub fn generate_cid<T: Serialize + ?Sized>(value: &T) -> Result<Cid, EncodeError> {
    encode::encode_with(value, cid_of_block)
}

/// Whether a value is the one that a content identifier names: false, and no error, for a value that was tampered with.
/// It fails only if the value cannot be encoded at all. For a block there is [`verify_block`].
///
/// # Errors
/// See [`EncodeError`].
pub fn verify_cid<T: Serialize + ?Sized>(value: &T, cid: &Cid) -> Result<bool, EncodeError> {
    Ok(generate_cid(value)? == *cid)
}

/// The canonical bytes of a value.
///
/// # Errors
/// See [`EncodeError`].
pub fn canonical_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    encode::encode_with(value, <[u8]>::to_vec)
}
