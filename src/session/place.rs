//! Where the parts of a ledger are.

use std::path::{Path, PathBuf};

use crate::store::StoreOptions;

/// Where a ledger is: its folder, and the folder outside of it where this machine keeps its rights to write.
#[derive(Debug, Clone)]
pub struct Place {
    folder: PathBuf,
    tokens: PathBuf,
}

impl Place {
    /// A ledger's folder, and this machine's folder of rights to write.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, tokens: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), tokens: tokens.into() }
    }

    /// The ledger's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This machine's folder of rights to write.
    #[must_use]
    pub fn tokens(&self) -> &Path {
        &self.tokens
    }

    /// The same ledger in another folder.
    pub(crate) fn moved_to(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), tokens: self.tokens.clone() }
    }

    /// The file that holds the events.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("ledger.db")
    }

    /// The folder of sealed secrets.
    #[must_use]
    pub fn custody(&self) -> PathBuf {
        self.folder.join("custody")
    }

    /// The ledger's own key, where it is stored unencrypted ([`crate::session::online_key`]).
    #[must_use]
    pub fn online_key(&self) -> PathBuf {
        self.folder.join("ledger.key")
    }

    /// The file of restricted blocks: the texts of signed tokens.
    #[must_use]
    pub fn restricted(&self) -> PathBuf {
        self.folder.join("restricted.db")
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// How the store is opened.
    #[must_use]
    pub fn options(&self) -> StoreOptions {
        StoreOptions::new(self.database(), &self.tokens)
    }
}
