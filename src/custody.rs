//! Private keys at rest: the only module that writes, reads or opens a secret.
//!
//! Custody is a folder of **compartments**. A compartment has an age X25519 identity, itself sealed with a passphrase, and
//! the secrets of the keys that belong to it, each sealed to that identity's public recipient:
//!
//! ```text
//! custody/                      0700
//!   issuing/                    0700  one folder a compartment
//!     recipient                 0600  age1…, public; comment lines begin with #
//!     identity.age              0600  the identity, sealed with the compartment's passphrase (scrypt)
//!     keys/                     0700
//!       <key id>.age            0600  one secret each, sealed to the recipient
//!     bundles/                  0700
//!       <least key id>/         0700  secrets that were sealed together
//!         index                 0600  whose they are, public
//!         secrets.age           0600  all of them, sealed to the recipient
//! ```
//!
//! So sealing a secret asks for no passphrase, and using one does ([`Custody::unlock`]). Each file is what the ordinary
//! `age` program reads: `age -d -i identity.age keys/<key id>.age` asks for the passphrase and prints the key in a
//! standard format ([`crate::keys::pair`]).
//!
//! What is not finished has a name that begins with `.unfinished-`, and nobody reads it. A killed process leaves it behind, and
//! the next one that changes custody removes it ([`Custody::remove_unfinished`]).
//!
//! ```
//! use cim_keys::custody::{Custody, SecretBytes, WorkFactor, passphrase};
//! use cim_keys::ids::KeyId;
//! use cim_keys::text::Label;
//!
//! # let dir = tempfile::tempdir()?;
//! let issuing = Label::new("issuing")?;
//! let passphrase = passphrase::generate()?;
//! let new = [(issuing.clone(), passphrase.clone())];
//! let custody = Custody::create(&dir.path().join("custody"), &new, WorkFactor::LEAST)?;
//!
//! let key = KeyId::mint();
//! custody.seal(&issuing, key, &SecretBytes::new(Box::new(b"a private key".to_vec())))?;
//!
//! let unlocked = custody.unlock(&issuing, passphrase)?;
//! assert_eq!(secrecy::ExposeSecret::expose_secret(&unlocked.reveal(key)?), b"a private key");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use secrecy::SecretString;

use crate::ids::KeyId;
use crate::text::Label;

mod bundle;
mod bundles;
mod compartment;
mod copy;
mod error;
mod folder;
mod intent;
pub mod lone;
pub mod passphrase;
mod ring;
mod sealed;

pub use crate::keys::{LONGEST_SECRET, SecretBytes};
pub use compartment::Unlocked;
pub use copy::{LONGEST_FILE, SealedFile};
pub use error::{
    ChangeError, CreateError, FileError, OpenError, PassphraseError, RevealError, SealError, SealToError,
    UnknownCompartment, UnlockError, UseError,
};
pub use intent::SealingIntent;
pub use ring::{NoPassphrases, Ring, Unlock};
pub use sealed::WorkFactor;

use compartment::Compartment;
use folder::Folder;

/// The compartment of identities that sign seldom: operators, root authorities.
pub const ROOT: &str = "root";

/// The compartment of keys that sign daily: signing keys, intermediates, the ledger's own key.
pub const ISSUING: &str = "issuing";

/// The custody folder of a ledger.
///
/// Its methods may be called from several processes at once: each file appears whole under its final name, and none but
/// [`Custody::change_passphrase`] ever replaces one.
#[derive(Debug)]
pub struct Custody {
    folder: Folder,
    compartments: BTreeMap<Label, Arc<Compartment>>,
    work: WorkFactor,
    /// Done when the first change removed what dead processes left.
    tidied: Once,
}

/// What [`Custody::check`] found. Empty lists are what one wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Keys that should have a secret in a compartment and have none there.
    pub missing: Vec<(Label, KeyId)>,
    /// Secrets of keys that nobody expects: left by a command that was killed between sealing and recording.
    pub orphans: Vec<(Label, KeyId)>,
    /// Files and folders that custody did not put there, or did not finish.
    pub strays: Vec<PathBuf>,
    /// Bundles that are not what was written, in words.
    pub damaged: Vec<String>,
}

impl Findings {
    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.orphans.is_empty() && self.strays.is_empty() && self.damaged.is_empty()
    }
}

impl Custody {
    /// Makes a custody folder with these compartments. It appears whole or not at all.
    pub fn create(dir: &Path, compartments: &[(Label, SecretString)], work: WorkFactor) -> Result<Self, CreateError> {
        let mut names = BTreeMap::new();
        for (label, passphrase) in compartments {
            passphrase::check(passphrase)?;
            if let Some(existing) = names.insert(label.as_str().to_ascii_lowercase(), label) {
                return Err(CreateError::Taken { existing: existing.clone() });
            }
        }
        // Sealing can fail in its own way, which the folder's own error can't carry.
        let mut prepared = Vec::new();
        for (label, passphrase) in compartments {
            prepared.push((label, compartment::prepare(label, passphrase, work)?));
        }
        let folder = folder::create_whole(dir, |folder| {
            prepared.iter().try_for_each(|(label, files)| files.write(&folder.create_folder(label.as_str())?))
        })?;
        let mut opened = BTreeMap::new();
        for (label, files) in prepared {
            opened.insert(label.clone(), Arc::new(files.opened(folder.folder(label.as_str())?)?));
        }
        Ok(Self { folder, compartments: opened, work, tidied: Once::new() })
    }

    /// Opens a custody folder: checks modes and owners, and reads the public recipients. Asks for no passphrase.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let folder = Folder::open(dir)?;
        let mut compartments = BTreeMap::new();
        for name in folder.names()? {
            if name.starts_with(folder::UNFINISHED) {
                continue;
            }
            let label = Label::new(&name)
                .map_err(|e| OpenError::Stranger { path: folder.path().join(&name), reason: e.reason })?;
            compartments.insert(label, Arc::new(Compartment::open(folder.folder(&name)?)?));
        }
        Ok(Self { folder, compartments, work: WorkFactor::DEFAULT, tidied: Once::new() })
    }

    /// Sets how dear a guess is in the compartments that are made, and the passphrases that are changed, from now on.
    #[must_use]
    pub fn with_work_factor(mut self, work: WorkFactor) -> Self {
        self.work = work;
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The compartments by name, each with its public recipient (`age1…`).
    pub fn compartments(&self) -> impl Iterator<Item = (&Label, String)> {
        self.compartments.iter().map(|(label, compartment)| (label, compartment.recipient().to_string()))
    }

    /// The public recipient (`age1…`) of a compartment.
    pub fn recipient(&self, compartment: &Label) -> Result<String, UnknownCompartment> {
        self.compartment(compartment).map(|compartment| compartment.recipient().to_string())
    }

    /// Seals a key's secret; it is on the disk when this returns. Needs no passphrase. A secret that is there already is
    /// not overwritten.
    pub fn seal(&self, compartment: &Label, key: KeyId, secret: &SecretBytes) -> Result<(), SealError> {
        self.seal_all(compartment, [(key, secret)])
    }

    /// Seals many secrets, all or none, with few waits for the disk: those of 16 keys or more go into bundles.
    pub fn seal_all<'a>(
        &self,
        compartment: &Label,
        secrets: impl IntoIterator<Item = (KeyId, &'a SecretBytes)>,
    ) -> Result<(), SealError> {
        self.tidy();
        self.compartment(compartment)?.seal(compartment, secrets.into_iter().collect())
    }

    /// Whether a compartment has a secret of this key.
    pub fn holds(&self, compartment: &Label, key: KeyId) -> Result<bool, SealError> {
        Ok(self.compartment(compartment)?.holds(key)?)
    }

    /// The keys whose secrets a compartment has.
    pub fn keys(&self, compartment: &Label) -> Result<Vec<KeyId>, SealError> {
        Ok(self.compartment(compartment)?.key_ids()?)
    }

    /// How many secrets there are in all compartments, without those of bundles that are damaged.
    pub fn secrets(&self) -> Result<u64, FileError> {
        self.compartments.values().try_fold(0, |all, compartment| Ok(all + compartment.count()? as u64))
    }

    /// Removes secrets for good; gives how many were there. What a disk or a backup keeps of them stays sealed.
    ///
    /// # Errors
    /// When the disk fails, and when one of them was sealed together with those of other keys, which stay: then it stays too
    /// ([`SealError::Shared`]), and the others are gone.
    pub fn remove_all(&self, compartment: &Label, keys: impl IntoIterator<Item = KeyId>) -> Result<usize, SealError> {
        self.tidy();
        self.compartment(compartment)?.remove_all(&keys.into_iter().collect())
    }

    /// Opens a compartment with its passphrase. Takes about a second, by design ([`WorkFactor`]).
    pub fn unlock(&self, compartment: &Label, passphrase: SecretString) -> Result<Unlocked, UnlockError> {
        self.compartment(compartment)?.unlock(compartment, passphrase)
    }

    /// Gives a compartment another passphrase. The identity stays, so every secret does; and a backup made before opens
    /// with the old passphrase.
    pub fn change_passphrase(
        &self,
        compartment: &Label,
        old: SecretString,
        new: &SecretString,
    ) -> Result<(), ChangeError> {
        passphrase::check(new)?;
        let place = self.compartment(compartment).map_err(UnlockError::from)?;
        let unlocked = place.unlock(compartment, old)?;
        self.tidy();
        place.reseal(compartment, &unlocked, new, self.work)
    }

    /// Adds a compartment. It appears whole or not at all.
    pub fn add_compartment(&mut self, label: &Label, passphrase: &SecretString) -> Result<(), CreateError> {
        self.add_compartment_shown(label, passphrase, || Ok(()))
    }

    /// As [`Custody::add_compartment`], for a passphrase that was generated: `show` shows it before the compartment appears, so
    /// that there is never one whose passphrase nobody knows. When `show` fails, no compartment appears.
    pub fn add_compartment_shown(
        &mut self,
        label: &Label,
        passphrase: &SecretString,
        show: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), CreateError> {
        passphrase::check(passphrase)?;
        if let Some(existing) =
            self.compartments.keys().find(|known| known.as_str().eq_ignore_ascii_case(label.as_str()))
        {
            return Err(CreateError::Taken { existing: existing.clone() });
        }
        let files = compartment::prepare(label, passphrase, self.work)?;
        self.tidy();
        let path = self.folder.path().join(label.as_str());
        self.folder.create_folder_whole(label.as_str(), |folder| {
            files.write(folder)?;
            show().map_err(|source| FileError::Io { act: "show the passphrase of", path, source })
        })?;
        let opened = files.opened(self.folder.folder(label.as_str())?)?;
        self.compartments.insert(label.clone(), Arc::new(opened));
        Ok(())
    }

    /// Compares what is there with the keys that should have a secret: those of the ledger.
    pub fn check(&self, expected: impl IntoIterator<Item = (Label, KeyId)>) -> Result<Findings, FileError> {
        let mut findings = Findings::default();
        let mut there = BTreeSet::new();
        for name in self.folder.names()?.into_iter().filter(|name| name.starts_with(folder::UNFINISHED)) {
            findings.strays.push(self.folder.path().join(name));
        }
        for (label, compartment) in &self.compartments {
            let contents = compartment.check()?;
            there.extend(contents.keys.into_iter().map(|key| (label.clone(), key)));
            findings.strays.extend(contents.strays);
            findings.damaged.extend(contents.damaged);
        }
        let expected: BTreeSet<_> = expected.into_iter().collect();
        findings.missing.extend(expected.difference(&there).cloned());
        findings.orphans.extend(there.difference(&expected).cloned());
        Ok(findings)
    }

    /// Removes what killed processes did not finish: files and folders whose names begin with `.unfinished-`, and that no
    /// living process writes. Gives how many there were. The first change of this custody does so by itself; [`Custody::check`]
    /// names what is left.
    pub fn remove_unfinished(&self) -> Result<usize, FileError> {
        let own = self.folder.remove_unfinished()?;
        self.compartments.values().try_fold(own, |all, compartment| Ok(all + compartment.remove_unfinished()?))
    }

    /// What can't be removed is no reason to seal nothing.
    fn tidy(&self) {
        self.tidied.call_once(|| drop(self.remove_unfinished()));
    }

    fn compartment(&self, label: &Label) -> Result<&Arc<Compartment>, UnknownCompartment> {
        self.compartments.get(label).ok_or_else(|| UnknownCompartment {
            compartment: label.clone(),
            known: self.compartments.keys().cloned().collect(),
        })
    }
}

/// Seals a secret to somebody else, for it to leave custody: to an age recipient (`age1…`) as an age file, to a curve key
/// (`X…`) as an xkey box ([`crate::keys::xkey`]).
///
/// # Errors
/// See [`SealToError`].
pub fn seal_to(recipient: &crate::text::Recipient, secret: &SecretBytes) -> Result<SecretBytes, SealToError> {
    if recipient.is_curve_key() {
        return Ok(crate::keys::xkey::seal(recipient, secret)?);
    }
    let refused = |reason: &str| SealError::Recipient { recipient: recipient.clone(), reason: reason.to_owned() };
    let parsed = recipient.as_str().parse().map_err(refused)?;
    let sealed = sealed::to_recipient(sealed::bounded(secret)?, &parsed).map_err(|reason| refused(&reason))?;
    Ok(SecretBytes::new(Box::new(sealed)))
}
