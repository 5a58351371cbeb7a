//! Keys: made, imported, revoked, rotated, exported.
//!
//! Making, importing and rotating need no passphrase: a secret is sealed to its compartment's recipient, and then the key
//! is recorded ([`record_sealed`]). Taking a secret out needs the open compartment, and is recorded before the secret is
//! handed out, so that nothing leaves unrecorded.

use super::custody::{SealedError, record_sealed};
use super::lookup::{self, LookupError};
use crate::custody::{Custody, SealError, SecretBytes, Unlocked};
use crate::events::{
    EndsBeforeItBegins, KeyEncoding, KeyGenerated, KeyImported, KeyPurpose, NkeyKind, Party, Validity,
};
use crate::ids::{KeyId, LocationId};
use crate::keys::check_public_nkey;
use crate::keys::pair::{
    GenerateError, KeyKind, ParseError, PrivateKey, PublicFacts, UseError, VerifyError, public_facts,
};
use crate::keys::xkey::{SealToError, seal_to};
use crate::ledger::{Command, Entity, Facts, KeyFacts, Kind, View, ViewError};
use crate::store::{AppendContext, AppendError, AppendedEvent, ReadError, Store};
use crate::text::{Label, Name, Note, Recipient};
use crate::time::Timestamp;

/// Why no key was made, imported, rotated or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It could not be sealed to whom it was to go.
    #[error(transparent)]
    SealTo(#[from] SealToError),
    /// Something that was named is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The ledger's own key is part of the ledger's identity, and is not rotated like another.
    #[error(
        "this is the ledger's own key: heads are signed and events are published under it, and whoever reads them trusts it, so it is not rotated like another. A new one, which the old one vouches for, comes with a recovery: `cim-keys backup`, `cim-keys restore` into a new folder, `cim-keys recover` there"
    )]
    LedgerKey,
    /// The purpose does not go with the algorithm.
    #[error("a key for {purpose} is not of the kind {kind}; {}", fitting(*purpose))]
    Unfit {
        /// The purpose.
        purpose: KeyPurpose,
        /// The kind of key.
        kind: KeyKind,
    },
    /// The end lies before the beginning.
    #[error("the validity is not right: {0}; give a later end")]
    Validity(#[from] EndsBeforeItBegins),
    /// No key could be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// What was given is no private key.
    #[error("the key was not imported: {0}")]
    Parse(#[from] ParseError),
    /// What was given is no public key.
    #[error(
        "the public key was not imported: {0}; an nkey, or an Ed25519 or P-256 key in PEM or in base64 of DER, is needed"
    )]
    Public(VerifyError),
    /// The key is of an algorithm that no successor can be made for here.
    #[error(
        "no successor can be made here for a key of algorithm {0}; generate one, and revoke the old one as superseded"
    )]
    NoSuccessor(String),
    /// Only the public half of the key is known.
    #[error("only the public half of key {0} is known; there is nothing to export")]
    PublicOnly(KeyId),
    /// The secret could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The secret could not be taken out of custody.
    #[error(transparent)]
    Use(#[from] UseError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing was recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Nothing was recorded, and secrets are left.
    #[error(transparent)]
    Left(Box<SealedError<AppendError>>),
}

impl From<ViewError> for KeyError {
    fn from(error: ViewError) -> Self {
        Self::Lookup(error.into())
    }
}

impl From<SealedError<AppendError>> for KeyError {
    fn from(error: SealedError<AppendError>) -> Self {
        match error {
            SealedError::Seal(error) => Self::Seal(error),
            SealedError::Record(error) => Self::Append(error),
            left @ (SealedError::Left { .. } | SealedError::Keep(_)) => Self::Left(Box::new(left)),
        }
    }
}

fn fitting(purpose: KeyPurpose) -> String {
    let kinds: Vec<_> = KeyKind::ALL.iter().filter(|kind| fits(**kind, purpose)).map(|kind| kind.as_str()).collect();
    format!("choose {}", kinds.join(" or "))
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
    /// The private half, in a format that [`PrivateKey::parse`] reads.
    Private(SecretBytes),
    /// The public half: an nkey, or PEM or base64 of a SubjectPublicKeyInfo.
    Public(String),
}

/// A key whose secret is not sealed yet, and the event that will record it.
#[derive(Debug)]
pub struct MadeKey {
    /// The secret, in its standard format.
    pub secret: SecretBytes,
    /// The public facts.
    pub facts: KeyGenerated,
}

impl MadeKey {
    /// The secret with where it belongs, as [`record_sealed`] takes it.
    #[must_use]
    pub fn into_sealable(self) -> (Label, KeyId, SecretBytes) {
        (self.facts.compartment, self.facts.key_id, self.secret)
    }
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

/// Makes a key and the event that will record it. Nothing is sealed or recorded yet.
///
/// # Errors
/// When something that is named is not there, or the purpose does not go with the kind.
pub fn make(view: &dyn View, new: NewKey) -> Result<MadeKey, KeyError> {
    let purpose = new.purpose.unwrap_or(default_purpose(new.kind));
    let owner = owner(view, new.owner.as_deref())?;
    let location = new.location.as_deref().map(|which| lookup::location(view, which)).transpose()?;
    let compartment = match new.compartment {
        Some(compartment) => compartment,
        None => Label::new(default_compartment(purpose)).map_err(LookupError::from)?,
    };
    made(new.name, new.kind, purpose, owner, compartment, new.validity, location)
}

#[allow(clippy::too_many_arguments)] // the fields of the event, in its order
fn made(
    name: Name,
    kind: KeyKind,
    purpose: KeyPurpose,
    owner: Party,
    compartment: Label,
    validity: Validity,
    location_id: Option<LocationId>,
) -> Result<MadeKey, KeyError> {
    if !fits(kind, purpose) {
        return Err(KeyError::Unfit { purpose, kind });
    }
    let private = PrivateKey::generate(kind)?;
    let PublicFacts { algorithm, encoding, public_key } = private.public();
    let key_id = KeyId::mint();
    let facts = KeyGenerated {
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
    };
    Ok(MadeKey { secret: private.secret(), facts })
}

/// Makes a key, seals its secret and records it.
///
/// # Errors
/// When it is refused, or custody or the ledger can't be written. Nothing is left behind then, as far as can be told.
pub fn generate(
    store: &Store,
    custody: &Custody,
    context: AppendContext,
    new: NewKey,
) -> Result<Vec<AppendedEvent>, KeyError> {
    let key = store.view(|view| make(view, new))??;
    let command = Command::GenerateKey(key.facts.clone());
    let sealable = [key.into_sealable()];
    Ok(record_sealed(store, custody, &sealable, context, |context| store.execute(context, vec![command]))?)
}

/// Seals a private key that was made elsewhere and records it, or records a public one.
///
/// # Errors
/// As [`generate`], and when what is given is no key.
pub fn import(
    store: &Store,
    custody: &Custody,
    context: AppendContext,
    new: &ImportedKey,
) -> Result<Vec<AppendedEvent>, KeyError> {
    let (private, public) = match &new.material {
        Material::Private(secret) => {
            let private = PrivateKey::parse(secret)?;
            let public = private.public();
            (Some(private), public)
        }
        Material::Public(text) => (None, public_facts(text).map_err(KeyError::Public)?),
    };
    // The kinds that can be imported are those that can be made.
    let kind = kind_of(&public).ok_or(KeyError::Public(VerifyError::Key))?;
    let purpose = new.purpose.unwrap_or(default_purpose(kind));
    if !fits(kind, purpose) {
        return Err(KeyError::Unfit { purpose, kind });
    }
    let owner = store.view(|view| owner(view, new.owner.as_deref()))??;
    let compartment = match (&private, &new.compartment) {
        (None, _) => None,
        (Some(_), Some(compartment)) => Some(compartment.clone()),
        (Some(_), None) => Some(Label::new(default_compartment(purpose)).map_err(LookupError::from)?),
    };
    let key_id = KeyId::mint();
    let mut sealable = Vec::new();
    if let (Some(private), Some(compartment)) = (&private, &compartment) {
        sealable.push((compartment.clone(), key_id, private.secret()));
    }
    let PublicFacts { algorithm, encoding, public_key } = public;
    let command = Command::ImportKey(KeyImported {
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
        was_plaintext: new.was_plaintext && private.is_some(),
    });
    Ok(record_sealed(store, custody, &sealable, context, |context| store.execute(context, vec![command]))?)
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

/// Makes a key of the same kind, purpose and owner, seals it, and retires the old one, in one act.
///
/// # Errors
/// As [`generate`], and when the key has ended already.
pub fn rotate(
    store: &Store,
    custody: &Custody,
    context: AppendContext,
    which: &str,
    successor: Successor,
) -> Result<Vec<AppendedEvent>, KeyError> {
    let old = store.view(|view| facts(view, which))??;
    if old.purpose == KeyPurpose::Ledger {
        return Err(KeyError::LedgerKey);
    }
    let public = PublicFacts { algorithm: old.algorithm, encoding: old.encoding, public_key: old.public_key };
    let kind = kind_of(&public).ok_or_else(|| KeyError::NoSuccessor(old.algorithm.to_string()))?;
    let compartment = match successor.compartment.or(old.compartment) {
        Some(compartment) => compartment,
        None => Label::new(default_compartment(old.purpose)).map_err(LookupError::from)?,
    };
    let key = made(
        successor.name.unwrap_or(old.name),
        kind,
        old.purpose,
        old.owner,
        compartment,
        Validity::new(None, successor.not_after)?,
        old.location_id,
    )?;
    let command =
        Command::RotateKey { key_id: old.key_id, successor: key.facts.clone(), retire_at: successor.retire_at };
    let sealable = [key.into_sealable()];
    Ok(record_sealed(store, custody, &sealable, context, |context| store.execute(context, vec![command]))?)
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

/// A private key that left custody.
#[derive(Debug)]
pub struct Exported {
    /// The file: a sealed one ([`seal_to`]), or the key in its standard format.
    pub content: SecretBytes,
    /// What was recorded.
    pub recorded: Vec<AppendedEvent>,
}

/// The compartment that has to be opened to export a key.
///
/// # Errors
/// When the key is not there, or only its public half is known.
pub fn compartment_of(view: &dyn View, which: &str) -> Result<(KeyId, Label), KeyError> {
    let key = facts(view, which)?;
    let compartment = key.compartment.ok_or(KeyError::PublicOnly(key.key_id))?;
    Ok((key.key_id, compartment))
}

/// Records that a private key leaves custody, and hands it out. What can fail is done before it is recorded.
///
/// # Errors
/// When the secret does not open, is not the recorded key's, or nothing can be recorded.
pub fn export(
    store: &Store,
    unlocked: &Unlocked<'_>,
    context: AppendContext,
    key_id: KeyId,
    to: Destination,
    reason: Note,
) -> Result<Exported, KeyError> {
    let key = store.view(|view| facts(view, &key_id.to_string()))??;
    let secret = PrivateKey::reveal(unlocked, key_id, &key.public_key)?.secret();
    let (content, recipient) = match to {
        Destination::Sealed(recipient) => (seal_to(&recipient, &secret)?, Some(recipient)),
        Destination::Plain => (secret, None),
    };
    let recorded = store.execute(context, vec![Command::ExportKey { key_id, recipient, reason }])?;
    Ok(Exported { content, recorded })
}

/// The facts of the key that a text means: its identifier or its name.
///
/// # Errors
/// When there is none, or more than one.
pub fn facts(view: &dyn View, which: &str) -> Result<KeyFacts, LookupError> {
    match lookup::entity(view, Kind::Key, which)? {
        Entity { facts: Facts::Key(key), .. } => Ok(key),
        _ => Err(LookupError::NotFound { kind: Kind::Key, text: which.chars().take(80).collect() }),
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
