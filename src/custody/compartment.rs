//! One compartment: its files and what they mean. A secret has a file of its own, or is in a [bundle](super::bundle).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use age::x25519;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::bundle::{self, Bundle, Opened};
use super::bundles::{self, Bundles, Found};
use super::error::{ChangeError, CreateError, FileError, OpenError, RevealError, SealError, UnlockError, UseError};
use super::folder::Folder;
use super::sealed::{self, Closed, WorkFactor};
use crate::ids::KeyId;
use crate::keys::pair::PrivateKey;
use crate::keys::{LONGEST_SECRET, Opener, SecretBytes, UnsealError};
use crate::text::{Label, PublicKey};

const RECIPIENT: &str = "recipient";
const IDENTITY: &str = "identity.age";
const KEYS: &str = "keys";

/// The most bytes of each small file, with room for comments that people add.
const SMALL_FILE: u64 = 16 * 1024;

/// The most bytes of a sealed secret: the secret, age's header, and 16 bytes a chunk.
pub(super) const SEALED_FILE: u64 = LONGEST_SECRET as u64 + 4 * 1024;

/// How many secrets are worth a bundle. Fewer get a file each, which can be brought back, copied and removed alone.
const MANY: usize = 16;

/// How many bytes of opened bundles are kept for the next key: some 600,000 nkeys.
const MOST_OPEN: usize = 64 * 1024 * 1024;

/// Begins the comment in the recipient file that says what the identity file's bytes are. It only tells damage from a wrong
/// passphrase: an identity that opens is good whatever stands here.
const SUM: &str = "# identity.age sha256 ";

/// A compartment whose secrets are closed.
#[derive(Debug)]
pub(super) struct Compartment {
    folder: Folder,
    keys: Folder,
    bundles: Bundles,
    recipient: x25519::Recipient,
}

/// What is in a compartment's folder.
pub(super) struct Contents {
    /// The keys of which there are secrets.
    pub(super) keys: BTreeSet<KeyId>,
    /// Files and folders that custody did not put there, or did not finish.
    pub(super) strays: Vec<PathBuf>,
    /// Bundles that are not what was written, in words.
    pub(super) damaged: Vec<String>,
}

/// A compartment that its passphrase opened. Its identity is zeroized when this is dropped.
pub struct Unlocked {
    label: Label,
    compartment: Arc<Compartment>,
    identity: Identity,
    /// The bundles that were opened, the latest last: many of their keys are asked for, one after the other.
    open: Mutex<Vec<Arc<Opened>>>,
}

/// The files of a compartment that is not written yet.
pub(super) struct Prepared {
    recipient: x25519::Recipient,
    identity_file: Vec<u8>,
    recipient_file: String,
}

/// Makes the files of a new compartment.
pub(super) fn prepare(label: &Label, passphrase: &SecretString, work: WorkFactor) -> Result<Prepared, CreateError> {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public();
    let identity_file = seal_identity(label, &identity, passphrase, work)?;
    let recipient_file = recipient_text(label, &recipient, &[&identity_file]);
    Ok(Prepared { recipient, identity_file, recipient_file })
}

impl Prepared {
    /// Writes the files into an empty folder.
    pub(super) fn write(&self, folder: &Folder) -> Result<(), FileError> {
        folder.create_folder(KEYS)?;
        folder.create(IDENTITY, &self.identity_file)?;
        folder.create(RECIPIENT, self.recipient_file.as_bytes())
    }

    /// The compartment that these files are, in the folder where they now stand.
    pub(super) fn opened(self, folder: Folder) -> Result<Compartment, FileError> {
        Ok(Compartment { keys: folder.folder(KEYS)?, folder, bundles: Bundles::default(), recipient: self.recipient })
    }
}

impl Compartment {
    /// Opens the folder and reads the recipient.
    pub(super) fn open(folder: Folder) -> Result<Self, OpenError> {
        let invalid = || OpenError::Recipient { path: folder.path().join(RECIPIENT) };
        let text = String::from_utf8(folder.read(RECIPIENT, SMALL_FILE)?).map_err(|_| invalid())?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(invalid()) };
        let recipient = line.parse().map_err(|_| invalid())?;
        let keys = folder.folder(KEYS)?;
        Ok(Self { folder, keys, bundles: Bundles::default(), recipient })
    }

    pub(super) fn recipient(&self) -> &x25519::Recipient {
        &self.recipient
    }

    /// The folder of secrets with a file each.
    pub(super) fn lone(&self) -> &Folder {
        &self.keys
    }

    /// The bundles that are there.
    pub(super) fn bundles(&self) -> Result<Option<Found>, FileError> {
        self.bundles.look(&self.folder)
    }

    /// Removes what dead processes did not finish in its folders; gives how much that was.
    pub(super) fn remove_unfinished(&self) -> Result<usize, FileError> {
        let bundles = Bundles::folder(&self.folder)?;
        let folders = [Some(&self.folder), Some(&self.keys), bundles.as_ref()];
        folders.into_iter().flatten().try_fold(0, |all, folder| Ok(all + folder.remove_unfinished()?))
    }

    fn encrypt(&self, label: &Label, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        sealed::to_recipient(plain, &self.recipient)
            .map_err(|reason| SealError::Encrypt { compartment: label.clone(), reason })
    }

    /// Seals secrets, all or none: many into bundles, those that are few or no lines of text into a file each.
    pub(super) fn seal(&self, label: &Label, mut secrets: Vec<(KeyId, &SecretBytes)>) -> Result<(), SealError> {
        for (_, secret) in &secrets {
            sealed::bounded(secret)?;
        }
        secrets.sort_by_key(|(key, _)| *key);
        self.refuse_existing(&secrets)?;
        let (mut bundled, mut lone) = secrets.into_iter().partition::<Vec<_>, _>(|(_, secret)| bundle::fits(secret));
        if bundled.len() < MANY {
            lone.append(&mut bundled);
        }
        self.keys.create_all(&lone, |(key, secret)| {
            Ok::<_, SealError>((file_name(*key), self.encrypt(label, secret.expose_secret())?.into()))
        })?;
        self.seal_bundles(label, &bundled).inspect_err(|_| {
            let _ = self.keys.remove_all(lone.iter().map(|(key, _)| file_name(*key)));
        })
    }

    fn seal_bundles(&self, label: &Label, secrets: &[(KeyId, &SecretBytes)]) -> Result<(), SealError> {
        if secrets.is_empty() {
            return Ok(());
        }
        let mut new = Vec::new();
        for portion in bundle::portions(secrets) {
            let sealed = self.encrypt(label, bundle::encode(portion).expose_secret())?;
            let keys = portion.iter().map(|(key, _)| *key).collect();
            new.extend(Bundle::new(keys, &sealed).map(|bundle| (bundle, sealed)));
        }
        Ok(self.bundles.write(&self.folder, new)?)
    }

    /// Refuses secrets of keys, in order, of which there are secrets already, and keys that come twice.
    fn refuse_existing(&self, secrets: &[(KeyId, &SecretBytes)]) -> Result<(), FileError> {
        let exists = |key: KeyId| FileError::Exists { path: self.keys.path().join(file_name(key)) };
        if let Some(twice) = secrets.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(exists(twice[0].0));
        }
        let sealed = |key: KeyId| secrets.binary_search_by_key(&key, |(key, _)| *key).is_ok();
        if let Some(found) = self.bundles()? {
            // One whose index is damaged is no reason to seal nothing more: identifiers are minted.
            for bundle in found.bundles {
                if secrets.iter().any(|(key, _)| bundle.has(*key)) {
                    return Err(FileError::Exists { path: bundle.path(found.folder.path()) });
                }
            }
        }
        if secrets.len() < MANY {
            return Ok(()); // each is looked for when it is written
        }
        match self.keys.names()?.iter().filter_map(|name| key_of(name)).find(|key| sealed(*key)) {
            Some(key) => Err(exists(key)),
            None => Ok(()),
        }
    }

    /// Whether there is a secret of a key.
    pub(super) fn holds(&self, key: KeyId) -> Result<bool, FileError> {
        Ok(self.keys.has(&file_name(key))? || self.bundles.find(&self.folder, key)?.is_some())
    }

    /// The keys of which there are secrets, in order.
    pub(super) fn key_ids(&self) -> Result<Vec<KeyId>, FileError> {
        let mut keys: BTreeSet<KeyId> = self.keys.names()?.iter().filter_map(|name| key_of(name)).collect();
        if let Some(mut found) = self.bundles()? {
            if let Some((_, error)) = found.damaged.pop() {
                return Err(error);
            }
            keys.extend(found.bundles.iter().flat_map(|bundle| bundle.keys()));
        }
        Ok(keys.into_iter().collect())
    }

    /// How many secrets there are, as far as indexes can be read.
    pub(super) fn count(&self) -> Result<usize, FileError> {
        let lone = self.keys.names()?.iter().filter(|name| key_of(name).is_some()).count();
        let bundles = self.bundles()?.map(|found| found.bundles).unwrap_or_default();
        Ok(lone + bundles.iter().map(|bundle| bundle.keys().len()).sum::<usize>())
    }

    /// Removes secrets, those that are there; gives how many. Bundles go as a whole or not at all.
    pub(super) fn remove_all(&self, keys: &BTreeSet<KeyId>) -> Result<usize, SealError> {
        let lone = self.keys.remove_all(keys.iter().map(|key| file_name(*key)))?;
        match self.bundles.remove_all(&self.folder, keys)? {
            (_, Some((key, path))) => Err(SealError::Shared { path, key }),
            (bundled, None) => Ok(lone + bundled),
        }
    }

    /// Looks through all files.
    pub(super) fn check(&self) -> Result<Contents, FileError> {
        let known = |name: &String| [RECIPIENT, IDENTITY, KEYS, bundles::FOLDER].contains(&name.as_str());
        let strays = |folder: &Folder, known: &dyn Fn(&String) -> bool| {
            let names = folder.names()?.into_iter().filter(|name| !known(name));
            Ok::<_, FileError>(names.map(|name| folder.path().join(name)).collect::<Vec<_>>())
        };
        let (mut keys, mut damaged) = (BTreeSet::new(), Vec::new());
        let mut found_strays = strays(&self.folder, &known)?;
        for name in self.keys.names()? {
            match key_of(&name) {
                Some(key) => drop(keys.insert(key)),
                None => found_strays.push(self.keys.path().join(name)),
            }
        }
        if let Some(found) = self.bundles()? {
            damaged.extend(found.damaged.iter().map(|(_, error)| error.to_string()));
            found_strays.extend(found.strays);
            for bundle in found.bundles {
                keys.extend(bundle.keys());
                damaged.extend(bundle.check(&found.folder).err().map(|error| error.to_string()));
                let folder = found.folder.folder(bundle.name())?;
                found_strays.extend(strays(&folder, &|name| bundle::FILES.contains(&name.as_str()))?);
            }
        }
        Ok(Contents { keys, strays: found_strays, damaged })
    }

    /// Opens the identity with a passphrase.
    pub(super) fn unlock(self: &Arc<Self>, label: &Label, passphrase: SecretString) -> Result<Unlocked, UnlockError> {
        let path = || self.folder.path().join(IDENTITY);
        let damaged = |reason| UnlockError::Damaged { compartment: label.clone(), path: path(), reason };
        let file = self.folder.read(IDENTITY, SMALL_FILE)?;
        let plain = sealed::by_passphrase(&file, passphrase).map_err(|closed| match closed {
            Closed::WrongKey if self.sums_deny(&file) => damaged("its bytes are not those that were written"),
            Closed::WrongKey => UnlockError::WrongPassphrase { compartment: label.clone() },
            Closed::Damaged(reason) => damaged(reason),
            Closed::TooMuchWork(required) => {
                UnlockError::TooMuchWork { path: path(), required, limit: WorkFactor::MOST.log_n() }
            }
        })?;
        let identity = parse_identity(&plain).ok_or_else(|| damaged("what is sealed in it is no age identity"))?;
        if identity.to_public() != self.recipient {
            let path = self.folder.path().join(RECIPIENT);
            return Err(UnlockError::ForeignRecipient { compartment: label.clone(), path });
        }
        let (label, compartment) = (label.clone(), Arc::clone(self));
        Ok(Unlocked { label, compartment, identity: Identity(identity), open: Mutex::default() })
    }

    /// Seals the identity with another passphrase. At every moment either the old or the new file stands there, and its
    /// sum beside it.
    pub(super) fn reseal(
        &self,
        label: &Label,
        unlocked: &Unlocked,
        passphrase: &SecretString,
        work: WorkFactor,
    ) -> Result<(), ChangeError> {
        let old = self.folder.read(IDENTITY, SMALL_FILE)?;
        let new = seal_identity(label, &unlocked.identity.0, passphrase, work)?;
        self.folder.replace(RECIPIENT, recipient_text(label, &self.recipient, &[&old, &new]).as_bytes())?;
        self.folder.replace(IDENTITY, &new)?;
        Ok(self.folder.replace(RECIPIENT, recipient_text(label, &self.recipient, &[&new]).as_bytes())?)
    }

    /// Whether the recipient file names sums of the identity file, and none is that of these bytes.
    fn sums_deny(&self, identity_file: &[u8]) -> bool {
        let Ok(text) = self.folder.read(RECIPIENT, SMALL_FILE) else { return false };
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut sums = text.lines().filter_map(|line| line.strip_prefix(SUM)).peekable();
        let sum = sealed::sum(identity_file);
        sums.peek().is_some() && sums.all(|known| known.trim() != sum)
    }
}

impl Unlocked {
    /// Which compartment this is.
    #[must_use]
    pub fn compartment(&self) -> &Label {
        &self.label
    }

    /// Opens a key's secret. Of many in one bundle, the first opens it.
    pub fn reveal(&self, key: KeyId) -> Result<SecretBytes, RevealError> {
        let (compartment, name) = (&self.compartment, file_name(key));
        match compartment.keys.read(&name, SEALED_FILE) {
            Ok(file) => self.decrypt(&file, || compartment.keys.path().join(name)),
            Err(FileError::Missing { .. }) => self.reveal_bundled(key),
            Err(error) => Err(RevealError::File(error)),
        }
    }

    fn reveal_bundled(&self, key: KeyId) -> Result<SecretBytes, RevealError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match open.iter().find(|opened| opened.has(key)) {
            Some(opened) => Arc::clone(opened),
            None => {
                let opened = Arc::new(self.open_bundle(key)?);
                while open.iter().map(|opened| opened.length()).sum::<usize>() + opened.length() > MOST_OPEN {
                    open.remove(0);
                }
                open.push(Arc::clone(&opened));
                opened
            }
        };
        opened.secret(key).map_err(|reason| {
            let folder = self.compartment.folder.path().join(bundles::FOLDER);
            RevealError::Damaged { path: opened.path(&folder), reason }
        })
    }

    fn open_bundle(&self, key: KeyId) -> Result<Opened, RevealError> {
        let compartment = &self.compartment;
        let absent = || RevealError::Absent { compartment: self.label.clone(), key };
        let bundle = compartment.bundles.find(&compartment.folder, key)?.ok_or_else(absent)?;
        let folder = Bundles::folder(&compartment.folder)?.ok_or_else(absent)?;
        let path = || bundle.path(folder.path());
        let plain = self.decrypt(&bundle.sealed(&folder)?, path)?;
        Arc::clone(&bundle).opened(plain).map_err(|reason| RevealError::Damaged { path: path(), reason })
    }

    fn decrypt(&self, file: &[u8], path: impl FnOnce() -> PathBuf) -> Result<SecretBytes, RevealError> {
        self.identity.open(file).map_err(|closed| RevealError::Damaged {
            path: path(),
            reason: match closed {
                UnsealError::Form(reason) => reason,
                UnsealError::Recipient { .. } => "this compartment's identity does not open it",
                UnsealError::Closed => "its content was changed or cut off",
            },
        })
    }

    /// Takes a key's secret out, and checks that it is the one that is recorded.
    ///
    /// # Errors
    /// See [`UseError`].
    pub fn private_key(&self, key: KeyId, recorded: &PublicKey) -> Result<PrivateKey, UseError> {
        let found = PrivateKey::parse(&self.reveal(key)?).map_err(|source| UseError::Parse { key, source })?;
        if found.public().public_key == *recorded { Ok(found) } else { Err(UseError::Exchanged { key }) }
    }
}

/// A compartment's identity: it opens what was sealed to the compartment's recipient.
struct Identity(x25519::Identity);

impl Opener for Identity {
    fn open(&self, sealed: &[u8]) -> Result<SecretBytes, UnsealError> {
        sealed::by_identity(sealed, &self.0).map_err(|closed| match closed {
            Closed::Damaged(reason) => UnsealError::Form(reason),
            Closed::WrongKey | Closed::TooMuchWork(_) => UnsealError::Recipient { recipient: None },
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.0.to_public())
    }
}

impl std::fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unlocked").field("compartment", &self.label).finish_non_exhaustive()
    }
}

/// The identity as `age-keygen` writes it, sealed.
fn seal_identity(
    label: &Label,
    identity: &x25519::Identity,
    passphrase: &SecretString,
    work: WorkFactor,
) -> Result<Vec<u8>, SealError> {
    let secret = identity.to_string();
    let public = format!("# cim-keys compartment {label}\n# public key: {}\n", identity.to_public());
    let mut plain = Vec::with_capacity(public.len() + secret.expose_secret().len() + 1);
    plain.extend_from_slice(public.as_bytes());
    plain.extend_from_slice(secret.expose_secret().as_bytes());
    plain.push(b'\n');
    let plain: SecretBytes = SecretBox::new(Box::new(plain));
    sealed::to_passphrase(plain.expose_secret(), passphrase.clone(), work)
        .map_err(|reason| SealError::Encrypt { compartment: label.clone(), reason })
}

fn parse_identity(plain: &SecretBytes) -> Option<x25519::Identity> {
    let text = std::str::from_utf8(plain.expose_secret()).ok()?;
    text.lines().find(|line| !line.is_empty() && !line.starts_with('#'))?.trim().parse().ok()
}

fn recipient_text(label: &Label, recipient: &x25519::Recipient, identity_files: &[&[u8]]) -> String {
    let sums: String = identity_files.iter().map(|file| format!("{SUM}{}\n", sealed::sum(file))).collect();
    format!("# cim-keys compartment {label}\n{sums}{recipient}\n")
}

fn file_name(key: KeyId) -> String {
    format!("{key}.age")
}

/// The key whose secret is in a file of its own, by the file's name.
pub(super) fn key_of(name: &str) -> Option<KeyId> {
    name.strip_suffix(".age")?.parse().ok()
}
