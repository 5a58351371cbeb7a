//! `recover`: a ledger that came back from a backup takes what is newer, and goes on under a new key.

#[cfg(feature = "nats-client")]
mod stream;

#[cfg(feature = "nats-client")]
pub use stream::{BringError, Brought, bring};

use std::path::PathBuf;

use std::sync::Arc;

use crate::act::{ActError, ActSigner, DraftKey, Head, Intent, Pipeline, Scope};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::custody::{NoPassphrases, Ring};
use crate::events::{Actor, KeyGenerated, LedgerKeyRotated, Party, Validity};
use crate::keys::{KeyError, KeyKind, KeyRing, KeySpec, Signer};
use crate::ledger::{Command, Facts, NameKey, Refusal, ViewError};
use crate::log::{SignedCheckpoint, VerifierKey};
use crate::policy;
use crate::session::heads::LogError;
use crate::session::online_key;
use crate::session::{LedgerActError, Place, Session};
use crate::store::{JournalError, OpenError, ReadError, Restored};
use crate::text::{InvalidText, Label, Note};

/// Why a restored ledger does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// It is no restored ledger, or can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// This machine knows of more than was recovered.
    #[error("this machine knows that {known} events were recorded or signed, and only {end} are here, or others")]
    Loss {
        /// How many events it knows of.
        known: u64,
        /// How many there are.
        end: u64,
    },
    /// The ledger's key is not recorded, or custody does not have it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The new key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The new key could not be recorded.
    #[error(transparent)]
    Record(Box<LedgerActError<RecoverError>>),
    /// What the act goes on from could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger goes on, and its first head could not be signed.
    #[error("the ledger goes on under its new key, and its head could not be signed: {0}")]
    Head(String),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The ledger goes on, and the old key, which is stored unencrypted, could not be set aside.
    #[error("the ledger goes on under its new key, and the file with the old one could not be set aside: {0}")]
    OldKey(#[from] std::io::Error),
    /// A text of ours is not taken.
    #[error(transparent)]
    Text(#[from] InvalidText),
}

impl Explained for RecoverError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Loss { .. } => ErrorKind::Refused,
            Self::Key(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Open(_)
            | Self::Log(_)
            | Self::Refused(_)
            | Self::Record(_)
            | Self::Head(_)
            | Self::Read(_)
            | Self::View(_)
            | Self::OldKey(_)
            | Self::Text(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Loss { .. } => vec![
                Advice::Run(Action::RecoverFromCarry, "brings the rest from a medium"),
                Advice::Run(Action::RecoverFromStream, "brings the rest from the stream"),
                Advice::Run(Action::RecoverAcceptLoss, "goes on without it"),
            ],
            Self::OldKey(_) => vec![Advice::Do("remove that file")],
            Self::Open(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Refused(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Record(_) | Self::Head(_) | Self::View(_) | Self::Text(_) => Vec::new(),
        }
    }
}

impl From<LedgerActError<RecoverError>> for RecoverError {
    fn from(error: LedgerActError<RecoverError>) -> Self {
        match error {
            ActError::Build(error) => error,
            error => Self::Record(Box::new(error)),
        }
    }
}

/// How a restored ledger goes on.
pub struct Beginning {
    /// Who acts.
    pub actor: Actor,
    /// Why, as it is recorded.
    pub reason: Note,
    /// The old key, which vouches for the new one; without it, who trusts the old key does not follow.
    pub old_key: Option<Arc<dyn Signer>>,
    /// Whether events that this machine knows of are given up.
    pub accept_loss: bool,
    /// Whether the clock is right although it is far from the last event.
    pub accept_clock: bool,
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
    /// Where the file with the old key lies now, if that was stored unencrypted in the folder.
    pub set_aside: Option<PathBuf>,
}

/// Begins anew: makes a key, seals it in the compartment of the old one, records it with the old key's signature, takes the right to
/// write, and signs the head.
///
/// # Errors
/// When events are known to be missing and that was not accepted, or something can't be written. The ledger then stays
/// restored, and can be tried again.
pub fn begin(place: Place, beginning: Beginning) -> Result<Recovered, RecoverError> {
    let mut ring = Ring::at(&place.custody(), NoPassphrases);
    begin_with(place, &mut ring, beginning)
}

/// As [`begin`], with the new key in another key ring than the custody of the ledger's folder.
///
/// # Errors
/// See [`begin`].
pub fn begin_with(place: Place, keys: &mut dyn KeyRing, beginning: Beginning) -> Result<Recovered, RecoverError> {
    let restored = Restored::open(place.options())?;
    let store = restored.follower().store();
    let end = store.end()?;
    if let (Some(known), false) = (restored.known_loss()?, beginning.accept_loss) {
        return Err(RecoverError::Loss { known, end });
    }
    let previous = store.verifier_key()?;
    let old_public = store.identity().public_key.clone();
    let recorded = store.view(|view| view.find(&NameKey::public_key(&old_public), 1))??.pop();
    let Some(Facts::Key(old)) = recorded.map(|entity| entity.facts) else { return Err(LogError::NoKey.into()) };
    let ledger_id = store.identity().ledger_id;
    let mut intent = Intent::new(beginning.actor.clone());
    intent.accept_clock = beginning.accept_clock;
    intent.signer = match &beginning.old_key {
        Some(signer) => {
            let (party, signer) = (Party::Service(Label::new("ledger")?), Arc::clone(signer));
            Some(ActSigner { party, key_id: old.key_id, signer, scope: Scope::LedgerKey })
        }
        None => None,
    };
    let compartment = old.compartment.clone().ok_or(LogError::NoKey)?;
    let journal = restored.begin();
    let mut pipeline = Pipeline::new(&journal, policy::built_in()).with_keys(keys);
    let outcome = pipeline.act_after(
        &intent,
        |journal| Ok(journal.last()?),
        |draft, head| {
            let spec = KeySpec { kind: KeyKind::Ed25519, compartment: compartment.clone() };
            let DraftKey { key_id, public, compartment } = draft.generate(&spec)?;
            let successor = KeyGenerated {
                key_id,
                name: old.name.clone(),
                algorithm: public.algorithm,
                encoding: public.encoding,
                public_key: public.public_key.clone(),
                purpose: old.purpose,
                owner: old.owner.clone(),
                compartment,
                validity: Validity::ALWAYS,
                location_id: None,
            };
            draft.command(Command::RotateKey { key_id: old.key_id, successor, retire_at: None })?;
            let rotated = LedgerKeyRotated {
                ledger_id,
                public_key: public.public_key,
                previous_public_key: old_public.clone(),
                reason: beginning.reason.clone(),
            };
            draft.command(Command::RotateLedgerKey { rotated, head })?;
            Ok::<_, RecoverError>(())
        },
    )?;
    drop(pipeline);
    if let Head::Failed { reason, .. } = outcome.head {
        return Err(RecoverError::Head(reason));
    }
    let store = journal.into_store()?;
    let head = store.latest_checkpoint()?.ok_or(LogError::Empty)?;
    let key = store.verifier_key()?;
    let set_aside = online_key::set_aside(&place)?;
    Ok(Recovered { session: Session::from_store(place, store, beginning.actor), key, previous, head, set_aside })
}
