//! Reading what an `nsc` home holds: operators, accounts and users as signed tokens.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{MARK, Skipped, is_folder, names_in, read_file};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::nats::jwt;
use crate::text::visible;

/// Why a home could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is no operator in the folder.
    #[error(
        "{} is no nsc home: neither it nor its folder `stores` holds an operator (a folder with a file `.nsc`)",
        visible(&.0.to_string_lossy())
    )]
    NoHome(PathBuf),
    /// The home holds several operators, and a ledger has one.
    #[error("the home holds {} operators, and a ledger has one: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// There is no operator of this name in the home.
    #[error("there is no operator \"{}\" in the home, but {}", visible(name), there.join(", "))]
    NoOperator {
        /// What was asked for.
        name: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// A file or folder can't be read.
    #[error("{} can't be read: {source}", visible(&path.to_string_lossy()))]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Explained for HomeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHome(_) | Self::Several(_) | Self::NoOperator { .. } => ErrorKind::Usage,
            Self::Io { .. } => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoHome(_) => vec![Advice::Do("`nsc env` tells where its stores are")],
            Self::Several(_) => vec![Advice::Do("take each into a ledger of its own, with --operator NAME")],
            Self::NoOperator { .. } | Self::Io { .. } => Vec::new(),
        }
    }
}

/// An operator's folder.
#[derive(Debug, Clone, Default)]
pub struct StoredOperator {
    /// The folder's name.
    pub name: String,
    /// The token.
    pub token: String,
    /// Its accounts, by name.
    pub accounts: Vec<StoredAccount>,
}

/// An account's folder.
#[derive(Debug, Clone, Default)]
pub struct StoredAccount {
    /// The folder's name.
    pub name: String,
    /// The token.
    pub token: String,
    /// Its users: names and tokens.
    pub users: Vec<(String, String)>,
}

/// An `nsc` home: a folder with operators in it.
#[derive(Debug, Clone)]
pub struct Home {
    /// The folder that was named.
    folder: PathBuf,
    /// Where the operators are: the folder itself, or `stores` in it.
    stores: PathBuf,
    operators: Vec<String>,
}

impl Home {
    /// Finds the operators in a folder: nsc's data folder, its folder `stores`, or what `nsc --all-dirs` was given.
    ///
    /// # Errors
    /// When the folder can't be read or holds none.
    pub fn open(folder: &Path) -> Result<Self, HomeError> {
        for stores in [folder.join("stores"), folder.to_owned()] {
            let names = names_in(&stores).map_err(|source| HomeError::Io { path: stores.clone(), source })?;
            let operators: Vec<_> = names.into_iter().filter(|name| stores.join(name).join(MARK).exists()).collect();
            if !operators.is_empty() {
                return Ok(Self { folder: folder.to_owned(), stores, operators });
            }
        }
        Err(HomeError::NoHome(folder.to_owned()))
    }

    /// The operator that is meant: the one that is named, or the only one.
    ///
    /// # Errors
    /// When none is named and there are several, or there is none of that name.
    pub fn choose(&self, named: Option<&str>) -> Result<&str, HomeError> {
        let shown = || self.operators.iter().map(|name| visible(name).into_owned()).collect();
        match (named, self.operators.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(HomeError::Several(shown())),
            (Some(name), there) => there
                .iter()
                .find(|there| *there == name)
                .map(String::as_str)
                .ok_or_else(|| HomeError::NoOperator { name: name.to_owned(), there: shown() }),
        }
    }

    /// The names of all operators.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.operators.iter().map(String::as_str)
    }

    /// The folder that was named.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An operator's folder.
    #[must_use]
    pub fn operator_folder(&self, name: &str) -> PathBuf {
        self.stores.join(name)
    }

    /// Reads an operator's folder. What can't be taken of its accounts and users is left out, and said.
    ///
    /// # Errors
    /// When the operator's own token can't be read.
    pub fn read(&self, name: &str, skipped: &mut Vec<Skipped>) -> Result<StoredOperator, HomeError> {
        let folder = self.stores.join(name);
        let path = folder.join(format!("{name}.jwt"));
        let token = read_token(&path).map_err(|source| HomeError::Io { path, source })?;
        let mut accounts = Vec::new();
        let accounts_folder = folder.join("accounts");
        for account in folders(&accounts_folder, skipped) {
            let folder = accounts_folder.join(&account);
            let path = folder.join(format!("{account}.jwt"));
            let token = match read_token(&path) {
                Ok(token) => token,
                Err(error) => {
                    skipped.push(Skipped::new(&path, error));
                    continue;
                }
            };
            let users = users(&folder.join("users"), skipped);
            accounts.push(StoredAccount { name: account, token, users });
        }
        Ok(StoredOperator { name: name.to_owned(), token, accounts })
    }
}

fn users(folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<(String, String)> {
    let mut users = Vec::new();
    let names = names_in(folder).unwrap_or_else(|error| {
        skipped.push(Skipped::new(folder, error));
        Vec::new()
    });
    for name in names {
        let path = folder.join(&name);
        let Some(user) = name.strip_suffix(".jwt") else {
            skipped.push(Skipped::new(&path, "it is no token (NAME.jwt)"));
            continue;
        };
        match read_token(&path) {
            Ok(token) => users.push((user.to_owned(), token)),
            Err(error) => skipped.push(Skipped::new(&path, error)),
        }
    }
    users
}

/// The folders in a folder; links to folders are left out, and said.
fn folders(folder: &Path, skipped: &mut Vec<Skipped>) -> Vec<String> {
    let names = names_in(folder).unwrap_or_else(|error| {
        skipped.push(Skipped::new(folder, error));
        Vec::new()
    });
    let (folders, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_folder(&folder.join(name)));
    skipped.extend(
        others.iter().map(|name| Skipped::new(&folder.join(name), "it is no folder, and links are not followed")),
    );
    folders
}

/// A token as it stands in a file, without white space around it.
fn read_token(path: &Path) -> io::Result<String> {
    let bytes = read_file(path, jwt::MAX_LEN as u64)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text"))?;
    Ok(text.trim().to_owned())
}
