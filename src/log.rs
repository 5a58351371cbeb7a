//! The transparency log: what lets a stranger check a ledger's history without trusting whoever hands it over.
//!
//! The log is a Merkle tree (RFC 6962) whose leaves are the 36 bytes of the events' content identifiers, in order. Its head
//! is signed with the ledger's own Ed25519 key, as a C2SP **checkpoint**. From there:
//!
//! - [`LogProof`] proves that an event stands at a position, in one file, offline (C2SP tlog-proof);
//! - [`Update`] proves that a later head continues an earlier one (C2SP tlog-witness);
//! - [`Memory`] is what a **witness** keeps, which signs only what continues the last head it saw (C2SP tlog-cosignature);
//! - [`PublishedHistory`] follows a history as a stream has it, by events and heads;
//! - [`Policy`] says whose signatures are demanded (C2SP tlog-policy).
//!
//! Nothing here reads a file or a database: the store gives hashes, the caller gives texts and keys.
//!
//! ```
//! use cim_keys::log::{Checkpoint, KeyKind, KeyName, SignedCheckpoint, VerifierKey};
//!
//! # #[cfg(feature = "custody")] {
//! # let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
//! # let signer = cim_keys::keys::pair::SoftwareKey::new(secret.clone().into());
//! let name = KeyName::new("example.com/ledger")?;
//! let key = VerifierKey::new(name.clone(), KeyKind::Ledger, secret.verifying_key());
//! let signed = Checkpoint { origin: name, size: 1, root: [0; 32] }.sign(&key, &*signer)?;
//! let received: SignedCheckpoint = signed.to_string().parse()?;
//! received.verify(&key)?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod checkpoint;
mod history;
mod key;
mod note;
mod policy;
mod proof;
mod published;
mod seen;
mod signer;
mod tree;
mod witness;
mod words;

pub use chain::{KeyChain, UnknownLedgerKey};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use history::{History, HistoryError, HistoryProblem};
pub use key::{InvalidKey, KeyKind, Verified, VerifierKey};
pub use note::{KeyName, Note, NoteError, NoteSignature};
pub use policy::{InvalidPolicy, Policy, PolicyError};
pub use proof::{LogProof, ProofFileError, Subject, Update};
pub use published::{Closed, Earlier, Leaf, PublishedEvent, PublishedHistory, StreamFault, StreamProblem, Turns};
pub use signer::HeadSigner;
pub(crate) use tree::with_cid_bytes;
pub use tree::{Edge, NodeHash, ProofError, check_consistency, check_inclusion, leaf_hash};
pub use witness::{DamagedMemory, Memory, WitnessError};
pub use words::{InvalidWords, parse_words, words};

#[cfg(all(feature = "nats-client", feature = "custody"))]
pub(crate) use chain::vouches;
