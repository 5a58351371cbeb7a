//! `init`: makes a ledger, with custody and a key of its own.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::custody::announce;
use super::log::LogError;
use super::online_key;
use super::session::{LedgerActError, Place, Session};
use crate::act::{ActError, Draft, Head, Intent, Pipeline};
use crate::custody::{self, Custody, NoPassphrases, Ring, WorkFactor};
use crate::events::{Actor, KeyGenerated, KeyPurpose, LedgerCreated, Party, Validity};
use crate::files::create_private_folder;
use crate::ids::LedgerId;
use crate::keys::{KeyError, KeyKind, KeyRef, KeyRing as _, KeySpec, Signer};
use crate::ledger::{Command, Refusal};
use crate::log::HeadSigner;
use crate::policy;
use crate::store::{CreateError, Founding, JournalError, Store};
use crate::text::{InvalidText, Label, Name, Note};

/// What a new ledger is made of.
pub struct NewLedger {
    /// Its name.
    pub name: Name,
    /// Who makes it.
    pub actor: Actor,
    /// The compartments of custody, each with its passphrase. `issuing` is among them: it takes the ledger's key.
    pub compartments: Vec<(Label, SecretString)>,
    /// Whether the ledger's key lies open too, so that heads are signed with nobody at hand ([`super::online_key`]).
    pub online_key: bool,
    /// How dear a guess at a passphrase is.
    pub work: WorkFactor,
    /// The text of `config.toml`.
    pub config: String,
}

/// Why no ledger was made. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// There is a ledger already.
    #[error("there is a ledger in {} already; use it, or choose another folder", .0.display())]
    Exists(PathBuf),
    /// Somebody else is making one.
    #[error("another process is making a ledger in {} at this moment; use that one, or choose another folder", .0.display())]
    Busy(PathBuf),
    /// Custody is there without a ledger.
    #[error(
        "{} is there without a ledger: a backup that was brought back in part, or an init that was cut short; bring the rest back, or remove it if it holds nothing that is needed",
        .0.display()
    )]
    CustodyExists(PathBuf),
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}; check the folder's permissions and the disk", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Custody could not be made.
    #[error(transparent)]
    Custody(#[from] custody::CreateError),
    /// The ledger's key could not be laid open.
    #[error(transparent)]
    File(#[from] custody::FileError),
    /// The ledger's key did not sign the first head.
    #[error(transparent)]
    Head(#[from] LogError),
    /// The ledger's key could not be made.
    #[error(transparent)]
    Key(#[from] GenerateError),
    /// The ledger's key could not be sealed.
    #[error(transparent)]
    Seal(#[from] custody::SealError),
    /// Custody named a recipient that is none, or lacks a compartment.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// The ledger could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Makes a ledger in a folder, which is made when it is absent. Afterwards all of it is there or none.
///
/// The ledger's key was made this moment, so nobody is asked for it: what the ledger begins with ends in a signed head, and
/// so does every append of the session that is given back, until it is closed.
///
/// # Errors
/// When there is a ledger already, or the disk fails.
pub fn init(place: Place, new: NewLedger) -> Result<Session, InitError> {
    is_free(&place, &new)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Io { path, source }
    };
    let folder_is_new = !place.folder().exists();
    create_private_folder(place.folder()).map_err(failed(place.folder()))?;
    // Whoever fails removes what was made, so there must be nobody else who makes something here at the same time.
    // Not every system locks folders.
    let alone = File::open(place.folder());
    if let Ok(folder) = &alone
        && let Err(TryLockError::WouldBlock) = folder.try_lock()
    {
        return Err(InitError::Busy(place.folder().to_owned()));
    }
    is_free(&place, &new)?;
    let config_is_new = !place.config().exists();
    let made = make(&place, &new).and_then(|(store, signer)| {
        let signer = HeadSigner::new(store.verifier_key().map_err(LogError::from)?, signer).map_err(LogError::from)?;
        store.sign_heads(Some(signer)).map_err(LogError::from)?;
        if config_is_new {
            crate::files::write_durably(&place.config(), new.config.as_bytes(), true)
                .map_err(failed(&place.config()))?;
        }
        Ok(store)
    });
    match made {
        Ok(store) => Ok(Session::from_store(place, store, new.actor)),
        Err(error) => {
            // What was made is of no use without the rest, and holds nothing but what was made this moment.
            if !error.is_about_another() {
                let _ = fs::remove_dir_all(place.custody());
                let _ = fs::remove_file(place.database());
                if new.online_key {
                    let _ = fs::remove_file(place.online_key());
                }
            }
            if folder_is_new {
                let _ = fs::remove_dir(place.folder());
            }
            Err(error)
        }
    }
}

/// Refuses a folder that has something of a ledger already.
fn is_free(place: &Place, new: &NewLedger) -> Result<(), InitError> {
    if place.database().exists() {
        return Err(InitError::Exists(place.folder().to_owned()));
    }
    if place.custody().exists() {
        return Err(InitError::CustodyExists(place.custody()));
    }
    if new.online_key && place.online_key().exists() {
        return Err(custody::FileError::Exists { path: place.online_key() }.into());
    }
    Ok(())
}

/// Makes custody, and the ledger with its first act. Gives what signs its heads.
fn make(place: &Place, new: &NewLedger) -> Result<(Store, Arc<dyn Signer>), InitError> {
    let custody = Custody::create(&place.custody(), &new.compartments, new.work)?;
    let recipients = announce(&custody)?;
    let founding = Founding::new(place.options());
    let mut ring = Ring::of(custody, NoPassphrases);
    let mut pipeline = Pipeline::new(&founding, policy::built_in()).with_keys(&mut ring);
    let outcome = pipeline.act(&Intent::new(new.actor.clone()), |draft| found(draft, place, new, recipients.clone()))?;
    drop(pipeline);
    if let Head::Failed { reason, .. } = outcome.head {
        return Err(InitError::Head(reason));
    }
    let signer = ring.signer(&outcome.value)?;
    let store = founding.into_store().ok_or(InitError::Vanished)?;
    Ok((store, signer))
}

/// The first act of a ledger: its key, itself, and the recipients of its custody.
fn found(
    draft: &mut Draft<'_>,
    place: &Place,
    new: &NewLedger,
    recipients: Vec<Command>,
) -> Result<KeyRef, InitError> {
    let compartment = Label::new(custody::ISSUING)?;
    let key = draft.generate(&KeySpec { kind: KeyKind::Ed25519, compartment })?;
    let (key_id, public) = (key.key_id, key.public.clone());
    let name = new.name.clone();
    draft.command(Command::CreateLedger(LedgerCreated {
        ledger_id: LedgerId::mint(),
        name,
        public_key: public.public_key.clone(),
    }))?;
    draft.commands(recipients)?;
    draft.command(Command::GenerateKey(KeyGenerated {
        key_id,
        name: Name::new("Ledger key")?,
        algorithm: public.algorithm,
        encoding: public.encoding,
        public_key: public.public_key,
        purpose: KeyPurpose::Ledger,
        owner: Party::Service(Label::new("ledger")?),
        compartment: key.compartment.clone(),
        validity: Validity::ALWAYS,
        location_id: None,
    }))?;
    if new.online_key {
        online_key::create(place, &draft.export_key(&key.reference())?)?;
        let reason = Note::new("kept in ledger.key, unencrypted, to sign heads with nobody at hand")?;
        draft.command(Command::ExportKey { key_id, recipient: None, reason })?;
    }
    Ok(key.reference())
}
