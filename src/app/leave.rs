//! `export all`: everything that a ledger has, in formats that other programs read. How one leaves cim-keys.
//!
//! The folder is filled under another name and renamed when it is whole. It is as private as the ledger itself: the sealed
//! keys are in it, and the texts of tokens, some of which work by being held.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};

use super::archive::{self, ExportError, Since};
use super::describe;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::custody::{self, Custody, FileError};
use crate::events::{InvalidLink, KeyEncoding};
use crate::files::{NewFile, create_private_file, create_private_folder, sync_folder};
use crate::ipld_support::cid_of_blob;
use crate::ledger::{Entity, Facts, KeyFacts, Kind, TokenFacts, ViewError};
use crate::session::Session;
use crate::session::heads::{LogError, own_keys};
use crate::store::{ReadError, RestrictedBlocks, RestrictedError, Store};
use crate::text::SubjectPrefix;

/// The page that explains the rest.
const README: &str = include_str!("leave/README.md");

/// Why not everything was written. There is no folder then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// There is something already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tables of entities could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The archive could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The ledger's keys could not be looked up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The texts of tokens could not be read.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// Custody could not be read.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// A file of custody could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A raw block has an identifier that none has.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// A file could not be written.
    #[error("writing {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Explained for LeaveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) => ErrorKind::Usage,
            Self::Read(_)
            | Self::View(_)
            | Self::Export(_)
            | Self::Log(_)
            | Self::Restricted(_)
            | Self::Custody(_)
            | Self::File(_)
            | Self::Link(_)
            | Self::Io { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Do("name a folder that does not exist yet")],
            Self::Read(error) => error.advice(),
            Self::Export(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Restricted(error) => error.advice(),
            Self::Custody(error) => error.advice(),
            Self::File(error) => error.advice(),
            Self::View(_) | Self::Link(_) | Self::Io { .. } => Vec::new(),
        }
    }
}

/// How much was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Events.
    pub events: u64,
    /// Entities of all kinds.
    pub entities: u64,
    /// Sealed keys.
    pub secrets: u64,
    /// Texts of tokens.
    pub tokens: u64,
    /// Raw blocks.
    pub blobs: u64,
}

/// Writes everything into a new folder.
///
/// # Errors
/// When there is something at this place already, or something can't be read or written.
pub fn leave(session: &Session, to: &Path, prefix: &SubjectPrefix) -> Result<Left, LeaveError> {
    if to.exists() {
        return Err(LeaveError::Exists(to.to_owned()));
    }
    let mut aside = to.as_os_str().to_owned();
    aside.push(".new");
    let folder = Folder(PathBuf::from(aside));
    // What an export that was killed left behind.
    let _ = fs::remove_dir_all(&folder.0);
    let mut left = Left::default();
    let done = write(session, &folder, prefix, &mut left).and_then(|()| {
        fs::rename(&folder.0, to).map_err(failed(to))?;
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(parent).map_err(failed(parent))
    });
    if done.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_dir_all(&folder.0);
    }
    done.map(|()| left)
}

fn write(session: &Session, to: &Folder, prefix: &SubjectPrefix, left: &mut Left) -> Result<(), LeaveError> {
    let (store, place) = (session.store(), session.place());
    to.make()?;
    to.whole("README.md", README.as_bytes())?;
    events(store, to, prefix, left)?;
    let mut car = to.file("ledger.car")?;
    archive::export(store, Since::Position(0), &mut car, &mut |_, _| {})?;
    to.commit("ledger.car", car)?;
    let checkpoints = to.folder("checkpoints")?;
    for checkpoint in store.checkpoints()? {
        checkpoints.whole(&format!("{}.txt", checkpoint.size()), checkpoint.to_string().as_bytes())?;
    }
    let keys: String = own_keys(store)?.keys().iter().map(|(from, key)| format!("{from}\t{key}\n")).collect();
    to.whole("ledger-keys.tsv", keys.as_bytes())?;
    let blobs = to.folder("blobs")?;
    let mut number = 0;
    while let Some((found, bytes)) = store.next_blob(number)? {
        number = found;
        left.blobs += 1;
        blobs.whole(&cid_of_blob(&bytes).to_string(), &bytes)?;
    }
    entities(session, to, left)?;
    if place.custody().exists() {
        let sealed = to.folder("custody")?;
        left.secrets = Custody::open(&place.custody())?.each_file(|(path, bytes)| sealed.whole(&path, &bytes))?;
    }
    if place.config().is_file() {
        let config = fs::read(place.config()).map_err(failed(&place.config()))?;
        to.whole("config.toml", &config)?;
    }
    sync_folder(&to.0).map_err(failed(&to.0))
}

fn events(store: &Store, to: &Folder, prefix: &SubjectPrefix, left: &mut Left) -> Result<(), LeaveError> {
    let mut file = to.file("events.jsonl")?;
    let path = to.0.join("events.jsonl");
    for recorded in store.iter(1) {
        let value = describe::recorded(&recorded?, prefix)?;
        serde_json::to_writer(&mut file, &value).map_err(|error| failed(&path)(error.into()))?;
        file.write_all(b"\n").map_err(failed(&path))?;
        left.events += 1;
    }
    to.commit("events.jsonl", file)
}

fn entities(session: &Session, to: &Folder, left: &mut Left) -> Result<(), LeaveError> {
    let (entities, keys, tokens) = (to.folder("entities")?, to.folder("keys")?, to.folder("tokens")?);
    let path = session.place().restricted();
    let restricted = if path.exists() { Some(RestrictedBlocks::open(&path)?) } else { None };
    for &kind in Kind::ALL {
        let mut objects = Vec::new();
        let found = session.store().view(|view| view.all(kind).collect::<Result<Vec<_>, _>>())??;
        for entity in found {
            if let Facts::Key(key) = &entity.facts {
                keys.whole(&format!("{}.pub", key.key_id), public_key(key).as_bytes())?;
            }
            if let (Some(restricted), Some(token)) = (&restricted, token(&entity))
                && let Some(text) = token.signed.as_ref().map(|signed| restricted.get(&signed.token)).transpose()?
                && let Some(text) = text
            {
                left.tokens += 1;
                tokens.whole(&format!("{}.jwt", entity.entity_ref().id), &text)?;
            }
            objects.push(describe::entity(&entity));
        }
        if objects.is_empty() {
            continue;
        }
        left.entities += objects.len() as u64;
        let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
        entities.whole(&format!("{kind}.jsonl", kind = kind.as_str()), lines.as_bytes())?;
        let name = format!("{}.csv", kind.as_str());
        let table = table(&objects).map_err(failed(&entities.0.join(&name)))?;
        entities.whole(&name, &table)?;
    }
    Ok(())
}

fn token(entity: &Entity) -> Option<&TokenFacts> {
    match &entity.facts {
        Facts::Operator(facts) => facts.token.as_ref(),
        Facts::Account(facts) => facts.token.as_ref(),
        Facts::User(facts) => facts.token.as_ref(),
        _ => None,
    }
}

/// The public half as other programs read it: PEM, or the text of an nkey.
fn public_key(key: &KeyFacts) -> String {
    let text = key.public_key.as_str();
    match (key.encoding, BASE64_STANDARD.decode(text)) {
        (KeyEncoding::Spki, Ok(_)) => {
            let lines: Vec<&str> =
                text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
        }
        _ => format!("{text}\n"),
    }
}

/// Entities of a kind as CSV (RFC 4180): a column for each attribute that one of them has; what is more than a text, a
/// number or yes and no, as JSON.
fn table(objects: &[Value]) -> io::Result<Vec<u8>> {
    let empty = Map::new();
    let object = |value: &Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    let mut seen = BTreeSet::new();
    let mut columns: Vec<String> = Vec::new();
    for value in objects {
        columns.extend(object(value).keys().filter(|key| seen.insert((*key).clone())).cloned());
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns)?;
    for value in objects {
        let object = object(value);
        writer.write_record(columns.iter().map(|column| match object.get(column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }))?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// A folder that is being filled, 0700, and files in it, 0600.
struct Folder(PathBuf);

impl Folder {
    fn make(&self) -> Result<(), LeaveError> {
        create_private_folder(&self.0).map_err(failed(&self.0))
    }

    fn folder(&self, name: &str) -> Result<Self, LeaveError> {
        let folder = Self(self.0.join(name));
        folder.make()?;
        Ok(folder)
    }

    fn file(&self, name: &str) -> Result<NewFile, LeaveError> {
        let path = self.0.join(name);
        NewFile::create(&path, true).map_err(failed(&path))
    }

    fn commit(&self, name: &str, file: NewFile) -> Result<(), LeaveError> {
        file.commit().map_err(failed(&self.0.join(name)))
    }

    /// A small file; the folder's rename makes all of them visible, so each needs only be on the disk by then.
    fn whole(&self, name: &str, bytes: &[u8]) -> Result<(), LeaveError> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            Self(parent.to_owned()).make()?;
        }
        let write = || {
            let mut file = create_private_file(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(failed(&path))
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> LeaveError {
    let path = path.to_owned();
    move |source| LeaveError::Io { path, source }
}
