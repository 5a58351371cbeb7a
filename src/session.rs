//! An open ledger, with its folder and the actor.

pub mod custody;
pub mod heads;
pub mod online_key;
mod place;
pub mod signatures;
pub mod vouch;

pub use self::place::Place;

use self::custody::settle;
use self::online_key::OnlineKeyError;
use crate::act::{ActError, ActSigner, Intent, Pipeline};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody::{Custody, OpenError as CustodyError};
use crate::events::{Actor, Party};
use crate::files::staging;
use crate::ids::CorrelationId;
use crate::policy;
use crate::store::{JournalError, OpenError, RestrictedTexts, Store};

/// The pipeline of a ledger on disk.
pub type LedgerPipeline<'p> = Pipeline<'p, Store>;

/// Why an act on a ledger on disk did not take place.
pub type LedgerActError<E> = ActError<JournalError, E>;

/// Why a ledger was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger's key is stored unencrypted, and is not to be used as it is.
    #[error(transparent)]
    OnlineKey(#[from] OnlineKeyError),
}

impl Explained for SessionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Open(error) => error.kind(),
            Self::OnlineKey(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Open(error) => error.advice(),
            Self::OnlineKey(error) => error.advice(),
        }
    }
}

/// Removes what processes left that were killed: while they made this ledger, and between sealing a secret and recording its
/// key. What can't be removed is in nobody's way, and `custody check` names it.
fn recover(place: &Place, store: &Store) {
    staging::remove_residue(place.folder(), "ledger.db");
    if Custody::has_intents(&place.custody())
        && let Ok(custody) = Custody::open(&place.custody())
    {
        let _ = settle(store, &custody);
    }
}

/// An open ledger, bound to an actor.
pub struct Session {
    place: Place,
    store: Store,
    texts: RestrictedTexts,
    actor: Actor,
    signer: Option<ActSigner>,
    correlation: Option<CorrelationId>,
    accept_clock: bool,
}

impl Session {
    /// Opens a ledger for writing where this machine may, and for reading otherwise. Where the ledger's own key is stored
    /// unencrypted, the head of every append is signed ([`online_key`]).
    ///
    /// # Errors
    /// As [`Store::open`], and when an unencrypted key is not to be used.
    pub fn open(place: Place, actor: Actor) -> Result<Self, SessionError> {
        let store = Store::open(place.options())?;
        if store.writable().is_ok() {
            recover(&place, &store);
            online_key::sign_heads(&place, &store)?;
        }
        Ok(Self::from_store(place, store, actor))
    }

    /// Opens a ledger for reading.
    ///
    /// # Errors
    /// As [`Store::open_read_only`].
    pub fn open_read_only(place: Place, actor: Actor) -> Result<Self, OpenError> {
        let store = Store::open_read_only(place.options())?;
        Ok(Self::from_store(place, store, actor))
    }

    /// A session on a ledger that is open.
    #[must_use]
    pub fn from_store(place: Place, store: Store, actor: Actor) -> Self {
        let texts = RestrictedTexts::at(place.restricted());
        Self { place, store, texts, actor, signer: None, correlation: None, accept_clock: false }
    }

    /// Where the ledger is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The ledger itself.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// As [`Store::on_catch_up`].
    pub fn on_catch_up(&mut self, tell: impl Fn(u64, u64) + Send + Sync + 'static) {
        self.store.on_catch_up(tell);
    }

    /// Says who acts from here on, unsigned: the events only claim it.
    pub fn act_as(&mut self, actor: Actor) {
        self.actor = actor;
        self.signer = None;
    }

    /// Lets a person act from here on who signs every event.
    pub fn sign_as(&mut self, signer: ActSigner) {
        if let Party::Person(person) = signer.party {
            self.actor = Actor::Person(person);
        }
        self.signer = Some(signer);
    }

    /// Lets everything that is recorded from here on bear one correlation id, which came from elsewhere.
    pub const fn correlate(&mut self, id: CorrelationId) {
        self.correlation = Some(id);
    }

    /// Says that the clock is right, although it is more than a day away from the last event.
    pub const fn accept_clock(&mut self) {
        self.accept_clock = true;
    }

    /// A new act of the actor.
    #[must_use]
    pub fn intent(&self) -> Intent {
        let new = Intent::new(self.actor.clone());
        let correlation_id = self.correlation.unwrap_or(new.correlation_id);
        Intent { accept_clock: self.accept_clock, signer: self.signer.clone(), correlation_id, ..new }
    }

    /// The pipeline of this ledger, with its policy and its restricted texts. Keys, the person in front and the publisher are
    /// the caller's to add.
    #[must_use]
    pub fn pipeline(&self) -> LedgerPipeline<'_> {
        Pipeline::new(&self.store, policy::built_in()).with_texts(&self.texts)
    }

    /// The restricted texts: those of signed tokens.
    #[must_use]
    pub const fn texts(&self) -> &RestrictedTexts {
        &self.texts
    }

    /// The sealed secrets.
    ///
    /// # Errors
    /// As [`Custody::open`].
    pub fn custody(&self) -> Result<Custody, CustodyError> {
        Custody::open(&self.place.custody())
    }
}
