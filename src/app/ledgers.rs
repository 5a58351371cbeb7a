//! Other ledgers that are known here: peers, parents, children, witnesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::EncodePublicKey as _;

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::{KeyAlgorithm, KeyEncoding, LedgerLinked, LedgerRelation};
use crate::ids::LedgerId;
use crate::keys::{VerifyError, public_facts};
use crate::ledger::lookup::LookupError;
use crate::ledger::{Command, Facts, Kind, View};
use crate::log::VerifierKey;
use crate::text::{InvalidText, Name, PublicKey};

/// Why a ledger was not linked.
#[derive(Debug, thiserror::Error)]
#[error("\"{}\" is no Ed25519 key of a ledger", crate::text::visible(.0))]
pub struct NoLedgerKey(String);

impl Explained for NoLedgerKey {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        vec![Advice::Run(Action::ShowPublicKey, "at that ledger prints it")]
    }
}

/// A ledger's key, in the form of `log public-key` or as its `LedgerCreated` has it, as events write it.
///
/// # Errors
/// When it is neither.
pub fn public_key(text: &str) -> Result<PublicKey, NoLedgerKey> {
    let not_one = || NoLedgerKey(text.chars().take(200).collect());
    if let Ok(key) = text.trim().parse::<VerifierKey>() {
        let key = VerifyingKey::from_bytes(&key.bytes()).map_err(|_| not_one())?;
        let der = key.to_public_key_der().map_err(|_| not_one())?;
        return PublicKey::new(&STANDARD.encode(der.as_bytes())).map_err(|_: InvalidText| not_one());
    }
    let public = public_facts(text).map_err(|_: VerifyError| not_one())?;
    match (public.algorithm, public.encoding) {
        (KeyAlgorithm::Ed25519, KeyEncoding::Spki) => Ok(public.public_key),
        _ => Err(not_one()),
    }
}

/// Makes another ledger known. One that is known by this key already keeps its identifier.
///
/// # Errors
/// When the ledgers can't be read.
pub fn link(
    view: &dyn View,
    name: Name,
    public_key: PublicKey,
    relation: LedgerRelation,
    id: Option<LedgerId>,
) -> Result<Command, LookupError> {
    let known = view.list(Kind::Ledger, None, 1_000)?.into_iter().find_map(|entity| match entity.facts {
        Facts::Ledger(it) if it.public_key == public_key => Some(it.ledger_id),
        _ => None,
    });
    let ledger_id = id.or(known).unwrap_or_else(LedgerId::mint);
    Ok(Command::LinkLedger(LedgerLinked { ledger_id, name, public_key, relation }))
}
