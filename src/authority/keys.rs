//! Keys: made, imported, revoked, rotated, exported.
//!
//! Making, importing and rotating need no passphrase: a key's secret is sealed to its compartment's recipient when the act is
//! recorded. Taking a secret out needs the open compartment, and is recorded before the secret is handed out, so that nothing
//! leaves unrecorded.

use crate::act::{Draft, DraftKey};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::custody::{SealToError, SecretBytes, seal_to};
use crate::events::{
    EndsBeforeItBegins, KeyEncoding, KeyGenerated, KeyImported, KeyPurpose, NkeyKind, Party, Validity,
};
use crate::ids::{KeyId, LocationId};
use crate::keys::{KeyError, KeyKind, KeyRef, KeySpec, PublicFacts, VerifyError, check_public_nkey, public_facts};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Entity, Facts, KeyFacts, Kind, Refusal, View, ViewError};
use crate::text::{Label, Name, Note, Recipient};
use crate::time::Timestamp;

/// Why no key was made, imported, rotated or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyActError {
    /// It could not be sealed to whom it was to go.
    #[error(transparent)]
    SealTo(#[from] SealToError),
    /// Something that was named is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger's own key is part of the ledger's identity, and is not rotated like another.
    #[error(
        "this is the ledger's own key: heads are signed and events are published under it, and their readers trust it, so it is not rotated like another. A new one, which the old one vouches for, comes with a recovery"
    )]
    LedgerKey,
    /// The purpose does not go with the algorithm.
    #[error("a key for {purpose} is not of the kind {kind}, but {}", fitting(*purpose))]
    Unfit {
        /// The purpose.
        purpose: KeyPurpose,
        /// The kind of key.
        kind: KeyKind,
    },
    /// The end lies before the beginning.
    #[error("the validity is not right: {0}")]
    Validity(#[from] EndsBeforeItBegins),
    /// What was given is no public key.
    #[error("the public key was not imported: {0}")]
    Public(VerifyError),
    /// The key is of an algorithm that no successor can be made for here.
    #[error("no successor can be made here for a key of algorithm {0}")]
    NoSuccessor(String),
    /// The key was not made, found, or taken in.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<ViewError> for KeyActError {
    fn from(error: ViewError) -> Self {
        Self::Lookup(error.into())
    }
}

fn fitting(purpose: KeyPurpose) -> String {
    let kinds: Vec<_> = KeyKind::ALL.iter().filter(|kind| fits(**kind, purpose)).map(|kind| kind.as_str()).collect();
    kinds.join(" or ")
}

impl Explained for KeyActError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unfit { .. } | Self::Validity(_) | Self::Public(_) => ErrorKind::Usage,
            Self::LedgerKey | Self::NoSuccessor(_) | Self::Refused(_) => ErrorKind::Refused,
            Self::Lookup(error) => error.kind(),
            Self::SealTo(error) => error.kind(),
            Self::Key(KeyError::Elsewhere(_)) => ErrorKind::Refused,
            Self::Key(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::LedgerKey => vec![
                Advice::Run(Action::Backup, "copies the ledger"),
                Advice::Run(Action::Restore, "makes a new folder of the copy"),
                Advice::Run(Action::Recover, "goes on there under a new key"),
            ],
            Self::Validity(_) => vec![Advice::Do("give a later end")],
            Self::Public(_) => {
                vec![Advice::Do("give an nkey, or an Ed25519 or P-256 key in PEM or in base64 of DER")]
            }
            Self::NoSuccessor(_) => vec![Advice::Do("generate a key, and revoke the old one as superseded")],
            Self::Unfit { .. } => vec![Advice::Do("choose one of these kinds")],
            Self::Lookup(error) => error.advice(),
            Self::Refused(error) => error.advice(),
            Self::SealTo(error) => error.advice(),
            Self::Key(error) => error.advice(),
        }
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: Name,
    /// Of which kind.
    pub kind: KeyKind,
    /// What it is for; [`default_purpose`] when absent.
    pub purpose: Option<KeyPurpose>,
    /// Whose it is, as [`lookup::party`] reads it; the only organisation when absent.
    pub owner: Option<String>,
    /// The custody compartment; [`default_compartment`] when absent.
    pub compartment: Option<Label>,
    /// When it may be used.
    pub validity: Validity,
    /// Where it is made: a location's name or identifier.
    pub location: Option<String>,
}

/// A key that was made elsewhere.
#[derive(Debug)]
pub struct ImportedKey {
    /// What people call it.
    pub name: Name,
    /// Its private half, or only its public one.
    pub material: Material,
    /// What it is for; [`default_purpose`] when absent.
    pub purpose: Option<KeyPurpose>,
    /// Whose it is, as [`lookup::party`] reads it; the only organisation when absent.
    pub owner: Option<String>,
    /// The custody compartment of a private key; [`default_compartment`] when absent.
    pub compartment: Option<Label>,
    /// When it may be used.
    pub validity: Validity,
    /// Where it came from.
    pub origin: Note,
    /// Whether the private half lay unencrypted before.
    pub was_plaintext: bool,
}

/// What is imported of a key.
#[derive(Debug)]
pub enum Material {
    /// The private half: PKCS#8 or SEC 1 in PEM, or the seed of an nkey.
    Private(SecretBytes),
    /// The public half: an nkey, or PEM or base64 of a SubjectPublicKeyInfo.
    Public(String),
}

/// What a key of a kind is usually for.
#[must_use]
pub const fn default_purpose(kind: KeyKind) -> KeyPurpose {
    match kind {
        KeyKind::Ed25519 | KeyKind::P256 => KeyPurpose::Signing,
        KeyKind::Nkey(NkeyKind::Operator) => KeyPurpose::NatsOperator,
        KeyKind::Nkey(NkeyKind::Account) => KeyPurpose::NatsAccount,
        KeyKind::Nkey(NkeyKind::User) => KeyPurpose::NatsUser,
        KeyKind::Nkey(NkeyKind::Server | NkeyKind::Cluster | NkeyKind::Curve) => KeyPurpose::NatsServer,
    }
}

/// Where a key for a purpose is usually kept: `root` what signs a few times a year, `issuing` everything else.
#[must_use]
pub const fn default_compartment(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::NatsOperator | KeyPurpose::CertificateAuthority => crate::custody::ROOT,
        _ => crate::custody::ISSUING,
    }
}

/// Whether a kind of key serves a purpose: nkeys serve NATS, and nothing else does.
#[must_use]
pub const fn fits(kind: KeyKind, purpose: KeyPurpose) -> bool {
    use KeyPurpose::{Encryption, NatsAccount, NatsOperator, NatsServer, NatsSigning, NatsUser};
    match (kind, purpose) {
        (KeyKind::Nkey(NkeyKind::Operator), NatsOperator | NatsSigning)
        | (KeyKind::Nkey(NkeyKind::Account), NatsAccount | NatsSigning)
        | (KeyKind::Nkey(NkeyKind::User), NatsUser)
        | (KeyKind::Nkey(NkeyKind::Server | NkeyKind::Cluster), NatsServer)
        | (KeyKind::Nkey(NkeyKind::Curve), NatsServer | Encryption) => true,
        (KeyKind::Nkey(_), _) | (_, NatsOperator | NatsAccount | NatsUser | NatsSigning | NatsServer) => false,
        (KeyKind::Ed25519 | KeyKind::P256, _) => true,
    }
}

/// Makes a key, and records it.
///
/// # Errors
/// When something that is named is not there, or the purpose does not go with the kind.
pub fn generate(draft: &mut Draft<'_>, new: NewKey) -> Result<KeyGenerated, KeyActError> {
    let purpose = new.purpose.unwrap_or(default_purpose(new.kind));
    let owner = owner(draft.view(), new.owner.as_deref())?;
    let location = new.location.as_deref().map(|which| lookup::location(draft.view(), which)).transpose()?;
    let compartment = match new.compartment {
        Some(compartment) => compartment,
        None => Label::new(default_compartment(purpose)).map_err(LookupError::from)?,
    };
    let facts = made(draft, new.name, new.kind, purpose, owner, compartment, new.validity, location)?;
    draft.command(Command::GenerateKey(facts.clone()))?;
    Ok(facts)
}

/// Makes a key, and the event that records it.
#[allow(clippy::too_many_arguments)] // the fields of the event, in its order
fn made(
    draft: &mut Draft<'_>,
    name: Name,
    kind: KeyKind,
    purpose: KeyPurpose,
    owner: Party,
    compartment: Label,
    validity: Validity,
    location_id: Option<LocationId>,
) -> Result<KeyGenerated, KeyActError> {
    if !fits(kind, purpose) {
        return Err(KeyActError::Unfit { purpose, kind });
    }
    let DraftKey { key_id, public, compartment } = draft.generate(&KeySpec { kind, compartment })?;
    let PublicFacts { algorithm, encoding, public_key } = public;
    Ok(KeyGenerated {
        key_id,
        name,
        algorithm,
        encoding,
        public_key,
        purpose,
        owner,
        compartment,
        validity,
        location_id,
    })
}

/// Takes in a private key that was made elsewhere and records it, or records a public one.
///
/// # Errors
/// As [`generate`], and when what is given is no key.
pub fn import(draft: &mut Draft<'_>, new: &ImportedKey) -> Result<KeyImported, KeyActError> {
    let public = match &new.material {
        Material::Private(secret) => {
            let (public, _) = crate::keys::normalize(secret).map_err(|error| KeyError::Invalid(Box::new(error)))?;
            public
        }
        Material::Public(text) => public_facts(text).map_err(KeyActError::Public)?,
    };
    // The kinds that can be imported are those that can be made.
    let kind = kind_of(&public).ok_or(KeyActError::Public(VerifyError::Key))?;
    let purpose = new.purpose.unwrap_or(default_purpose(kind));
    if !fits(kind, purpose) {
        return Err(KeyActError::Unfit { purpose, kind });
    }
    let owner = owner(draft.view(), new.owner.as_deref())?;
    let key_id = KeyId::mint();
    let (compartment, was_plaintext) = match &new.material {
        Material::Public(_) => (None, false),
        Material::Private(secret) => {
            let compartment = match &new.compartment {
                Some(compartment) => compartment.clone(),
                None => Label::new(default_compartment(purpose)).map_err(LookupError::from)?,
            };
            draft.take_key(key_id, secret, &compartment)?;
            (Some(compartment), new.was_plaintext)
        }
    };
    let PublicFacts { algorithm, encoding, public_key } = public;
    let facts = KeyImported {
        key_id,
        name: new.name.clone(),
        algorithm,
        encoding,
        public_key,
        purpose,
        owner,
        compartment,
        validity: new.validity,
        origin: new.origin.clone(),
        was_plaintext,
    };
    draft.command(Command::ImportKey(facts.clone()))?;
    Ok(facts)
}

/// What a successor has otherwise than the key that it replaces.
#[derive(Debug, Clone, Default)]
pub struct Successor {
    /// Another name.
    pub name: Option<Name>,
    /// Another compartment.
    pub compartment: Option<Label>,
    /// Until when it may be used; no end when absent.
    pub not_after: Option<Timestamp>,
    /// Until when both are good; the old one is retired at once when absent.
    pub retire_at: Option<Timestamp>,
}

/// Makes a key of the same kind, purpose and owner, and retires the old one, in one act.
///
/// # Errors
/// As [`generate`], and when the key has ended already.
pub fn rotate(draft: &mut Draft<'_>, which: &str, successor: Successor) -> Result<KeyGenerated, KeyActError> {
    let old = facts(draft.view(), which)?;
    if old.purpose == KeyPurpose::Ledger {
        return Err(KeyActError::LedgerKey);
    }
    let public = PublicFacts { algorithm: old.algorithm, encoding: old.encoding, public_key: old.public_key };
    let kind = kind_of(&public).ok_or_else(|| KeyActError::NoSuccessor(old.algorithm.to_string()))?;
    let compartment = match successor.compartment.or(old.compartment) {
        Some(compartment) => compartment,
        None => Label::new(default_compartment(old.purpose)).map_err(LookupError::from)?,
    };
    let key = made(
        draft,
        successor.name.unwrap_or(old.name),
        kind,
        old.purpose,
        old.owner,
        compartment,
        Validity::new(None, successor.not_after)?,
        old.location_id,
    )?;
    let retire_at = successor.retire_at;
    draft.command(Command::RotateKey { key_id: old.key_id, successor: key.clone(), retire_at })?;
    Ok(key)
}

/// The command that revokes a key.
///
/// # Errors
/// When the key is not there.
pub fn revoke(
    view: &dyn View,
    which: &str,
    reason: crate::events::RevocationReason,
    note: Option<Note>,
    invalid_since: Option<Timestamp>,
) -> Result<Command, LookupError> {
    let key_id = KeyId::from_uuid(lookup::entity(view, Kind::Key, which)?.entity_ref().id);
    Ok(Command::RevokeKey { key_id, reason, note, invalid_since })
}

/// Where a private key goes that leaves custody.
#[derive(Debug, Clone)]
pub enum Destination {
    /// Sealed to an age recipient or a curve key of NATS.
    Sealed(Recipient),
    /// Unencrypted.
    Plain,
}

/// Records that a private key leaves where it is kept. Gives the file: a sealed one ([`seal_to`]), or the key in its standard
/// format; it may be handed out once the act is recorded.
///
/// # Errors
/// When the secret does not open or can't leave, or is not the recorded key's.
pub fn export(draft: &mut Draft<'_>, which: &str, to: &Destination, reason: &Note) -> Result<SecretBytes, KeyActError> {
    let key = facts(draft.view(), which)?;
    let secret = draft.export_key(&reference(&key))?;
    let (content, recipient) = match to {
        Destination::Sealed(recipient) => (seal_to(recipient, &secret)?, Some(recipient.clone())),
        Destination::Plain => (secret, None),
    };
    draft.command(Command::ExportKey { key_id: key.key_id, recipient, reason: reason.clone() })?;
    Ok(content)
}

/// A recorded key, as a key ring is asked for it.
#[must_use]
pub fn reference(key: &KeyFacts) -> KeyRef {
    KeyRef { key_id: key.key_id, public_key: key.public_key.clone(), compartment: key.compartment.clone() }
}

/// The facts of the key that a text means: its identifier or its name.
///
/// # Errors
/// When there is none, or more than one.
pub fn facts(view: &dyn View, which: &str) -> Result<KeyFacts, LookupError> {
    match lookup::entity(view, Kind::Key, which)? {
        Entity { facts: Facts::Key(key), .. } => Ok(key),
        _ => Err(LookupError::NotFound { kind: Kind::Key, text: which.chars().take(80).collect(), near: None }),
    }
}

fn owner(view: &dyn View, named: Option<&str>) -> Result<Party, LookupError> {
    lookup::party(view, named.unwrap_or("organization"))
}

/// The kind of a key, by its public facts.
fn kind_of(public: &PublicFacts) -> Option<KeyKind> {
    match public.encoding {
        KeyEncoding::Nkey => check_public_nkey(public.public_key.as_str()).ok().map(|(kind, _)| KeyKind::Nkey(kind)),
        KeyEncoding::Spki => {
            [KeyKind::Ed25519, KeyKind::P256].into_iter().find(|kind| kind.algorithm() == public.algorithm)
        }
    }
}
