//! The kinds of key pair, and what anyone may know of one.

use std::fmt;
use std::str::FromStr;

use crate::events::{KeyAlgorithm, KeyEncoding, NkeyKind};
use crate::text::{InvalidText, PublicKey};

/// The kinds of key pair that can be made here: `ed25519`, `p256`, `nkey-operator`, `nkey-account`, `nkey-user`,
/// `nkey-server`, `nkey-cluster`, `nkey-curve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA over NIST P-256 with SHA-256.
    P256,
    /// An nkey: Ed25519, or X25519 for [`NkeyKind::Curve`].
    Nkey(NkeyKind),
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ed25519,
        Self::P256,
        Self::Nkey(NkeyKind::Operator),
        Self::Nkey(NkeyKind::Account),
        Self::Nkey(NkeyKind::User),
        Self::Nkey(NkeyKind::Server),
        Self::Nkey(NkeyKind::Cluster),
        Self::Nkey(NkeyKind::Curve),
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
            Self::Nkey(NkeyKind::Operator) => "nkey-operator",
            Self::Nkey(NkeyKind::Account) => "nkey-account",
            Self::Nkey(NkeyKind::User) => "nkey-user",
            Self::Nkey(NkeyKind::Server) => "nkey-server",
            Self::Nkey(NkeyKind::Cluster) => "nkey-cluster",
            Self::Nkey(NkeyKind::Curve) => "nkey-curve",
        }
    }

    /// The algorithm that events name.
    #[must_use]
    pub const fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::P256 => KeyAlgorithm::EcdsaP256,
            Self::Nkey(NkeyKind::Curve) => KeyAlgorithm::X25519,
            Self::Ed25519 | Self::Nkey(_) => KeyAlgorithm::Ed25519,
        }
    }

    /// How events write the public key.
    #[must_use]
    pub const fn encoding(self) -> KeyEncoding {
        match self {
            Self::Nkey(_) => KeyEncoding::Nkey,
            Self::Ed25519 | Self::P256 => KeyEncoding::Spki,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            InvalidText::new("key algorithm", text, format!("one of these is needed: {}", known.join(", ")))
        })
    }
}

/// What anyone may know of a key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicFacts {
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// How `public_key` is written.
    pub encoding: KeyEncoding,
    /// The public half.
    pub public_key: PublicKey,
}
