//! Signed acts: a person's own key, and signatures over events.
//!
//! What is signed is the content identifier of an event, its 36 bytes and nothing else. The signature is an event itself,
//! recorded right behind the act where it is made together with it. Whether it counts is decided when it is recorded
//! ([`crate::ledger::standing`]), and whether its bytes are right when it is looked at ([`crate::session::signatures`]).

use crate::act::{ActSigner, Draft, Scope, SignedCommand};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::authority::keys::{self, KeyActError, NewKey, reference};
use crate::events::{Bytes, CustodyRecipientAdded, EventAttested, KeyGenerated, KeyPurpose, Link, Party, Validity};
use crate::ids::{KeyId, PersonId};
use crate::keys::{KeyError, KeyKind, KeyRing, PublicFacts, signer_of, verify};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Command, Facts, KeyFacts, Kind, NameKey, Refusal, Standing, View, ViewError, standing};
use crate::store::{ReadError, Recorded, Store, Which};
use crate::text::{InvalidText, Label, Name, Recipient};
use crate::time::Timestamp;

/// Why nobody signs, or nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// Something that was named is not there.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The person has no key to sign with.
    #[error("{0} has no key to sign acts with")]
    NoKey(String),
    /// None of the person's keys can be used.
    #[error("{person} can't sign acts: {key} {}", standing.as_str())]
    Unfit {
        /// Who.
        person: String,
        /// The newest of the keys.
        key: String,
        /// Why it can't be used.
        standing: Standing,
    },
    /// The private half is elsewhere.
    #[error("the private half of {key} is not in custody here")]
    Elsewhere {
        /// The key.
        key: String,
        /// Its identifier.
        id: KeyId,
    },
    /// The compartment belongs to others too.
    #[error("compartment \"{0}\" is there already and is not this person's own")]
    Shared(Label),
    /// The signature is not this key's over this event.
    #[error("the signature is not one of {0} over this event's content identifier")]
    WrongSignature(String),
    /// The signature is too long to be one.
    #[error("the signature has more than {} bytes, so it is none", Bytes::MAX)]
    TooLong,
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Explained for AttestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Refused(error) => error.kind(),
            Self::NoKey(_) | Self::Unfit { .. } | Self::Elsewhere { .. } | Self::Shared(_) => ErrorKind::Refused,
            Self::WrongSignature(_) | Self::TooLong => ErrorKind::Verification,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoKey(_) => vec![Advice::Run(Action::EnrollPerson, "makes one")],
            Self::Unfit { .. } => {
                vec![Advice::Run(Action::EnrollPerson, "makes a key that only its owner opens")]
            }
            Self::Elsewhere { id, .. } => vec![
                Advice::Do("sign where the private half is"),
                Advice::Run(Action::AttestEvent { key: id.to_string() }, "records that signature"),
            ],
            Self::Shared(_) => vec![Advice::Do("name another compartment with --compartment; it is then made")],
            Self::WrongSignature(_) => vec![Advice::Do("sign the 36 bytes of the identifier with that key")],
            Self::TooLong => Vec::new(),
            Self::Lookup(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Refused(error) => error.advice(),
        }
    }
}

impl From<ViewError> for AttestError {
    fn from(error: ViewError) -> Self {
        Self::Lookup(error.into())
    }
}

impl From<InvalidText> for AttestError {
    fn from(error: InvalidText) -> Self {
        Self::Lookup(error.into())
    }
}

/// A person's key for signing acts.
#[derive(Debug, Clone)]
pub struct ActKey {
    /// Whose it is.
    pub person: PersonId,
    /// The key.
    pub key: KeyFacts,
}

impl ActKey {
    /// The person as signer of acts. May ask for a passphrase, a PIN or a touch.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn signer(&self, keys: &mut dyn KeyRing) -> Result<ActSigner, KeyError> {
        let signer = signer_of(keys, &reference(&self.key))?;
        let (party, key_id) = (Party::Person(self.person), self.key.key_id);
        Ok(ActSigner { party, key_id, signer, scope: Scope::EveryEvent })
    }
}

/// The newest of a person's keys that can sign acts now.
///
/// # Errors
/// When the person is not there, or has none: then why the newest of those that there are can't be used.
pub fn act_key(view: &dyn View, who: &str, now: Timestamp) -> Result<ActKey, AttestError> {
    let entity = lookup::entity(view, Kind::Person, who)?;
    let (label, person) = (entity.label(), PersonId::from_uuid(entity.entity_ref().id));
    let (mut best, mut unfit, mut elsewhere) = (None, None, None);
    for entity in view.all_referring(person.into(), Kind::Key) {
        let entity = entity?;
        let key_label = entity.label();
        let Facts::Key(key) = entity.facts else { continue };
        if key.purpose != KeyPurpose::ActSigning || key.owner != Party::Person(person) {
            continue;
        }
        match (standing(view, &key.owner, key.key_id, now, None)?, key.compartment.clone()) {
            (Standing::Good, Some(_)) => best = Some(ActKey { person, key }),
            (Standing::Good, None) => elsewhere = Some((key_label, key.key_id)),
            (standing, _) => unfit = Some((key_label, standing)),
        }
    }
    match (best, elsewhere, unfit) {
        (Some(best), ..) => Ok(best),
        (None, Some((key, id)), _) => Err(AttestError::Elsewhere { key, id }),
        (None, None, Some((key, standing))) => Err(AttestError::Unfit { person: label, key, standing }),
        (None, None, None) => Err(AttestError::NoKey(label)),
    }
}

/// Records a signature over an event that is recorded already. Nothing is recorded when this key signed it before.
///
/// # Errors
/// When the key can't speak for its owner.
pub fn attest(draft: &mut Draft<'_>, signer: &ActSigner, event: Link) -> Result<(), AttestError> {
    let (signer, at) = (signer.clone(), draft.now());
    let placeholder = Command::Attest { attestation: signer.unsigned(event), at };
    Ok(draft.sign_commands([placeholder], move |signing| {
        let attestation = signing.act_signer(&signer).attest(event)?;
        let data = vec![attestation.clone().into()];
        Ok(vec![SignedCommand { command: Command::Attest { attestation, at }, data }])
    })?)
}

/// Records a signature that was made elsewhere, with a key of which only the public half is known here, or any other.
///
/// # Errors
/// When it is not the key's signature over the event, and as [`attest`].
pub fn attest_with(draft: &mut Draft<'_>, event: Link, key: &str, signature: &[u8]) -> Result<(), AttestError> {
    let entity = lookup::entity(draft.view(), Kind::Key, key)?;
    let label = entity.label();
    let Facts::Key(key) = entity.facts else { return Err(AttestError::NoKey(label)) };
    if verify(&public(&key), &event.cid().to_bytes(), signature).is_err() {
        return Err(AttestError::WrongSignature(label));
    }
    let (signer, key_id, algorithm) = (key.owner, key.key_id, key.algorithm);
    let signature = Bytes::new(signature.to_vec()).ok_or(AttestError::TooLong)?;
    let attestation = EventAttested { event, signer, key_id, algorithm, signature };
    let at = draft.now();
    draft.command(Command::Attest { attestation, at })?;
    Ok(())
}

/// The link to a recorded event.
///
/// # Errors
/// When it is not there.
pub fn linked(store: &Store, which: &Which) -> Result<Link, AttestError> {
    let Recorded { cid, position, .. } = store.event(which)?;
    Link::new(cid).map_err(|error| ReadError::Damaged { position, detail: error.to_string() }.into())
}

fn public(key: &KeyFacts) -> PublicFacts {
    PublicFacts { algorithm: key.algorithm, encoding: key.encoding, public_key: key.public_key.clone() }
}

/// A key with which a person is to sign acts.
#[derive(Debug, Clone)]
pub struct Enrollment {
    /// Whose it is.
    pub person: PersonId,
    /// What people call it.
    pub name: Name,
    /// Ed25519 or P-256.
    pub kind: KeyKind,
    /// The person's own compartment, which is in custody already.
    pub compartment: Label,
    /// When it may be used.
    pub validity: Validity,
}

/// Whether a compartment can become, or is, the person's own: it is not recorded yet, or held by that person alone.
///
/// # Errors
/// When it is somebody else's as well.
pub fn own_compartment(view: &dyn View, person: PersonId, compartment: &Label) -> Result<(), AttestError> {
    let others = view.find(&NameKey::compartment(compartment), 256)?.into_iter().any(|entity| {
        entity.is_active() && !matches!(&entity.facts, Facts::Recipient(it) if it.holder == Some(Party::Person(person)))
    });
    if others { Err(AttestError::Shared(compartment.clone())) } else { Ok(()) }
}

/// Makes a key for signing acts in a person's own compartment, whose recipient is given, and records who opens that.
///
/// # Errors
/// When something is refused, or the key can't be made.
pub fn enroll(draft: &mut Draft<'_>, recipient: Recipient, new: &Enrollment) -> Result<KeyGenerated, KeyActError> {
    let compartment = new.compartment.clone();
    let holder = Some(Party::Person(new.person));
    draft.command(Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder }))?;
    keys::generate(
        draft,
        NewKey {
            name: new.name.clone(),
            kind: new.kind,
            purpose: Some(KeyPurpose::ActSigning),
            owner: Some(format!("person:{}", new.person)),
            compartment: Some(new.compartment.clone()),
            validity: new.validity,
            location: None,
        },
    )
}
