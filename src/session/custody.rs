//! Custody and the ledger together: what is sealed is recorded, and what is recorded is sealed.

use std::collections::{BTreeMap, BTreeSet};

use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody::{Custody, FileError, Findings, SealError};
use crate::events::CustodyRecipientAdded;
use crate::ids::KeyId;
use crate::ledger::{Command, Facts, Kind, View, ViewError};
use crate::store::{ReadError, Store};
use crate::text::{InvalidText, Label, Recipient};

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

impl Explained for SettleError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::View(_) => ErrorKind::Failed,
            Self::Seal(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::View(_) => Vec::new(),
            Self::Seal(error) => error.advice(),
        }
    }
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

impl Explained for CheckError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(error) => error.kind(),
            Self::View(_) | Self::File(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Read(error) => error.advice(),
            Self::View(_) => Vec::new(),
            Self::File(error) => error.advice(),
        }
    }
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

/// Compartments that are in custody and not recorded: making one was cut short.
///
/// # Errors
/// When the ledger can't be read.
pub fn unrecorded_compartments(store: &Store, custody: &Custody) -> Result<Vec<Label>, CheckError> {
    let (_, recipients) = store.view(expected)??;
    let there = custody.compartments().map(|(compartment, _)| compartment);
    Ok(there.filter(|compartment| !recipients.contains_key(*compartment)).cloned().collect())
}

/// The keys of compartments whose secrets are not in custody: they cannot leave where they are kept, or they are lost.
///
/// # Errors
/// When the ledger or custody can't be read.
pub fn not_in_custody(store: &Store, custody: Option<&Custody>) -> Result<Vec<KeyId>, CheckError> {
    let (keys, _) = store.view(expected)??;
    let missing = match custody {
        Some(custody) => custody.check(keys)?.missing,
        None => keys,
    };
    Ok(missing.into_iter().map(|(_, key)| key).collect())
}

type Expected = (Vec<(Label, KeyId)>, BTreeMap<Label, BTreeSet<String>>);

fn expected(view: &dyn View) -> Result<Expected, ViewError> {
    let (mut keys, mut recipients) = (Vec::new(), BTreeMap::<Label, BTreeSet<String>>::new());
    for entity in view.all(Kind::Key) {
        if let Facts::Key(key) = entity?.facts {
            keys.extend(key.compartment.map(|compartment| (compartment, key.key_id)));
        }
    }
    for entity in view.all(Kind::Recipient) {
        if let Facts::Recipient(it) = entity?.facts {
            recipients.entry(it.compartment).or_default().insert(it.recipient.to_string());
        }
    }
    Ok((keys, recipients))
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
