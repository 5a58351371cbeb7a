//! The seeds of an `nsc` home: read by public key, one file each, and only those that are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::disk::{Skipped, is_folder, names_in, read_file};
use crate::custody::{LONGEST_SECRET, SecretBytes};
use crate::keys::{PublicFacts, normalize};
use crate::nats::creds::{self, Creds};
use crate::nats::jwt::is_public_key;

/// The kinds of nkey that a keyring has folders for.
const KINDS: [char; 4] = ['O', 'A', 'U', 'X'];

/// Where an `nsc` home keeps its seeds, in plaintext.
#[derive(Debug, Clone)]
pub struct Keyring {
    /// The folder with a folder for each kind.
    seeds: PathBuf,
    /// The folders that may hold credentials.
    creds: Vec<PathBuf>,
    /// The credentials of users, by name, found once.
    files: BTreeMap<String, Vec<PathBuf>>,
}

impl Keyring {
    /// The keyring in a folder: what `NKEYS_PATH` names (with `keys` and `creds` in it), or the folder of the kinds
    /// itself. Credentials may also lie in `home/creds`.
    #[must_use]
    pub fn open(folder: &Path, home: &Path, operator: &str) -> Self {
        let inner = folder.join("keys");
        let seeds = if is_folder(&inner) { inner } else { folder.to_owned() };
        let creds = [folder, home].map(|folder| folder.join("creds").join(operator)).to_vec();
        let mut ring = Self { seeds, creds, files: BTreeMap::new() };
        ring.find_creds();
        ring
    }

    fn find_creds(&mut self) {
        for folder in &self.creds {
            for account in names_in(folder).unwrap_or_default() {
                for file in names_in(&folder.join(&account)).unwrap_or_default() {
                    if let Some(user) = file.strip_suffix(".creds") {
                        let path = folder.join(&account).join(&file);
                        self.files.entry(format!("{account}/{user}")).or_default().push(path);
                    }
                }
            }
        }
    }

    /// The secret of a public key. `None` where the keyring does not have it. A file that holds another key's seed, that is a
    /// link, or does not read, is not taken, and said.
    pub fn secret(&self, public: &str, skipped: &mut Vec<Skipped>) -> Option<SecretBytes> {
        let path = self.seed_path(public)?;
        std::fs::symlink_metadata(&path).ok()?;
        take(&path, public, LONGEST_SECRET, parse_seed, skipped)
    }

    /// The secret of a user (`ACCOUNT/USER`) whose seed only its credentials have.
    pub fn secret_in_creds(&self, user: &str, public: &str, skipped: &mut Vec<Skipped>) -> Option<SecretBytes> {
        let files = self.files.get(user)?;
        files.iter().find_map(|path| take(path, public, creds::MAX_LEN, parse_creds, skipped))
    }

    fn seed_path(&self, public: &str) -> Option<PathBuf> {
        let (kind, shard) = (public.get(..1)?, public.get(1..3)?);
        Some(self.seeds.join(kind).join(shard).join(format!("{public}.nk")))
    }

    /// The public keys that the keyring has a file for, and that are not among those that something refers to.
    #[must_use]
    pub fn orphans(&self, referenced: &BTreeSet<String>) -> Vec<String> {
        let mut orphans = Vec::new();
        for kind in KINDS {
            let folder = self.seeds.join(kind.to_string());
            for shard in names_in(&folder).unwrap_or_default() {
                for file in names_in(&folder.join(shard)).unwrap_or_default() {
                    let Some(public) = file.strip_suffix(".nk") else { continue };
                    if is_public_key(public, &KINDS) && !referenced.contains(public) {
                        orphans.push(public.to_owned());
                    }
                }
            }
        }
        orphans
    }
}

/// A file's secret, if it is that of the public key.
fn take(
    path: &Path,
    public: &str,
    most: usize,
    parse: impl FnOnce(&SecretBytes) -> Result<(PublicFacts, SecretBytes), String>,
    skipped: &mut Vec<Skipped>,
) -> Option<SecretBytes> {
    let read = read_file(path, most as u64).map_err(|error| error.to_string());
    let key = read.and_then(|bytes| parse(&SecretBytes::new(Box::new(bytes))));
    let found = match &key {
        Ok((public, _)) => public.public_key.clone(),
        Err(error) => {
            skipped.push(Skipped::new(path, error));
            return None;
        }
    };
    if found.as_str() != public {
        skipped.push(Skipped::new(path, format!("it holds the seed of {found}, and not of {public}")));
        return None;
    }
    key.ok().map(|(_, secret)| secret)
}

fn parse_seed(bytes: &SecretBytes) -> Result<(PublicFacts, SecretBytes), String> {
    normalize(bytes).map_err(|error| error.to_string())
}

fn parse_creds(bytes: &SecretBytes) -> Result<(PublicFacts, SecretBytes), String> {
    let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| "it is no text".to_owned())?;
    let creds = Creds::parse(text).map_err(|error| error.to_string())?;
    parse_seed(&SecretBytes::new(Box::new(creds.seed.expose_secret().as_bytes().to_vec())))
}
