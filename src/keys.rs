//! Keys: the ports through which everything else uses them, their kinds, and software keys.
//!
//! No use case holds a private key. It asks a [`KeyRing`] for a [`Signer`], has it generate keys by specification, and gets
//! public facts back. [`crate::custody`] implements the ports for keys in sealed files; a token or a card implements the same.

mod kind;
mod nkey;
#[cfg(feature = "custody")]
pub mod pair;
#[cfg(feature = "custody")]
mod placeholder;
mod port;
mod public;
mod secret;
#[cfg(feature = "custody")]
pub mod xkey;

pub use kind::{KeyKind, PublicFacts};
pub use nkey::{InvalidNkey, check_public as check_public_nkey};
#[cfg(feature = "custody")]
pub use pair::{ParseError, generate, normalize};
#[cfg(feature = "custody")]
pub use placeholder::Placeholders;
pub use port::{
    GenerateError, KeyError, KeyRef, KeyRing, KeySpec, NewKey, NoKeys, Opener, Sealing, SignError, Signer, UnsealError,
    signer_of,
};
pub use public::{VerifyError, public_facts, verify};
pub use secret::{LONGEST_SECRET, SecretBytes};
