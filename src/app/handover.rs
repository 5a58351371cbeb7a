//! `handover`: takes over the right to write for this copy of a ledger.

use crate::act::{ActError, Intent, Pipeline};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::events::LedgerHandedOver;
use crate::ledger::{Command, Refusal};
use crate::policy;
use crate::session::online_key::{self, OnlineKeyError};
use crate::session::{LedgerActError, Place, Session};
use crate::store::{HandingOver, OpenError};
use crate::text::Note;

/// Why the right to write was not taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// There is no ledger that could be taken over.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was not recorded.
    #[error(transparent)]
    Record(#[from] LedgerActError<Refusal>),
    /// It was taken over, and the ledger's key, which is stored unencrypted, is not to be used as it is.
    #[error(transparent)]
    OnlineKey(#[from] OnlineKeyError),
}

impl Explained for HandoverError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::OnlineKey(error) => error.kind(),
            Self::Record(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Open(error) => error.advice(),
            Self::OnlineKey(error) => error.advice(),
            Self::Record(_) => Vec::new(),
        }
    }
}

/// Takes over the right to write, and records that. Where the ledger's own key is stored unencrypted, the head is signed.
///
/// # Errors
/// See [`HandoverError`].
pub fn take_over(place: Place, intent: &Intent, reason: &Note) -> Result<Session, HandoverError> {
    let journal = HandingOver::open(place.options())?;
    let ledger_id = journal.ledger_id();
    let _ = Pipeline::new(&journal, policy::built_in()).act(intent, |draft| {
        let event = LedgerHandedOver { ledger_id, reason: reason.clone() };
        draft.command(Command::HandOverLedger(event)).map(|_| ())
    })?;
    let store = journal.into_store().map_err(ActError::Journal)?;
    if let Some(signer) = online_key::signer(&place, &store)? {
        crate::session::heads::sign_head(&store, &*signer).map_err(OnlineKeyError::from)?;
    }
    Ok(Session::from_store(place, store, intent.actor.clone()))
}
