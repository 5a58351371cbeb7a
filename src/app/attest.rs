//! Signed acts: a person's own key, and signatures over events.
//!
//! What is signed is the content identifier of an event, its 36 bytes and nothing else. The signature is an event itself,
//! recorded right behind the act where it is made together with it. Whether it counts is decided when it is recorded
//! ([`crate::ledger::standing`]), and whether its bytes are right by whoever looks ([`signatures`]).

use std::collections::HashMap;
use std::fmt;

use super::custody::record_sealed;
use super::keys::{self, KeyError, NewKey};
use super::lookup::{self, LookupError};
use crate::custody::{Custody, Unlocked};
use crate::events::{Actor, Bytes, CustodyRecipientAdded, EventAttested, EventData, KeyPurpose, Link, Party, Validity};
use crate::ids::{KeyId, PersonId};
use crate::keys::pair::{KeyKind, PrivateKey, PublicFacts, UseError, verify};
use crate::ledger::{
    AttestationFacts, Command, Entity, EntityRef, Facts, KeyFacts, Kind, NameKey, Standing, View, ViewError, standing,
};
use crate::store::{ActSigner, AppendContext, AppendError, AppendedEvent, ReadError, Recorded, Store, Which};
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
    #[error("{0} has no key to sign acts with; `cim-keys person enroll` makes one")]
    NoKey(String),
    /// None of the person's keys can be used.
    #[error("{person} can't sign acts: {key} {}; `cim-keys person enroll` makes a key that only its owner opens", standing.as_str())]
    Unfit {
        /// Who.
        person: String,
        /// The newest of the keys.
        key: String,
        /// Why it can't be used.
        standing: Standing,
    },
    /// The private half is elsewhere.
    #[error(
        "the private half of {key} is not in custody here; sign where it is, and record that with `cim-keys event attest EVENT --key {id} --signature FILE`"
    )]
    Elsewhere {
        /// The key.
        key: String,
        /// Its identifier.
        id: KeyId,
    },
    /// The compartment belongs to others too.
    #[error(
        "compartment \"{0}\" is there already and is not this person's own; name another, which is then made, with --compartment"
    )]
    Shared(Label),
    /// The signature is not this key's over this event.
    #[error("the signature is not one of {0} over this event's content identifier; sign its 36 bytes with that key")]
    WrongSignature(String),
    /// The signature is too long to be one.
    #[error("the signature has more than {} bytes, so it is none", Bytes::MAX)]
    TooLong,
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing was recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
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

/// Where a person's key for signing acts lies.
#[derive(Debug, Clone)]
pub struct ActKey {
    /// Whose it is.
    pub person: PersonId,
    /// The key.
    pub key: KeyFacts,
    /// The compartment that holds the private half.
    pub compartment: Label,
}

impl ActKey {
    /// Takes the secret out of custody, and checks that it is the one that is recorded.
    ///
    /// # Errors
    /// As [`PrivateKey::reveal`].
    pub fn reveal(&self, unlocked: &Unlocked<'_>) -> Result<ActSecret, UseError> {
        let secret = PrivateKey::reveal(unlocked, self.key.key_id, &self.key.public_key)?;
        Ok(ActSecret { person: self.person, key: self.key.clone(), secret })
    }
}

/// The newest of a person's keys that can sign acts now.
///
/// # Errors
/// When the person is not there, or has none: then why the newest of those that there are can't be used.
pub fn act_key(view: &dyn View, who: &str, now: Timestamp) -> Result<ActKey, AttestError> {
    let entity = lookup::entity(view, Kind::Person, who)?;
    let (label, person) = (entity.label(), PersonId::from_uuid(entity.entity_ref().id));
    let (mut best, mut unfit, mut elsewhere, mut after) = (None, None, None, None);
    loop {
        let page = view.referrers(person.into(), Kind::Key, after, 256)?;
        let Some(last) = page.last() else { break };
        after = Some(last.entity_ref().id);
        for entity in page {
            let key_label = entity.label();
            let Facts::Key(key) = entity.facts else { continue };
            if key.purpose != KeyPurpose::ActSigning || key.owner != Party::Person(person) {
                continue;
            }
            match (standing(view, &key.owner, key.key_id, now, None)?, key.compartment.clone()) {
                (Standing::Good, Some(compartment)) => best = Some(ActKey { person, key, compartment }),
                (Standing::Good, None) => elsewhere = Some((key_label, key.key_id)),
                (standing, _) => unfit = Some((key_label, standing)),
            }
        }
    }
    match (best, elsewhere, unfit) {
        (Some(best), ..) => Ok(best),
        (None, Some((key, id)), _) => Err(AttestError::Elsewhere { key, id }),
        (None, None, Some((key, standing))) => Err(AttestError::Unfit { person: label, key, standing }),
        (None, None, None) => Err(AttestError::NoKey(label)),
    }
}

/// The private half of a person's key, in memory: it signs acts, and checkpoints as a witness.
pub struct ActSecret {
    person: PersonId,
    key: KeyFacts,
    secret: PrivateKey,
}

impl ActSecret {
    /// Whose it is.
    #[must_use]
    pub const fn person(&self) -> PersonId {
        self.person
    }

    /// What is known of the key.
    #[must_use]
    pub const fn key(&self) -> &KeyFacts {
        &self.key
    }

    /// The key as Ed25519, if it is one.
    pub(super) const fn as_ed25519(&self) -> Option<&ed25519_dalek::SigningKey> {
        self.secret.as_ed25519()
    }
}

impl fmt::Debug for ActSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActSecret({})", self.key.key_id)
    }
}

impl ActSigner for ActSecret {
    fn attest(&self, event: Link) -> Result<EventAttested, String> {
        let signature = self.secret.sign(&event.cid().to_bytes()).map_err(|error| error.to_string())?;
        Ok(EventAttested {
            event,
            signer: Party::Person(self.person),
            key_id: self.key.key_id,
            algorithm: self.key.algorithm,
            signature: Bytes::new(signature).ok_or("the signature is too long")?,
        })
    }
}

/// Records a signature over an event that is recorded already. Nothing is returned when this key signed it before.
///
/// # Errors
/// When the event is not there, or the key can't speak for its owner.
pub fn attest(
    store: &Store,
    context: AppendContext,
    secret: &ActSecret,
    which: &Which,
) -> Result<Vec<AppendedEvent>, AttestError> {
    let link = linked(store, which)?;
    let attestation = secret.attest(link).map_err(AppendError::Signature)?;
    Ok(store.execute(context, vec![Command::Attest { attestation, at: Timestamp::now() }])?)
}

/// Records a signature that was made elsewhere, with a key of which only the public half is known here, or any other.
///
/// # Errors
/// When it is not the key's signature over the event, and as [`attest`].
pub fn attest_with(
    store: &Store,
    context: AppendContext,
    which: &Which,
    key: &str,
    signature: Vec<u8>,
) -> Result<Vec<AppendedEvent>, AttestError> {
    let event = linked(store, which)?;
    let (label, key) = store.view(|view| {
        let entity = lookup::entity(view, Kind::Key, key)?;
        let label = entity.label();
        let Facts::Key(key) = entity.facts else { return Err(AttestError::NoKey(label)) };
        Ok((label, key))
    })??;
    if verify(&public(&key), &event.cid().to_bytes(), &signature).is_err() {
        return Err(AttestError::WrongSignature(label));
    }
    let (signer, key_id, algorithm) = (key.owner, key.key_id, key.algorithm);
    let signature = Bytes::new(signature).ok_or(AttestError::TooLong)?;
    let attestation = EventAttested { event, signer, key_id, algorithm, signature };
    Ok(store.execute(context, vec![Command::Attest { attestation, at: Timestamp::now() }])?)
}

fn linked(store: &Store, which: &Which) -> Result<Link, AttestError> {
    let cid = store.event(which)?.cid;
    Link::new(cid).map_err(|error| AppendError::Encoding(error.to_string()).into())
}

fn public(key: &KeyFacts) -> PublicFacts {
    PublicFacts { algorithm: key.algorithm, encoding: key.encoding, public_key: key.public_key.clone() }
}

/// What a signature over an event is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is right, by a key that was in force and only its owner opened.
    Good,
    /// It is right, and the key is suspected to have been in wrong hands by then.
    Disputed {
        /// Since when.
        since: Timestamp,
    },
    /// The key could not speak for the signer.
    NoStanding(Standing),
    /// The bytes are no signature of this key over this event.
    Forged,
}

/// A signature over an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Its position.
    pub position: u64,
    /// The content identifier of the signature, which is an event.
    pub cid: cid::Cid,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who signed.
    pub signer: Party,
    /// With which key.
    pub key_id: KeyId,
    /// What it is worth.
    pub verdict: Verdict,
}

impl Signature {
    /// Whether it makes an actor a signer.
    #[must_use]
    pub fn vouches_for(&self, actor: &Actor) -> bool {
        let same = matches!((&self.signer, actor), (Party::Person(signer), Actor::Person(actor)) if signer == actor);
        same && self.verdict == Verdict::Good
    }
}

/// The signatures over an event, the oldest first.
///
/// # Errors
/// When the ledger can't be read.
pub fn signatures(store: &Store, event: &cid::Cid) -> Result<Vec<Signature>, ReadError> {
    signatures_among(store, event, &Nearby::default())
}

/// Recorded events that are at hand, by content identifier: what is among them is not read again.
pub(super) type Nearby<'r> = HashMap<cid::Cid, &'r Recorded>;

/// As [`signatures`], with events that are at hand.
pub(super) fn signatures_among(
    store: &Store,
    event: &cid::Cid,
    nearby: &Nearby<'_>,
) -> Result<Vec<Signature>, ReadError> {
    let found = store.view(|view| {
        let found = view.find(&NameKey::attested(event), 1_000)?;
        let with_key = |entity: Entity| Ok((key_of(view, &entity)?, entity));
        found.into_iter().map(with_key).collect::<Result<Vec<_>, ViewError>>()
    })?;
    let found = found.map_err(|error| ReadError::Damaged { position: 0, detail: error.to_string() })?;
    let mut signatures = Vec::with_capacity(found.len());
    for (key, entity) in found {
        let Facts::Attestation(facts) = entity.facts else { continue };
        let judged = match nearby.get(&entity.last) {
            Some(recorded) => judge(recorded, &facts, key.as_ref())?,
            None => judge(&store.event(&Which::Cid(entity.last))?, &facts, key.as_ref())?,
        };
        signatures.push(judged);
    }
    signatures.sort_by_key(|signature| signature.position);
    Ok(signatures)
}

/// What a signature is worth that is itself the event at hand; `None` for other events, and for one that only repeats an
/// earlier signature of the same key.
///
/// # Errors
/// When the ledger can't be read.
pub fn of_attestation(store: &Store, recorded: &Recorded) -> Result<Option<Signature>, ReadError> {
    let EventData::EventAttested(attested) = recorded.event()?.data else { return Ok(None) };
    Ok(signatures(store, attested.event.cid())?.into_iter().find(|it| it.cid == recorded.cid))
}

fn key_of(view: &dyn View, entity: &Entity) -> Result<Option<KeyFacts>, ViewError> {
    let Facts::Attestation(facts) = &entity.facts else { return Ok(None) };
    Ok(match view.get(EntityRef::from(facts.key_id))?.map(|key| key.facts) {
        Some(Facts::Key(key)) => Some(key),
        _ => None,
    })
}

/// What one recorded signature is worth.
fn judge(recorded: &Recorded, facts: &AttestationFacts, key: Option<&KeyFacts>) -> Result<Signature, ReadError> {
    let event = recorded.event()?;
    let at = event.occurred_at;
    let EventData::EventAttested(attested) = &event.data else {
        let detail = "it is said to be a signature, and is none".to_owned();
        return Err(ReadError::Damaged { position: recorded.position, detail });
    };
    let right = key.is_some_and(|key| {
        verify(&public(key), &attested.event.cid().to_bytes(), attested.signature.as_slice()).is_ok()
    });
    let since = key.and_then(|key| key.revocation.as_ref()?.invalid_since).filter(|since| *since <= at);
    let verdict = match (facts.standing, since) {
        (standing @ (Standing::UnknownKey | Standing::OtherAlgorithm), _) => Verdict::NoStanding(standing),
        _ if !right => Verdict::Forged,
        (Standing::Good, Some(since)) => Verdict::Disputed { since },
        (Standing::Good, None) => Verdict::Good,
        (standing, _) => Verdict::NoStanding(standing),
    };
    let (signer, key_id) = (attested.signer.clone(), attested.key_id);
    Ok(Signature { position: recorded.position, cid: recorded.cid, at, signer, key_id, verdict })
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

/// Makes a key for signing acts in a person's own compartment, and records who opens that.
///
/// # Errors
/// When something is refused, or custody or the ledger can't be written.
pub fn enroll(
    store: &Store,
    custody: &Custody,
    context: AppendContext,
    new: &Enrollment,
) -> Result<Vec<AppendedEvent>, KeyError> {
    let compartment = new.compartment.clone();
    let recipient = custody.recipient(&compartment).map_err(crate::custody::SealError::from)?;
    let recipient = Recipient::new(&recipient).map_err(LookupError::from)?;
    let holder = Some(Party::Person(new.person));
    let key = NewKey {
        name: new.name.clone(),
        kind: new.kind,
        purpose: Some(KeyPurpose::ActSigning),
        owner: Some(format!("person:{}", new.person)),
        compartment: Some(compartment.clone()),
        validity: new.validity,
        location: None,
    };
    let key = store.view(|view| keys::make(view, key))??;
    let commands = vec![
        Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder }),
        Command::GenerateKey(key.facts.clone()),
    ];
    let sealable = [key.into_sealable()];
    Ok(record_sealed(store, custody, &sealable, context, |context| store.execute(context, commands))?)
}
