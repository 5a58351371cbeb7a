//! Requests: what the connected side wants done, signed by a ledger that the authority knows, and carried out by the
//! authority alone.
//!
//! A request holds a plan as `apply --save-plan` makes it. The authority takes from it what is to be so, and makes its own
//! plan from that, against its own ledger: nobody is shown a difference that somebody else computed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::apply::{self, ApplyError, Prepared};
use super::log::check_against;
use crate::advice::{self, Advice, ErrorKind, Explained};
use crate::declare::{Action, SavedPlan, Step};
use crate::events::{KeyAlgorithm, KeyEncoding, LedgerRelation};
use crate::ids::{CorrelationId, LedgerId};
use crate::keys::{PublicFacts, SignError, Signer, verify};
use crate::ledger::{Entity, Facts, Kind, LedgerFacts, ViewError};
use crate::log::SignedCheckpoint;
use crate::session::heads::LogError;
use crate::store::{ReadError, Store};
use crate::text::{PublicKey, visible};
use crate::time::Timestamp;

/// What stands in front of the request where it is signed, so that its signature is never one of something else.
const CONTEXT: &str = "cim-keys request v1\n";

/// The format of the file.
const FORMAT: &str = "cim-keys-request/1";

/// The file: the exact bytes that were signed, by whom, and the signature.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    format: String,
    /// The JSON text of a [`Payload`], byte for byte.
    request: String,
    /// The key of the ledger that signed, as its `LedgerCreated` has it.
    public_key: PublicKey,
    /// Ed25519 over `cim-keys request v1`, a line feed and the bytes of `request`, in base64.
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// Of the request, and of everything that is recorded for it.
    id: CorrelationId,
    /// The ledger that is asked.
    ledger_id: LedgerId,
    /// Until when it can be carried out.
    expires_at: Timestamp,
    /// The signed head that the other side had seen.
    base: String,
    /// What is to be so.
    plan: SavedPlan,
}

/// Why a request was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no signed head to build on.
    #[error("this copy has no signed head of the ledger, and a request names one")]
    NoHead,
    /// There is nothing to ask for.
    #[error("the ledger is what the file says already, so there is nothing to request")]
    Nothing,
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Heads can't be read.
    #[error(transparent)]
    Heads(#[from] crate::store::CheckpointStoreError),
    /// The key can't sign.
    #[error(transparent)]
    Key(#[from] SignError),
}

impl Explained for RequestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHead | Self::Nothing => ErrorKind::Refused,
            Self::Read(_) | Self::Heads(_) | Self::Key(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoHead => vec![Advice::Run(advice::Action::UpdateMirror, "brings the mirror up to date")],
            Self::Read(error) => error.advice(),
            Self::Heads(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Nothing => Vec::new(),
        }
    }
}

/// Makes the text of a request: for the ledger that a plan was made for, signed by another one.
///
/// # Errors
/// When there is nothing to request, or the key can't sign.
pub fn make(
    store: &Store,
    prepared: &Prepared,
    by: &dyn Signer,
    expires_at: Timestamp,
) -> Result<(CorrelationId, String), RequestError> {
    let base = store.latest_checkpoint()?.ok_or(RequestError::NoHead)?.to_string();
    let plan = prepared.save().filter(|_| !prepared.plan.is_empty()).ok_or(RequestError::Nothing)?;
    let id = CorrelationId::mint();
    let payload = Payload { id, ledger_id: store.identity().ledger_id, expires_at, base, plan };
    // Maps with text keys, lists, texts and numbers: it always is JSON.
    let request = serde_json::to_string(&payload).unwrap_or_default();
    let public_key = by.public().public_key.clone();
    let signature = STANDARD.encode(by.sign(&[CONTEXT.as_bytes(), request.as_bytes()].concat())?);
    let signed = Signed { format: FORMAT.to_owned(), request, public_key, signature };
    let mut text = serde_json::to_string_pretty(&signed).unwrap_or_default();
    text.push('\n');
    Ok((id, text))
}

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedRequest {
    /// It does not read.
    #[error("the file is no request that this release reads: {0}")]
    Format(String),
    /// Nobody who is known signed it.
    #[error("the request is signed with {key}, which is no peer's of this ledger")]
    Stranger {
        /// The key.
        key: PublicKey,
    },
    /// The signature does not hold.
    #[error("the signature of {0} does not hold: the request was changed on its way")]
    Signature(String),
    /// It asks another ledger.
    #[error("the request is for ledger {asked}, and this is {here}")]
    OtherLedger {
        /// Whom it asks.
        asked: LedgerId,
        /// This ledger.
        here: LedgerId,
    },
    /// It is too late.
    #[error("the request could be carried out until {until}, and it is {now}")]
    Expired {
        /// Its end.
        until: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// It was carried out before.
    #[error("the request was carried out already, at position {0}, and a request is good once")]
    Used(u64),
    /// It builds on another history.
    #[error("the request builds on a head that is none of this ledger's: {0}")]
    Base(LogError),
    /// What it asks for can't be planned.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledgers that are known can't be told.
    #[error(transparent)]
    Peers(#[from] PeersError),
}

impl Explained for RefusedRequest {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Format(_) => ErrorKind::Usage,
            Self::Signature(_) | Self::Base(_) => ErrorKind::Verification,
            Self::Stranger { .. } | Self::OtherLedger { .. } | Self::Expired { .. } | Self::Used(_) => {
                ErrorKind::Refused
            }
            Self::Apply(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Peers(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Format(_) => vec![Advice::Run(advice::Action::Request, "makes the request again")],
            Self::Stranger { .. } => {
                vec![Advice::Run(advice::Action::LinkLedger, "makes its ledger known, if it should be")]
            }
            Self::Signature(_) => vec![Advice::Do("have the request sent again")],
            Self::OtherLedger { .. } => vec![Advice::Do("carry the request to that ledger")],
            Self::Expired { .. } => vec![Advice::Do("have the request made again")],
            Self::Base(error) => error.advice(),
            Self::Apply(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Peers(PeersError::Read(error)) => error.advice(),
            Self::Used(_) | Self::Peers(PeersError::View(_)) => Vec::new(),
        }
    }
}

/// A request that may be carried out, with this ledger's own plan for it.
pub struct Opened {
    /// What everything that is recorded for it bears.
    pub id: CorrelationId,
    /// The name of the ledger that asks, as it is known here.
    pub from: String,
    /// How many events there were when it was made.
    pub base: u64,
    /// What it comes to here and now.
    pub prepared: Prepared,
}

/// Opens a request: its signature by a registered ledger, its end, its base, that it was not carried out before; and makes
/// the plan.
///
/// # Errors
/// Why it is not to be carried out.
pub fn open(store: &Store, text: &str, now: Timestamp) -> Result<Opened, RefusedRequest> {
    let format = |error: &dyn std::fmt::Display| RefusedRequest::Format(error.to_string());
    let signed: Signed = serde_json::from_str(text).map_err(|error| format(&error))?;
    if signed.format != FORMAT {
        return Err(format(&format_args!("its format is \"{}\", not \"{FORMAT}\"", visible(&signed.format))));
    }
    // Who signed, before anything in it is looked at.
    let peer = peers(store)?.into_iter().find(|it| it.public_key == signed.public_key);
    let Some(peer) = peer else { return Err(RefusedRequest::Stranger { key: signed.public_key }) };
    let from = peer.name.to_string();
    let by = PublicFacts {
        algorithm: KeyAlgorithm::Ed25519,
        encoding: KeyEncoding::Spki,
        public_key: signed.public_key.clone(),
    };
    let message = [CONTEXT.as_bytes(), signed.request.as_bytes()].concat();
    let bytes = STANDARD.decode(&signed.signature).map_err(|error| format(&error))?;
    verify(&by, &message, &bytes).map_err(|_| RefusedRequest::Signature(from.clone()))?;

    let payload: Payload = serde_json::from_str(&signed.request).map_err(|error| format(&error))?;
    let here = store.identity().ledger_id;
    if payload.ledger_id != here {
        return Err(RefusedRequest::OtherLedger { asked: payload.ledger_id, here });
    }
    if payload.expires_at < now {
        return Err(RefusedRequest::Expired { until: payload.expires_at, now });
    }
    let base: SignedCheckpoint = payload.base.parse().map_err(|error| format(&error))?;
    check_against(store, &base).map_err(RefusedRequest::Base)?;
    // What was recorded for it bears its id, and stands behind what it builds on.
    let id = payload.id.to_string();
    for recorded in store.iter(base.size() + 1) {
        let recorded = recorded?;
        if recorded.envelope()?.correlation_id == id {
            return Err(RefusedRequest::Used(recorded.position));
        }
    }
    let prepared = apply::prepare(store, payload.plan.into_request())?;
    Ok(Opened { id: payload.id, from, base: base.size(), prepared })
}

/// Why the ledgers that are known can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeersError {
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Entities can't be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// The ledgers whose requests a ledger takes.
///
/// # Errors
/// When it can't be read.
pub fn peers(store: &Store) -> Result<Vec<LedgerFacts>, PeersError> {
    let ledgers = store.view(|view| view.all(Kind::Ledger).collect::<Result<Vec<_>, _>>())??;
    let peer = |entity: Entity| match entity.facts {
        Facts::Ledger(it) if is_peer(it.relation) => Some(it),
        _ => None,
    };
    Ok(ledgers.into_iter().filter_map(peer).collect())
}

const fn is_peer(relation: Option<LedgerRelation>) -> bool {
    matches!(relation, Some(LedgerRelation::Peer | LedgerRelation::Child | LedgerRelation::Parent))
}

/// What has to be typed again before a plan is carried out: what ends or comes back, one by one, and how much is done to
/// whatever gives somebody power.
#[must_use]
pub fn phrases(steps: &[Step]) -> Vec<String> {
    let mut phrases = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    for step in steps {
        let section = step.entry.split('.').next().unwrap_or_default();
        let word = match step.action {
            Action::End => "end",
            Action::Reinstate => "reinstate",
            Action::Change => "change",
            Action::Add => "add",
        };
        match step.action {
            Action::End | Action::Reinstate => phrases.push(format!("{word} {}", step.entry)),
            // Names and places give nobody power; everything else does, what later releases add included.
            _ if ["organization", "units", "locations", "people"].contains(&section) => {}
            _ => *counts.entry((word, section)).or_insert(0_usize) += 1,
        }
    }
    phrases.extend(counts.into_iter().map(|((word, section), count)| format!("{word} {count} {section}")));
    phrases
}
