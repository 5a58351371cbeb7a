//! `init`: makes a ledger, with custody and a key of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use crate::act::{ActError, Draft, Head, Intent, Pipeline};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::config::Layers;
use crate::custody::{self, Custody, NoPassphrases, Ring, WorkFactor};
use crate::events::{Actor, KeyGenerated, KeyPurpose, LedgerCreated, Party, Validity};
use crate::files::lock::{Held, exclusive};
use crate::files::staging::{self, Staging};
use crate::files::{create_private_folder, folder_of, sync_folder, write_durably};
use crate::ids::LedgerId;
use crate::keys::{KeyError, KeyKind, KeyRef, KeyRing as _, KeySpec, Signer};
use crate::ledger::{Command, Refusal};
use crate::policy;
use crate::session::custody::announce;
use crate::session::heads::{self, LogError};
use crate::session::online_key;
use crate::session::{LedgerActError, Place, Session};
use crate::store::{CreateError, Founding, Store};
use crate::text::{InvalidText, Label, Name, Note};

/// What is put in place last: where it is, there is a ledger.
const LAST: &str = "ledger.db";

/// What a new ledger is made of.
pub struct NewLedger {
    /// Its name.
    pub name: Name,
    /// Who makes it.
    pub actor: Actor,
    /// The compartments of custody, each with its passphrase. `issuing` is among them: it takes the ledger's key.
    pub compartments: Vec<(Label, SecretString)>,
    /// Whether the ledger's key is stored unencrypted too, so that heads are signed without a passphrase ([`crate::session::online_key`]).
    pub online_key: bool,
    /// How dear a guess at a passphrase is.
    pub work: WorkFactor,
    /// The text of `config.toml`, where there is none yet. One that is there stays, unless this one is air-gapped and that
    /// one is not, which is refused.
    pub config: String,
}

/// Why no ledger was made. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// There is a ledger already.
    #[error("there is a ledger in {} already", .0.display())]
    Exists(PathBuf),
    /// Somebody else is making one.
    #[error("another process is making a ledger in {} at this moment", .0.display())]
    Busy(PathBuf),
    /// Custody is there without a ledger.
    #[error(
        "{} is there without a ledger: a backup that was brought back in part, or an init of an older release that was cut short",
        .0.display()
    )]
    CustodyExists(PathBuf),
    /// A run that did not come to its end left something, or is still going on: here folders can't be locked to tell.
    #[error(
        "{} was left by an init that was cut short, or another process is making a ledger at this moment",
        listed(.0)
    )]
    Unfinished(Vec<PathBuf>),
    /// The new ledger is to be air-gapped, and the configuration that is there does not say so.
    #[error(
        "{} is there already, and does not say that the ledger is air-gapped",
        .0.display()
    )]
    Connected(PathBuf),
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
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
    /// Heads can't be signed from now on.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The ledger's key did not sign the first head.
    #[error("the head of the new ledger could not be signed: {0}")]
    Head(String),
    /// The ledger's key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A text of ours is not taken.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The first act did not take place.
    #[error(transparent)]
    Act(Box<LedgerActError<InitError>>),
}

impl Explained for InitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) | Self::CustodyExists(_) | Self::Busy(_) | Self::Unfinished(_) | Self::Connected(_) => {
                ErrorKind::Usage
            }
            Self::Create(error) => error.kind(),
            Self::Key(error) => error.kind(),
            Self::Io { .. }
            | Self::Custody(_)
            | Self::File(_)
            | Self::Log(_)
            | Self::Head(_)
            | Self::Text(_)
            | Self::Refused(_)
            | Self::Act(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Do("use it, or choose another folder")],
            Self::Busy(_) => vec![Advice::Do("use that one, or choose another folder")],
            Self::CustodyExists(_) => {
                vec![Advice::Do("bring the rest back, or remove it if it holds nothing that is needed")]
            }
            Self::Unfinished(_) => vec![Advice::Do("remove it if there is no such process")],
            Self::Connected(_) => vec![Advice::Do("write `air_gapped = true` under `[nats]` in it, or remove it")],
            Self::Io { .. } => vec![Advice::Do("check the folder's permissions and the disk")],
            Self::Create(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Custody(error) => error.advice(),
            Self::File(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Refused(error) => error.advice(),
            Self::Head(_) | Self::Text(_) | Self::Act(_) => Vec::new(),
        }
    }
}

impl From<LedgerActError<InitError>> for InitError {
    fn from(error: LedgerActError<InitError>) -> Self {
        match error {
            ActError::Build(error) => error,
            error => Self::Act(Box::new(error)),
        }
    }
}

/// Makes a ledger in a folder, which is made when it is absent. Afterwards all of it is there or none.
///
/// The ledger's key was made this moment, so nobody is asked for it: what the ledger begins with ends in a signed head, and
/// so does every append of the session that is given back, until it is closed.
///
/// # Errors
/// When there is a ledger already, or the disk fails.
pub fn init(place: Place, new: NewLedger) -> Result<Session, InitError> {
    init_shown(place, new, || Ok(()))
}

/// As [`init`], for passphrases that were generated: `show` shows them when everything but the ledger itself is in place, so
/// that there is never a ledger whose passphrases nobody knows. When `show` fails, no ledger is made.
///
/// # Crashes
/// A process that dies at any moment leaves no ledger, or a whole one, and running it again needs nothing removed by hand:
///
/// 1. The folder's lock is held alone, so that no two processes make a ledger in it at once.
/// 2. Custody, the ledger's open key, `config.toml` and `ledger.db` with its first events and their signed head are made in a
///    staging folder ([`Staging`]), whose name has the ledger's id. The right to write is bound to the very file, which is
///    renamed later, and lies under that id in this machine's folder of rights.
/// 3. `config.toml` is put in place first: where a ledger can be used, its restrictions are in force. Then come the open key
///    and custody, then `show`, and `ledger.db` last. It is the commit point: without it there is no ledger.
/// 4. A run that finds the staging folder of a dead one, and no ledger, takes back what that one had put in place, with the
///    right to write, and begins anew with keys of its own. Passphrases that the dead run showed open nothing then.
/// 5. With the ledger in place it is whole, and its passphrases were shown. Making it again is refused; what is left of the
///    staging folder is removed by that, and by the next opening for writing ([`remove_residue`]).
///
/// Files that were in the folder before are never touched; a `config.toml` among them stays as it is.
///
/// # Errors
/// As [`init`], and those of `show`.
pub fn init_shown(place: Place, new: NewLedger, show: impl FnOnce() -> io::Result<()>) -> Result<Session, InitError> {
    if place.database().exists() {
        remove_residue(&place);
        return Err(InitError::Exists(place.folder().to_owned()));
    }
    let missing = make_folder(place.folder()).map_err(failed(place.folder()))?;
    // Not every system locks folders.
    let folder = File::open(place.folder()).map_err(failed(place.folder()))?;
    let lock = exclusive(folder).map_err(|Held| InitError::Busy(place.folder().to_owned()))?;
    let made = recover(&place, lock.is_some()).and_then(|()| {
        is_free(&place, &new)?;
        make_whole(&place, &new, show)
    });
    match made {
        Ok((store, signer)) => {
            heads::sign_every_head(&store, signer)?;
            Ok(Session::from_store(place, store, new.actor))
        }
        Err(error) => {
            // Only those that are empty go.
            for folder in missing {
                let _ = fs::remove_dir(folder);
            }
            Err(error)
        }
    }
}

/// Removes what is left of making a ledger that is there: the staging folder of a run that died when it was done. Does
/// nothing while a ledger is being made.
pub fn remove_residue(place: &Place) {
    staging::remove_residue(place.folder(), LAST);
}

/// Takes back what a dead run left. Where the folder can't be locked, a living one could be meant.
fn recover(place: &Place, alone: bool) -> Result<(), InitError> {
    let failed = failed(place.folder());
    match staging::left_behind(place.folder()) {
        Ok(left) if left.is_empty() => Ok(()),
        Ok(left) if !alone => Err(InitError::Unfinished(left.into_iter().map(|(_, path)| path).collect())),
        Ok(_) => staging::recover(place.folder(), LAST, |id| Store::forget_right(place.tokens(), id)).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Refuses a folder that has something of a ledger already, or a configuration that is less strict than the new one.
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
    let air_gapped = |text: &str| {
        let mut layers = Layers::new();
        layers.file(&place.config(), text);
        layers.resolve().is_ok_and(|resolved| resolved.config.nats.air_gapped)
    };
    match fs::read_to_string(place.config()) {
        Ok(there) if air_gapped(&new.config) && !air_gapped(&there) => Err(InitError::Connected(place.config())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&place.config())(error)),
    }
}

/// Makes a folder, with those above it that are missing, durably. Gives those that were, the innermost first.
fn make_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let missing: Vec<_> = missing.map(Path::to_owned).collect();
    create_private_folder(folder)?;
    missing.iter().try_for_each(|folder| sync_folder(folder_of(folder)))?;
    Ok(missing)
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Makes everything aside, and puts it in place. Gives what signs the ledger's heads.
fn make_whole(
    place: &Place,
    new: &NewLedger,
    show: impl FnOnce() -> io::Result<()>,
) -> Result<(Store, Arc<dyn Signer>), InitError> {
    let ledger_id = LedgerId::mint();
    let mut staging = Staging::begin(place.folder(), ledger_id).map_err(failed(place.folder()))?;
    let done = (|| {
        let aside = place.moved_to(staging.path());
        let (store, signer) = make(&aside, ledger_id, new)?;
        // All of it is in the one file that is renamed.
        store.close().map_err(CreateError::from)?;
        let mut order = Vec::new();
        if !place.config().exists() {
            write_durably(&aside.config(), new.config.as_bytes(), true).map_err(failed(&place.config()))?;
            order.push("config.toml");
        }
        if new.online_key {
            order.push("ledger.key");
        }
        order.extend(["custody", LAST]);
        staging.put_in_place(&order, show).map_err(failed(place.folder()))?;
        Ok(signer)
    })();
    match done {
        Ok(signer) => Ok((Store::open(place.options()).map_err(CreateError::from)?, signer)),
        Err(error) => {
            if !staging.is_committed() {
                let _ = Store::forget_right(place.tokens(), ledger_id);
            }
            Err(error)
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> InitError + use<> {
    let path = path.to_owned();
    move |source| InitError::Io { path, source }
}

/// Makes custody, and the ledger with its first act, whose head is signed. Gives what signs its heads.
fn make(place: &Place, ledger_id: LedgerId, new: &NewLedger) -> Result<(Store, Arc<dyn Signer>), InitError> {
    let custody = Custody::create(&place.custody(), &new.compartments, new.work)?;
    let recipients = announce(&custody)?;
    let founding = Founding::new(place.options());
    let mut ring = Ring::of(custody, NoPassphrases);
    let mut pipeline = Pipeline::new(&founding, policy::built_in()).with_keys(&mut ring);
    let outcome = pipeline
        .act(&Intent::new(new.actor.clone()), |draft| found(draft, place, ledger_id, new, recipients.clone()))?;
    drop(pipeline);
    if let Head::Failed { reason, .. } = outcome.head {
        return Err(InitError::Head(reason));
    }
    let signer = ring.signer(&outcome.value)?;
    let store = founding.into_store().map_err(ActError::Journal)?;
    Ok((store, signer))
}

/// The first act of a ledger: its key, itself, and the recipients of its custody.
fn found(
    draft: &mut Draft<'_>,
    place: &Place,
    ledger_id: LedgerId,
    new: &NewLedger,
    recipients: Vec<Command>,
) -> Result<KeyRef, InitError> {
    let compartment = Label::new(custody::ISSUING)?;
    let key = draft.generate(&KeySpec { kind: KeyKind::Ed25519, compartment })?;
    let (key_id, public) = (key.key_id, key.public.clone());
    let (name, public_key) = (new.name.clone(), public.public_key.clone());
    draft.command(Command::CreateLedger(LedgerCreated { ledger_id, name, public_key }))?;
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
