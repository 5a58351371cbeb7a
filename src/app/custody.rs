//! Custody and the ledger together: what is sealed is recorded, and what is recorded is sealed.

use std::collections::{BTreeMap, BTreeSet};

use crate::custody::{Custody, FileError, Findings, Intent, SealError, SecretBytes};
use crate::events::CustodyRecipientAdded;
use crate::ids::KeyId;
use crate::ledger::{Command, EntityRef, Facts, Kind, View, ViewError};
use crate::store::{AppendContext, Prerequisite, ReadError, RestrictedError, Store};
use crate::text::{InvalidText, Label, Recipient};

/// How many entities are fetched at a time.
const PAGE: usize = 1_000;

/// Why nothing was recorded, where secrets were sealed first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError<E: std::error::Error + 'static> {
    /// A secret could not be sealed; nothing was recorded.
    #[error(transparent)]
    Seal(SealError),
    /// The text of a token could not be kept; nothing was recorded.
    #[error(transparent)]
    Keep(RestrictedError),
    /// Nothing was recorded, and the secrets are removed again.
    #[error(transparent)]
    Record(E),
    /// Nothing was recorded, or that is not known, and the secrets are still there.
    #[error("{error}; {} sealed in custody may belong to no key now: `cim-keys custody check` tells", secrets(*left))]
    Left {
        /// Why nothing was recorded.
        error: E,
        /// How many secrets are still there.
        left: usize,
    },
}

fn secrets(count: usize) -> String {
    if count == 1 { "a secret".to_owned() } else { format!("{count} secrets") }
}

/// Secrets that are to be sealed, each in a compartment.
pub type Secrets = [(Label, KeyId, SecretBytes)];

/// Seals secrets, and records what they belong to.
///
/// The order is what makes a killed process harmless: a secret is on the disk before anything says that it exists, so a
/// recorded key always has its secret. A secret that is left without a key is known as such ([`Custody::intend`]), and the next
/// opening for writing removes it ([`settle`]). The two go on at the same time, and `record` waits before it commits: the context
/// that it gets has the secrets as a prerequisite. When recording fails, the secrets are removed again, unless the ledger
/// can't tell that their keys are not recorded.
///
/// # Errors
/// When sealing or recording fails.
pub fn record_sealed<T, E: std::error::Error + 'static>(
    store: &Store,
    custody: &Custody,
    secrets: &Secrets,
    context: AppendContext,
    record: impl FnOnce(AppendContext) -> Result<T, E>,
) -> Result<T, SealedError<E>> {
    if secrets.is_empty() {
        return record(context).map_err(SealedError::Record);
    }
    record_kept(store, Some((custody, secrets)), || Ok(()), context, record)
}

/// Seals secrets and keeps the texts of tokens, and records what they belong to: as [`record_sealed`] does it. `keep` is
/// done first.
///
/// # Errors
/// When sealing, keeping or recording fails.
pub fn record_kept<T, E: std::error::Error + 'static>(
    store: &Store,
    secrets: Option<(&Custody, &Secrets)>,
    keep: impl FnOnce() -> Result<(), RestrictedError> + Send,
    context: AppendContext,
    record: impl FnOnce(AppendContext) -> Result<T, E>,
) -> Result<T, SealedError<E>> {
    let (fulfilment, prerequisite) = Prerequisite::new();
    let context = AppendContext { prerequisite: Some(prerequisite), ..context };
    let (recorded, (kept, intent, (sealed, failed))) = std::thread::scope(|scope| {
        let keeping = scope.spawn(move || {
            let kept = keep();
            let (intent, sealed) = match secrets {
                Some((custody, secrets)) if kept.is_ok() => {
                    match custody.intend(secrets.iter().map(|(compartment, key, _)| (compartment, *key))) {
                        Ok(intent) => (Some(intent), seal(custody, secrets)),
                        Err(error) => (None, (Vec::new(), Some(error.into()))),
                    }
                }
                _ => (None, (Vec::new(), None)),
            };
            if kept.is_ok() && sealed.1.is_none() {
                fulfilment.done();
            }
            (kept, intent, sealed)
        });
        let recorded = record(context);
        let done = keeping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (recorded, done)
    });
    let remove = |sealed: &[_]| secrets.map_or(0, |(custody, _)| remove(custody, sealed));
    let settled = || intent.into_iter().for_each(Intent::done);
    kept.map_err(SealedError::Keep)?;
    if let Some(error) = failed {
        remove(&sealed);
        settled();
        return Err(SealedError::Seal(error));
    }
    let error = match recorded {
        Ok(done) => {
            settled();
            return Ok(done);
        }
        Err(error) => error,
    };
    let absent = |view: &dyn View| -> Result<Vec<_>, ViewError> {
        let mut absent = Vec::new();
        for (compartment, key) in &sealed {
            if view.get((*key).into())?.is_none() {
                absent.push((*compartment, *key));
            }
        }
        Ok(absent)
    };
    // Where the ledger can't tell, the act is settled at the next opening.
    let orphans = store.view(absent).ok().and_then(Result::ok);
    let removed = orphans.as_ref().map_or(0, |orphans| remove(orphans));
    if orphans.is_some_and(|orphans| orphans.len() == removed) {
        settled();
    }
    match sealed.len() - removed {
        0 => Err(SealedError::Record(error)),
        left => Err(SealedError::Left { error, left }),
    }
}

/// Removes the secrets that acts sealed which were cut short before anything was recorded; gives how many.
///
/// # Errors
/// When custody or the ledger can't be read, or the disk fails.
pub fn settle(store: &Store, custody: &Custody) -> Result<usize, SettleError> {
    store.view(|view| custody.settle(|key| Ok(view.get(key.into())?.is_some())))?
}

/// Why acts that were cut short could not be settled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entity could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Custody could not be read or changed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Seals secrets, compartment by compartment. Gives those that are sealed, and why the others are not.
fn seal<'s>(custody: &Custody, secrets: &'s Secrets) -> (Vec<(&'s Label, KeyId)>, Option<SealError>) {
    let mut places: BTreeMap<&Label, Vec<(KeyId, &SecretBytes)>> = BTreeMap::new();
    for (compartment, key, secret) in secrets {
        places.entry(compartment).or_default().push((*key, secret));
    }
    let mut sealed = Vec::new();
    for (compartment, secrets) in places {
        if let Err(error) = custody.seal_all(compartment, secrets.iter().copied()) {
            return (sealed, Some(error));
        }
        sealed.extend(secrets.iter().map(|(key, _)| (compartment, *key)));
    }
    (sealed, None)
}

/// Removes secrets; gives how many are gone.
fn remove(custody: &Custody, sealed: &[(&Label, KeyId)]) -> usize {
    let gone = |(compartment, keys)| custody.remove_all(compartment, keys).unwrap_or(0);
    by_compartment(sealed.iter().copied()).into_iter().map(gone).sum()
}

fn by_compartment<'l>(keys: impl IntoIterator<Item = (&'l Label, KeyId)>) -> BTreeMap<&'l Label, Vec<KeyId>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (compartment, key) in keys {
        places.entry(compartment).or_default().push(key);
    }
    places
}

/// The commands that make a custody's compartments known to the ledger: one a compartment.
///
/// # Errors
/// Never for recipients that custody made.
pub fn announce(custody: &Custody) -> Result<Vec<Command>, InvalidText> {
    custody
        .compartments()
        .map(|(compartment, recipient)| {
            let recipient = Recipient::new(&recipient)?;
            let compartment = compartment.clone();
            Ok(Command::AddRecipient(CustodyRecipientAdded { compartment, recipient, holder: None }))
        })
        .collect()
}

/// What [`check`] found. Empty lists are what one wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Secrets without a key, keys without a secret, and what else is in the folder.
    pub files: Findings,
    /// Compartments whose recipient is not the one that is recorded: keys that are sealed there open for somebody else.
    pub exchanged: Vec<Label>,
    /// Compartments that are recorded and not there.
    pub absent: Vec<Label>,
}

impl Comparison {
    /// Compartments that are there and not recorded: making one was cut short.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn unknown(store: &Store, custody: &Custody) -> Result<Vec<Label>, CheckError> {
        let (_, recipients) = store.view(expected)??;
        let there = custody.compartments().map(|(compartment, _)| compartment);
        Ok(there.filter(|compartment| !recipients.contains_key(*compartment)).cloned().collect())
    }

    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.files.is_clean() && self.exchanged.is_empty() && self.absent.is_empty()
    }
}

/// Why custody and the ledger could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entity could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Custody could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Compares custody with the ledger: secrets with keys, recipients with those that were recorded. Opens nothing.
///
/// # Errors
/// When either can't be read.
pub fn check(store: &Store, custody: &Custody) -> Result<Comparison, CheckError> {
    let (keys, recipients) = store.view(expected)??;
    let mut comparison = Comparison { files: custody.check(keys)?, ..Comparison::default() };
    let there: BTreeMap<_, _> = custody.compartments().collect();
    for (compartment, recorded) in &recipients {
        match there.get(compartment) {
            None => comparison.absent.push(compartment.clone()),
            Some(recipient) if !recorded.contains(recipient) => comparison.exchanged.push(compartment.clone()),
            Some(_) => {}
        }
    }
    let unknown = there.keys().filter(|compartment| !recipients.contains_key(**compartment));
    comparison.files.strays.extend(unknown.map(|compartment| custody.path().join(compartment.as_str())));
    Ok(comparison)
}

type Expected = (Vec<(Label, KeyId)>, BTreeMap<Label, BTreeSet<String>>);

fn expected(view: &dyn View) -> Result<Expected, ViewError> {
    let (mut keys, mut recipients) = (Vec::new(), BTreeMap::<Label, BTreeSet<String>>::new());
    each(view, Kind::Key, |facts| {
        if let Facts::Key(key) = facts {
            keys.extend(key.compartment.map(|compartment| (compartment, key.key_id)));
        }
    })?;
    each(view, Kind::Recipient, |facts| {
        if let Facts::Recipient(it) = facts {
            recipients.entry(it.compartment).or_default().insert(it.recipient.to_string());
        }
    })?;
    Ok((keys, recipients))
}

fn each(view: &dyn View, kind: Kind, mut visit: impl FnMut(Facts)) -> Result<(), ViewError> {
    let mut after = None;
    loop {
        let page = view.list(kind, after, PAGE)?;
        let Some(last) = page.last().map(|last| last.entity_ref()) else { return Ok(()) };
        let EntityRef { id, .. } = last;
        after = Some(id);
        page.into_iter().for_each(|entity| visit(entity.facts));
    }
}

/// Removes the secrets of keys that are not recorded; gives how many.
///
/// # Errors
/// When custody can't be changed.
pub fn remove_orphans(custody: &Custody, findings: &Findings) -> Result<usize, SealError> {
    let mut removed = 0;
    for (compartment, keys) in by_compartment(findings.orphans.iter().map(|(compartment, key)| (compartment, *key))) {
        removed += custody.remove_all(compartment, keys)?;
    }
    Ok(removed)
}
