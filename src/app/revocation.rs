//! Finding the event that revoked something: what is proved when somebody asks since when a key counts no more.

use std::collections::{BTreeSet, VecDeque};

use cid::Cid;

use crate::advice::{Advice, ErrorKind, Explained};
use crate::authority::nats::{NatsError, lookup as nats_lookup};
use crate::events::{EventData, Party};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Entity, EntityRef, Facts, How, Kind, View, ViewError, concerns};
use crate::store::{ReadError, Store, Which};

/// Why no revocation was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// There is no such key or person.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// There is no such NATS user.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// It is not revoked.
    #[error("{0} is not revoked, so there is nothing to prove")]
    NotRevoked(String),
    /// The person has several revoked keys.
    #[error("{person} has several revoked keys: {}", keys.join(", "))]
    Several {
        /// Who.
        person: String,
        /// The keys.
        keys: Vec<String>,
    },
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The entities can't be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Explained for RevocationError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Nats(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::NotRevoked(_) => ErrorKind::Refused,
            Self::Several { .. } => ErrorKind::Usage,
            Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Several { .. } => vec![Advice::Do("name one of them")],
            Self::Lookup(error) => error.advice(),
            Self::Nats(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::NotRevoked(_) | Self::View(_) => Vec::new(),
        }
    }
}

/// The event that revoked what a text means: `ACCOUNT/USER` of NATS, a key's name or identifier, or a person with one
/// revoked key.
///
/// # Errors
/// When nothing of that name is there, or it is not revoked.
pub fn revocation(store: &Store, text: &str) -> Result<Cid, RevocationError> {
    let entity = store.view(|view| revoked(view, text))??;
    let about = entity.entity_ref();
    // Each event about a thing names the one before it as a cause: the revocation is among them.
    let (mut next, mut seen) = (VecDeque::from([entity.last]), BTreeSet::new());
    while let Some(cid) = next.pop_front() {
        if !seen.insert(cid) {
            continue;
        }
        let event = store.event(&Which::Cid(cid))?.event()?;
        let revokes = matches!(&event.data, EventData::KeyRevoked(_) | EventData::NatsUserRevoked(_));
        let concerned = concerns(&event.data).contains(&about);
        if revokes && concerned {
            return Ok(cid);
        }
        if concerned {
            next.extend(event.causes.iter().map(|cause| *cause.cid()));
        }
    }
    Err(RevocationError::NotRevoked(entity.label()))
}

fn revoked(view: &dyn View, text: &str) -> Result<Entity, RevocationError> {
    if text.contains('/') {
        let (_, user) = nats_lookup::user(view, text)?;
        let entity = view.get(user.user.user_id.into())?;
        return entity.ok_or_else(|| RevocationError::NotRevoked(format!("the user {}", crate::text::visible(text))));
    }
    let key = match lookup::entity(view, Kind::Key, text) {
        Ok(key) => return if is_revoked(&key) { Ok(key) } else { Err(RevocationError::NotRevoked(key.label())) },
        Err(error @ LookupError::NotFound { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let Ok(person) = lookup::entity(view, Kind::Person, text) else { return Err(key.into()) };
    let mut keys = keys_of(view, person.entity_ref())?;
    match keys.len() {
        0 => Err(RevocationError::NotRevoked(format!("no key of {}", person.label()))),
        1 => Ok(keys.remove(0)),
        _ => {
            let keys = keys.iter().map(|key| format!("{} ({})", key.label(), key.entity_ref().id)).collect();
            Err(RevocationError::Several { person: person.label(), keys })
        }
    }
}

fn is_revoked(entity: &Entity) -> bool {
    entity.ended.as_ref().is_some_and(|ended| ended.how == How::Revoked)
}

fn keys_of(view: &dyn View, person: EntityRef) -> Result<Vec<Entity>, ViewError> {
    let mut keys = Vec::new();
    for entity in view.all_referring(person, Kind::Key) {
        let entity = entity?;
        let Facts::Key(key) = &entity.facts else { continue };
        if is_revoked(&entity) && matches!(key.owner, Party::Person(_)) && EntityRef::party(&key.owner) == Some(person)
        {
            keys.push(entity);
        }
    }
    Ok(keys)
}
