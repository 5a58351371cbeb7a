//! `recover`: a ledger that came back from a backup takes what is newer, and goes on under a new key.

#[cfg(feature = "nats-client")]
mod stream;

#[cfg(feature = "nats-client")]
pub use stream::{BringError, Brought, bring};

use std::path::PathBuf;

use crate::custody::{self, Custody, SealError};
use crate::events::{Actor, EventAttested, KeyAlgorithm, KeyGenerated, LedgerKeyRotated, Link, Party, Validity};
use crate::ids::KeyId;
use crate::keys::pair::{GenerateError, KeyKind, PrivateKey};
use crate::ledger::{Command, Facts, NameKey, ViewError};
use crate::log::{SignedCheckpoint, VerifierKey};
use crate::store::{AppendContext, Attest, CreateError, OpenError, ReadError, Restored, Store};
use crate::text::{InvalidText, Label, Note};

use super::log::{LedgerSecret, LogError, ledger_key, sign_head, verifier_key};
use super::online_key;
use super::session::{Place, Session};

/// Why a restored ledger does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// It is no restored ledger, or can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// This machine knows of more than was recovered.
    #[error(
        "this machine knows that {known} events were recorded or signed, and only {end} are here, or others; bring the rest with `cim-keys recover --from`, or go on without it with --accept-loss"
    )]
    Loss {
        /// How many events it knows of.
        known: u64,
        /// How many there are.
        end: u64,
    },
    /// The ledger's key is not recorded, or custody does not have it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Custody does not open.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// The new key could not be made.
    #[error(transparent)]
    Key(#[from] GenerateError),
    /// The new key could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The new key could not be recorded.
    #[error(transparent)]
    Record(#[from] CreateError),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The ledger goes on, and the old key that lies open could not be set aside.
    #[error(
        "the ledger goes on under its new key, and the file with the old one could not be set aside: {0}; remove it"
    )]
    OldKey(#[from] std::io::Error),
    /// A text of ours is not taken.
    #[error(transparent)]
    Text(#[from] InvalidText),
}

/// How a restored ledger goes on.
pub struct Beginning<'a> {
    /// Who acts.
    pub actor: Actor,
    /// Why, as it is recorded.
    pub reason: Note,
    /// The old key, which vouches for the new one; without it, who trusts the old key does not follow.
    pub old_key: Option<&'a LedgerSecret>,
    /// Whether events that this machine knows of are given up.
    pub accept_loss: bool,
    /// Whether the clock is right although it is far from the last event.
    pub allow_time_jump: bool,
}

/// What a ledger goes on with.
pub struct Recovered {
    /// The ledger, open for writing.
    pub session: Session,
    /// The new key.
    pub key: VerifierKey,
    /// The key of before.
    pub previous: VerifierKey,
    /// The first head that the new key signed.
    pub head: SignedCheckpoint,
    /// Where the file with the old key lies now, if that lay open in the folder.
    pub set_aside: Option<PathBuf>,
}

/// Begins anew: makes a key, seals it where the old one lies, records it with the old key's signature, takes the right to
/// write, and signs the head.
///
/// # Errors
/// When events are known to be missing and that was not accepted, or something can't be written. The ledger then stays
/// restored, and can be tried again.
pub fn begin(place: Place, beginning: Beginning<'_>) -> Result<Recovered, RecoverError> {
    let restored = Restored::open(place.options())?;
    let store = restored.follower().store();
    let end = store.end()?;
    if let (Some(known), false) = (restored.known_loss()?, beginning.accept_loss) {
        return Err(RecoverError::Loss { known, end });
    }
    let previous = verifier_key(store)?;
    let old = ledger_key(store)?;
    let old_public = store.identity().public_key.clone();
    let recorded = store.view(|view| view.find(&NameKey::public_key(&old_public), 1))??.pop();
    let Some(Facts::Key(facts)) = recorded.map(|entity| entity.facts) else { return Err(LogError::NoKey.into()) };
    let ledger_id = store.identity().ledger_id;
    let custody = Custody::open(&place.custody())?;
    let key = PrivateKey::generate(KeyKind::Ed25519)?;
    let (key_id, public) = (KeyId::mint(), key.public());
    let successor = KeyGenerated {
        key_id,
        name: facts.name,
        algorithm: public.algorithm,
        encoding: public.encoding,
        public_key: public.public_key.clone(),
        purpose: facts.purpose,
        owner: facts.owner,
        compartment: old.compartment.clone(),
        validity: Validity::ALWAYS,
        location_id: None,
    };
    let rotated = LedgerKeyRotated {
        ledger_id,
        public_key: public.public_key,
        previous_public_key: old_public,
        reason: beginning.reason,
    };
    let attest = beginning.old_key.map(|secret| attest(secret, old.key_id)).transpose()?;
    let mut context = AppendContext::new(beginning.actor.clone());
    context.allow_time_jump = beginning.allow_time_jump;
    // The secret is on the disk before anything says that it exists.
    custody.seal(&old.compartment, key_id, &key.secret())?;
    let rotate = Command::RotateKey { key_id: old.key_id, successor, retire_at: None };
    let store = match restored.begin(context, vec![rotate], rotated, attest) {
        Ok(store) => store,
        Err(error) => {
            if !is_recorded(&place, key_id) {
                // Nothing names it; what can't be removed is an orphan that `custody check` tells.
                let _ = custody.remove_all(&old.compartment, [key_id]);
            }
            return Err(error.into());
        }
    };
    let head = sign_head(&store, &LedgerSecret::new(key))?;
    let key = verifier_key(&store)?;
    let set_aside = online_key::set_aside(&place)?;
    Ok(Recovered { session: Session::from_store(place, store, beginning.actor), key, previous, head, set_aside })
}

/// Whether a key is recorded; where that is not known, it may be.
fn is_recorded(place: &Place, key: KeyId) -> bool {
    let store = Store::open_read_only(place.options());
    store.map_or(true, |store| !matches!(store.view(|view| view.get(key.into())), Ok(Ok(None))))
}

fn attest(secret: &LedgerSecret, key_id: KeyId) -> Result<Attest, RecoverError> {
    let signer = Party::Service(Label::new("ledger")?);
    let secret = secret.for_signing()?;
    Ok(Box::new(move |cid| {
        let signature = ed25519_dalek::Signer::sign(&secret, &cid.to_bytes()).to_bytes().to_vec();
        Ok(EventAttested {
            event: Link::new(*cid).map_err(|error| error.to_string())?,
            signer,
            key_id,
            algorithm: KeyAlgorithm::Ed25519,
            signature: crate::events::Bytes::new(signature).ok_or("the signature is too long")?,
        })
    }))
}
