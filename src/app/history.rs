//! The history of one entity: who changed it, when and how, back to its creation.

use std::collections::BTreeMap;

use cid::Cid;
use serde_json::Value;

use super::changes::done;
use super::names;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::authority::nats::{NatsError, lookup as nats};
use crate::events::{Actor, EventData};
use crate::ledger::lookup::{self, LookupError};
use crate::ledger::{Entity, EntityRef, Facts, Kind, View, ViewError, concerns};
use crate::session::signatures::{Verdict, signatures};
use crate::store::{ReadError, Recorded, Store};
use crate::time::Timestamp;

/// Why there is no history to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entity could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// It is named as one of NATS, and not found.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// It is named with its kind, and not found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Nothing has this name.
    #[error("nothing is called \"{}\"", crate::text::visible(.0))]
    NotFound(String),
    /// Several kinds of things have this name.
    #[error("\"{}\" is the name of several: {}", crate::text::visible(text), kinds.join(", "))]
    Ambiguous {
        /// The name.
        text: String,
        /// What has it, as it may be written instead: `person:Ada`.
        kinds: Vec<String>,
    },
}

impl Explained for HistoryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::Nats(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::NotFound(_) | Self::Ambiguous { .. } => ErrorKind::Usage,
            Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotFound(_) => vec![Advice::Run(Action::List("person"), "and the other lists show names")],
            Self::Ambiguous { .. } => vec![Advice::Do("write one of these")],
            Self::Read(error) => error.advice(),
            Self::Nats(error) => error.advice(),
            Self::Lookup(error) => error.advice(),
            Self::View(_) => Vec::new(),
        }
    }
}

/// One attribute that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The attribute, with those that enclose it: `nats.limits.conn`.
    pub name: String,
    /// What it was; `None` where it was absent.
    pub from: Option<Value>,
    /// What it became; `None` where it is absent now.
    pub to: Option<Value>,
}

/// One event in the history of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its position.
    pub position: u64,
    /// Its content identifier.
    pub cid: Cid,
    /// Its time.
    pub at: Timestamp,
    /// The actor, by name where it is a recorded person.
    pub actor: String,
    /// Its type.
    pub event_type: String,
    /// What it did, in the past tense.
    pub done: &'static str,
    /// What it was done to: the entity itself, or its key.
    pub kind: Kind,
    /// The attributes that changed; none for the first event.
    pub changes: Vec<Leaf>,
    /// The reason given.
    pub reason: Option<String>,
    /// Whose good signatures it has, by name.
    pub signed_by: Vec<String>,
}

/// The entity that a text means: `person:Ada`, `ORDERS/ann`, a name that only one thing has, a public key or an identifier.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(view: &dyn View, text: &str) -> Result<Entity, HistoryError> {
    if let Some((kind, name)) = text.split_once(':')
        && let Some(kind) = Kind::from_word(kind).or_else(|| short(kind))
    {
        return of_kind(view, kind, name);
    }
    if text.contains('/') {
        return of_kind(view, Kind::User, text);
    }
    let mut found: Vec<Entity> = Vec::new();
    for kind in Kind::ALL {
        match of_kind(view, *kind, text) {
            Ok(entity) => found.push(entity),
            Err(HistoryError::Lookup(LookupError::Ambiguous { kind, text, ids })) => {
                return Err(LookupError::Ambiguous { kind, text, ids }.into());
            }
            Err(HistoryError::View(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    match found.len() {
        0 => Err(not_found(text)),
        1 => Ok(found.remove(0)),
        _ => {
            let kinds = found.iter().map(|it| format!("{}:{text}", it.entity_ref().kind.as_str())).collect();
            Err(HistoryError::Ambiguous { text: text.chars().take(80).collect(), kinds })
        }
    }
}

fn not_found(text: &str) -> HistoryError {
    HistoryError::NotFound(text.chars().take(80).collect())
}

/// The kinds of NATS as its own tools call them.
fn short(word: &str) -> Option<Kind> {
    match word {
        "operator" => Some(Kind::Operator),
        "account" => Some(Kind::Account),
        "user" => Some(Kind::User),
        _ => None,
    }
}

fn of_kind(view: &dyn View, kind: Kind, text: &str) -> Result<Entity, HistoryError> {
    let reference: EntityRef = match kind {
        Kind::Operator => {
            let operator = nats::operator(view)?.operator;
            let same = operator.name.as_str() == text || operator.public_key.as_str() == text;
            let id = text.parse() == Ok(*operator.operator_id.as_uuid());
            if !(same || id) {
                return Err(not_found(text));
            }
            operator.operator_id.into()
        }
        Kind::Account if text.parse::<uuid::Uuid>().is_err() => nats::account(view, text)?.account.account_id.into(),
        Kind::User if text.parse::<uuid::Uuid>().is_err() => nats::user(view, text)?.1.user.user_id.into(),
        kind => lookup::entity(view, kind, text)?.entity_ref(),
    };
    view.get(reference)?.ok_or_else(|| not_found(text))
}

/// The events about an entity and its own key, the oldest first. `progress` gets how many events were looked at.
///
/// # Errors
/// When the ledger can't be read.
pub fn history(store: &Store, entity: &Entity, progress: &mut dyn FnMut(u64)) -> Result<Vec<Entry>, HistoryError> {
    let mut about = vec![entity.entity_ref()];
    about.extend(match &entity.facts {
        Facts::Operator(it) => Some(EntityRef::from(it.operator.key_id)),
        Facts::Account(it) => Some(EntityRef::from(it.account.key_id)),
        Facts::User(it) => Some(EntityRef::from(it.user.key_id)),
        _ => None,
    });
    // The identifiers stand in the block as text; what has none of them need not be decoded. Derived identifiers are nowhere.
    let derived = matches!(entity.entity_ref().kind, Kind::Recipient | Kind::Attestation | Kind::SignatureRequirement);
    let needles: Vec<String> = about.iter().map(|it| it.id.as_hyphenated().to_string()).collect();
    let mut history = Collecting { store, known: BTreeMap::new(), entries: Vec::new() };
    for recorded in store.iter(1) {
        let recorded = recorded?;
        if recorded.position.is_multiple_of(1_000) {
            progress(recorded.position);
        }
        if derived || needles.iter().any(|id| contains(&recorded.block, id.as_bytes())) {
            history.see(&recorded, &about)?;
        }
    }
    Ok(history.entries)
}

fn contains(block: &[u8], needle: &[u8]) -> bool {
    block.windows(needle.len()).any(|window| window == needle)
}

struct Collecting<'s> {
    store: &'s Store,
    /// The attributes that were last said of an entity, and the claims of its token.
    known: BTreeMap<(EntityRef, bool), BTreeMap<String, Value>>,
    entries: Vec<Entry>,
}

impl Collecting<'_> {
    fn see(&mut self, recorded: &Recorded, about: &[EntityRef]) -> Result<(), HistoryError> {
        let event = recorded.event()?;
        let Some(reference) = concerns(&event.data).into_iter().find(|it| about.contains(it)) else { return Ok(()) };
        let (done, is_token) = match &event.data {
            EventData::JwtClaimsCreated(_) => ("issued a token for", true),
            data => match done(data) {
                Some(done) => (done, false),
                // A token's signature comes with its claims, and a key is made for what it belongs to.
                None => return Ok(()),
            },
        };
        let data = serde_json::to_value(&event.data).unwrap_or_default();
        let reason = data.get("reason").or_else(|| data.get("note")).and_then(Value::as_str).map(ToOwned::to_owned);
        let attributes = match &event.data {
            EventData::JwtClaimsCreated(claims) => Some(leaves(&claims.claims.as_str().parse().unwrap_or_default())),
            _ if reason.is_none() => Some(leaves(&data)),
            _ => None,
        };
        let changes = match attributes {
            Some(now) => {
                let before = self.known.insert((reference, is_token), now.clone());
                before.map(|before| differences(&before, &now)).unwrap_or_default()
            }
            None => Vec::new(),
        };
        let signatures = signatures(self.store, &recorded.cid)?;
        let good = signatures.iter().filter(|it| it.verdict == Verdict::Good);
        let signers = good.map(|it| it.signer.to_string()).collect::<Vec<_>>();
        let named = |text: &str| self.named(text);
        self.entries.push(Entry {
            position: recorded.position,
            cid: recorded.cid,
            at: event.occurred_at,
            actor: named(&event.actor.to_string())?,
            event_type: event.event_type().to_owned(),
            done,
            kind: reference.kind,
            changes,
            reason,
            signed_by: signers.iter().map(|signer| named(signer)).collect::<Result<_, _>>()?,
        });
        Ok(())
    }

    /// A person by name; any other actor as it is written.
    fn named(&self, actor: &str) -> Result<String, HistoryError> {
        let Ok(Actor::Person(id)) = actor.parse() else { return Ok(actor.to_owned()) };
        let person =
            self.store.view(|view| view.get(id.into())?.map(|person| names::entity(view, &person)).transpose())??;
        Ok(person.unwrap_or_else(|| actor.to_owned()))
    }
}

/// The attributes of an object, those of enclosed objects by their path. What every token has anew is none of them.
fn leaves(value: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    collect("", value, &mut all);
    for anew in ["iat", "jti"] {
        all.remove(anew);
    }
    all
}

fn collect(path: &str, value: &Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, member, all);
            }
        }
        Value::Null => {}
        leaf => drop(all.insert(path.to_owned(), leaf.clone())),
    }
}

fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<Leaf> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let leaf =
        |name: &String| Leaf { name: name.clone(), from: before.get(name).cloned(), to: after.get(name).cloned() };
    names.into_iter().map(leaf).filter(|leaf| leaf.from != leaf.to).collect()
}
