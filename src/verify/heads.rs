//! Heads and their signatures: which of them hold, and who signed.

use std::collections::BTreeMap;

use super::layer::Layer;
use crate::log::{CheckpointError, KeyChain, KeyKind, NodeHash, Policy, PolicyError, SignedCheckpoint};
use crate::time::Timestamp;

/// What the heads of a history say, all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Heads {
    /// How many were checked.
    pub checked: u64,
    /// The size of the newest that the ledger's own key signed.
    pub signed: Option<u64>,
    /// By the name of each that signed besides the ledger: the size of the newest that it signed. Whether the signature is
    /// its, whoever has its key checks with a policy.
    pub cosigned: BTreeMap<String, u64>,
    /// The newest that satisfies the policy, where there is one: its size, and who signed when.
    pub satisfied: Option<(u64, Vec<(String, Timestamp)>)>,
    /// Why the newest that does not satisfy the policy does not.
    pub unsatisfied: Option<(u64, PolicyError)>,
}

impl Heads {
    /// Witnesses that are named; more are left out.
    const MOST_NAMES: usize = 100;

    pub(crate) fn take(&mut self, verdict: &HeadVerdict) {
        let size = verdict.size;
        self.checked += 1;
        if verdict.signed {
            self.signed = self.signed.max(Some(size));
        }
        for name in &verdict.cosigned {
            if self.cosigned.len() < Self::MOST_NAMES || self.cosigned.contains_key(name) {
                let newest = self.cosigned.entry(name.clone()).or_default();
                *newest = size.max(*newest);
            }
        }
        match &verdict.policy {
            Some(Ok(by)) if self.satisfied.as_ref().is_none_or(|(before, _)| *before <= size) => {
                self.satisfied = Some((size, by.clone()));
            }
            Some(Err(error)) if self.unsatisfied.as_ref().is_none_or(|(before, _)| *before <= size) => {
                self.unsatisfied = Some((size, error.clone()));
            }
            _ => {}
        }
    }
}

/// A head as it is kept, with what it is to be compared with.
#[derive(Debug)]
pub(crate) struct HeadToJudge {
    /// The size under which it is kept.
    pub(crate) size: u64,
    /// The signed note.
    pub(crate) note: String,
    /// The root of the tree of that size; absent where there are not so many events, or the tree could not be followed.
    pub(crate) root: Option<NodeHash>,
}

/// What a head was found to be.
#[derive(Debug)]
pub(crate) struct HeadVerdict {
    /// The size under which it is kept.
    pub(crate) size: u64,
    /// Whether the ledger's key signed it.
    signed: bool,
    /// Who else did, by name.
    cosigned: Vec<String>,
    /// Whether it satisfies the policy, where one was given.
    policy: Option<Result<Vec<(String, Timestamp)>, PolicyError>>,
    /// What is wrong.
    pub(crate) problems: Vec<(Layer, String)>,
}

/// Judges a head: its form, its size, its root, the ledger's signature, and whether a policy is satisfied.
pub(crate) fn judge_head(head: &HeadToJudge, keys: Option<&KeyChain>, policy: Option<&Policy>) -> HeadVerdict {
    let size = head.size;
    let mut verdict = HeadVerdict { size, signed: false, cosigned: Vec::new(), policy: None, problems: Vec::new() };
    let mut wrong =
        |layer, what: String| verdict.problems.push((layer, format!("the checkpoint of {size} events {what}")));
    let signed: SignedCheckpoint = match head.note.parse() {
        Ok(signed) => signed,
        Err(error) => {
            wrong(Layer::Checkpoint, format!("does not read: {error}"));
            return verdict;
        }
    };
    if signed.size() != size {
        wrong(Layer::Checkpoint, format!("says that it is of {} events", signed.size()));
    }
    match head.root {
        Some(root) if root == signed.checkpoint().root => {}
        Some(_) => wrong(Layer::Checkpoint, "has another root than the events have".into()),
        None => wrong(Layer::Checkpoint, "covers more events than there are".into()),
    }
    let origin = &signed.checkpoint().origin;
    if let Some(keys) = keys {
        match by_ledger(&signed, keys) {
            Ok(()) => verdict.signed = true,
            Err(what) => verdict.problems.push((Layer::Signature, format!("the checkpoint of {size} events {what}"))),
        }
    }
    let others = signed.signatures().iter().filter(|one| one.name != *origin);
    verdict.cosigned = others.map(|one| one.name.to_string()).collect();
    if let Some(policy) = policy {
        let by = policy.check(&signed);
        let by = by.map(|by| by.into_iter().map(|(name, at)| (name.to_owned(), at)).collect());
        if let Err(error @ PolicyError::FalseSignature { .. }) = &by {
            verdict.problems.push((Layer::Signature, format!("the checkpoint of {size} events: {error}")));
        }
        verdict.policy = Some(by);
    }
    verdict
}

/// Checks that the ledger's key of that size signed, and that every signature in the ledger's name is by one of its keys.
fn by_ledger(signed: &SignedCheckpoint, keys: &KeyChain) -> Result<(), String> {
    let size = signed.size();
    let origin = &signed.checkpoint().origin;
    let key = keys.at(size);
    if key.name() != origin {
        return Err(format!("is of another log, \"{origin}\"; this one is \"{}\"", key.name()));
    }
    let own = signed.signatures().iter().filter(|one| one.name == *origin);
    for signature in own {
        let known = keys.keys().iter().flat_map(|(_, key)| [key.clone(), key.as_witness()]);
        let Some(key) = known.into_iter().find(|key| key.is_named_by(signature)) else {
            return Err("is signed in the ledger's name with a key that is not the ledger's".into());
        };
        if let Err(CheckpointError::FalseSignature { .. }) = signed.signed_by(&key) {
            let kind = if key.kind() == KeyKind::Witness { "cosignature" } else { "signature" };
            return Err(format!("has a false {kind} in the ledger's name: it was changed after it was signed"));
        }
    }
    match signed.signed_by(key) {
        Ok(_) => Ok(()),
        Err(_) => Err("is not signed with the key that the ledger had then".into()),
    }
}
