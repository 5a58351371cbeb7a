//! The ledger's NATS identities as an `nsc` home: what `nsc --all-dirs` opens, and goes on with when it has the seeds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::disk::MARK;
use crate::act::Draft;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::authority::keys::reference;
use crate::authority::nats::creds;
use crate::authority::nats::error::NatsError;
use crate::authority::nats::lookup;
use crate::custody::SecretBytes;
use crate::events::NatsHolder;
use crate::files::{create_private_folder, sync_folder, write_durably};
use crate::ids::KeyId;
use crate::ledger::{AccountFacts, Command, Entity, EntityRef, Facts, KeyFacts, Kind, UserFacts};
use crate::nats::creds::Creds;
use crate::text::{Note, visible};

/// Why no home was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something is there already.
    #[error("{} is there already", visible(&.0.to_string_lossy()))]
    Exists(PathBuf),
    /// A name can't be a file's.
    #[error("{what} can't be exported: nsc keeps it in a file of that name, which \"{}\" can't be", visible(name))]
    Name {
        /// What bears the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A file or folder can't be written.
    #[error("{} can't be written: {source}. Nothing is left of the export", visible(&path.to_string_lossy()))]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder's path is no text, so `nsc.json` can't name it.
    #[error("the path {} is no text, and nsc.json has to name it", .0.to_string_lossy())]
    Path(PathBuf),
    /// Identities could not be read, or keys not opened.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

impl Explained for ExportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) | Self::Name { .. } | Self::Path(_) => ErrorKind::Usage,
            Self::Io { .. } => ErrorKind::Failed,
            Self::Nats(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Exists(_) => vec![Advice::Do("name a folder that does not exist yet")],
            Self::Name { .. } => vec![Advice::Do("rename it first")],
            Self::Path(_) => vec![Advice::Do("name a folder whose path is text")],
            Self::Io { .. } => Vec::new(),
            Self::Nats(error) => error.advice(),
        }
    }
}

/// Whether the private halves go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeds {
    /// Tokens only: `nsc` describes and validates, and can't sign.
    Without,
    /// In plaintext, as nsc keeps them: it signs with them.
    Plaintext,
}

/// A home that is ready to be written.
#[derive(Default)]
pub struct Exported {
    /// The operator's name.
    pub operator: String,
    /// How many accounts are in it.
    pub accounts: usize,
    /// How many users.
    pub users: usize,
    /// The keys whose private halves are in it: the act records that they left.
    pub keys: Vec<KeyId>,
    /// Public keys whose private half is not in custody.
    pub without_seed: Vec<String>,
    files: Vec<(PathBuf, SecretBytes)>,
}

/// Makes a home of the operator and its active accounts, users and signing keys, and records the keys that go along. Nothing is
/// written before that is recorded.
///
/// # Errors
/// When a name can't be a file's, when a token's text is not kept here, or when a key can't be opened.
pub fn export(draft: &mut Draft<'_>, seeds: Seeds) -> Result<Exported, ExportError> {
    let facts = lookup::operator(draft.view())?;
    let name = file_name("the operator", facts.operator.name.as_str())?.to_owned();
    let folder = PathBuf::from(&name);
    let exported = Exported { operator: name.clone(), ..Exported::default() };
    let mut made = Making { draft, seeds, made: exported };
    let mark = serde_json::json!({ "managed": false, "name": name, "kind": "operator", "version": "1" });
    made.put(folder.join(MARK), mark.to_string());
    let token = creds::drafted_token(made.draft, &name, facts.token.as_ref())?;
    made.put(folder.join(format!("{name}.jwt")), token);
    made.seed(facts.operator.key_id)?;
    made.signing_keys(&NatsHolder::Operator(facts.operator.operator_id))?;
    for account in made.active(facts.operator.operator_id.into(), Kind::Account)? {
        if let Facts::Account(account) = account.facts {
            made.account(&folder, &account)?;
        }
    }
    Ok(made.made)
}

struct Making<'m, 'd> {
    draft: &'m mut Draft<'d>,
    seeds: Seeds,
    made: Exported,
}

impl Making<'_, '_> {
    fn account(&mut self, operator: &Path, facts: &AccountFacts) -> Result<(), ExportError> {
        let name = file_name("the account", facts.account.name.as_str())?;
        let folder = operator.join("accounts").join(name);
        let token = creds::drafted_token(self.draft, name, facts.token.as_ref())?;
        self.put(folder.join(format!("{name}.jwt")), token);
        self.seed(facts.account.key_id)?;
        self.signing_keys(&NatsHolder::Account(facts.account.account_id))?;
        self.made.accounts += 1;
        for user in self.active(facts.account.account_id.into(), Kind::User)? {
            if let Facts::User(user) = user.facts {
                self.user(&folder, name, &user)?;
            }
        }
        Ok(())
    }

    fn user(&mut self, account: &Path, account_name: &str, facts: &UserFacts) -> Result<(), ExportError> {
        let name = file_name("the user", facts.user.name.as_str())?;
        let token = creds::drafted_token(self.draft, name, facts.token.as_ref())?;
        self.put(account.join("users").join(format!("{name}.jwt")), token.clone());
        self.made.users += 1;
        if let Some(secret) = self.seed(facts.user.key_id)? {
            let seed = std::str::from_utf8(secret.expose_secret()).unwrap_or_default().trim();
            let text = Creds { token, seed: seed.to_owned().into() }.to_text();
            let path = Path::new("creds").join(&self.made.operator).join(account_name).join(format!("{name}.creds"));
            self.made.files.push((path, SecretBytes::new(Box::new(text.as_bytes().to_vec()))));
        }
        Ok(())
    }

    fn signing_keys(&mut self, holder: &NatsHolder) -> Result<(), ExportError> {
        for key in self.active(EntityRef::holder(holder), Kind::SigningKey)? {
            if let Facts::SigningKey(key) = key.facts {
                self.seed(key.key_id)?;
            }
        }
        Ok(())
    }

    /// Puts a key's seed where nsc looks for it, if seeds go along and it is there.
    fn seed(&mut self, key_id: KeyId) -> Result<Option<SecretBytes>, ExportError> {
        if self.seeds == Seeds::Without {
            return Ok(None);
        }
        let entity = self.draft.view().get(key_id.into()).map_err(NatsError::from)?;
        let Some(Facts::Key(key)) = entity.map(|entity| entity.facts) else { return Ok(None) };
        let KeyFacts { public_key, compartment, .. } = &key;
        if compartment.is_none() {
            self.made.without_seed.push(public_key.to_string());
            return Ok(None);
        }
        let line = self.draft.export_key(&reference(&key)).map_err(NatsError::from)?;
        let text = std::str::from_utf8(line.expose_secret()).unwrap_or_default().trim();
        let secret = SecretBytes::new(Box::new(text.as_bytes().to_vec()));
        let public = public_key.as_str();
        let path = Path::new("keys").join(&public[..1]).join(&public[1..3]).join(format!("{public}.nk"));
        self.made.files.push((path, SecretBytes::new(Box::new(secret.expose_secret().clone()))));
        let reason = Note::typed("written into an nsc home, in plaintext").map_err(NatsError::from)?;
        let left = Command::ExportKey { key_id, recipient: None, reason };
        self.draft.command(left).map_err(NatsError::from)?;
        self.made.keys.push(key_id);
        Ok(Some(secret))
    }

    fn active(&self, of: EntityRef, kind: Kind) -> Result<Vec<Entity>, ExportError> {
        let members = lookup::members(self.draft.view(), of, kind)?;
        Ok(members.into_iter().filter(Entity::is_active).collect())
    }

    fn put(&mut self, path: PathBuf, text: String) {
        self.made.files.push((path, SecretBytes::new(Box::new(text.into_bytes()))));
    }
}

impl Exported {
    /// Writes the home into a folder that does not exist yet: whole, or not at all. Folders have mode 0700, files 0600.
    ///
    /// # Errors
    /// When there is something already, or the disk fails.
    pub fn write(&self, folder: &Path) -> Result<(), ExportError> {
        if fs::symlink_metadata(folder).is_ok() {
            return Err(ExportError::Exists(folder.to_owned()));
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Io { path, source }
        };
        let full = std::path::absolute(folder).map_err(io(folder))?;
        let root = full.to_str().ok_or_else(|| ExportError::Path(full.clone()))?;
        let config = serde_json::json!({ "store_root": root, "operator": self.operator }).to_string();
        let aside = full.with_file_name(format!(
            "{}.new",
            full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        ));
        let written = self.write_into(&aside, config.as_bytes()).and_then(|()| {
            fs::rename(&aside, &full).map_err(io(&full))?;
            sync_folder(full.parent().unwrap_or(Path::new("/"))).map_err(io(&full))
        });
        if written.is_err() {
            // What was written is of no use without the rest; the first error is the one that is told.
            let _ = fs::remove_dir_all(&aside);
        }
        written
    }

    fn write_into(&self, folder: &Path, config: &[u8]) -> Result<(), ExportError> {
        make_folder(folder)?;
        let put = |path: &Path, bytes: &[u8]| {
            let place = folder.join(path);
            make_folder(place.parent().unwrap_or(folder))?;
            write_durably(&place, bytes, true).map_err(|source| ExportError::Io { path: place, source })
        };
        put(Path::new("nsc.json"), config)?;
        self.files.iter().try_for_each(|(path, content)| put(path, content.expose_secret()))
    }
}

fn make_folder(path: &Path) -> Result<(), ExportError> {
    create_private_folder(path).map_err(|source| ExportError::Io { path: path.to_owned(), source })
}

/// A name that can be a file's.
fn file_name<'n>(what: &'static str, name: &'n str) -> Result<&'n str, ExportError> {
    let fits = !name.starts_with('.') && name.len() <= 200 && !name.contains(['/', '\\', '\0']);
    if fits { Ok(name) } else { Err(ExportError::Name { what, name: name.to_owned() }) }
}
