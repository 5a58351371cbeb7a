//! What was applied last: the manifest in its normal form, with the identifier of every entry that it ever had.

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::nats;
use super::path::{EntryPath, Ids};

/// The document that is kept as a raw block, and that `ManifestApplied` links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) manifest: Manifest,
    /// By path. Entries that left the manifest keep theirs, so that they are known again when they come back.
    pub(crate) ids: Ids,
}

const FORMAT: &str = "cim-keys-manifest/1";

impl Base {
    /// The block: JSON without space, its maps sorted.
    pub(crate) fn to_block(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Written<'b> {
            format: &'static str,
            ids: &'b Ids,
            manifest: &'b Manifest,
        }
        serde_json::to_vec(&Written { format: FORMAT, ids: &self.ids, manifest: &self.manifest })
    }

    pub(crate) fn from_block(block: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Read {
            format: String,
            ids: Ids,
            manifest: Manifest,
        }
        let read: Read = serde_json::from_slice(block).map_err(|error| error.to_string())?;
        if read.format != FORMAT {
            return Err(format!("it has the format {:?}, and this release reads {FORMAT:?}", read.format));
        }
        let mut manifest = read.manifest;
        // Blocks of before the first release held the texts of activations.
        manifest.take_activations();
        manifest.activations.clear();
        Ok(Self { manifest, ids: read.ids })
    }

    /// Copies an entry into another manifest, because it is to be remembered there.
    pub(super) fn copy_entry(&self, path: &EntryPath, into: &mut Manifest) {
        macro_rules! copy {
            ($field:ident, $name:expr) => {
                if let Some(entry) = self.manifest.$field.get($name) {
                    into.$field.insert($name.clone(), entry.clone());
                }
            };
        }
        match path {
            // Every manifest has its own.
            EntryPath::Organization => {}
            EntryPath::Location(name) => copy!(locations, name),
            EntryPath::Unit(name) => copy!(units, name),
            EntryPath::Role(name) => copy!(roles, name),
            EntryPath::Person(name) => copy!(people, name),
            EntryPath::Assignment(name) => copy!(assignments, name),
            EntryPath::Policy(name) => copy!(policies, name),
            EntryPath::Delegation(name) | EntryPath::Relationship(name) => copy!(relationships, name),
            EntryPath::Key(name) => copy!(keys, name),
            EntryPath::Nats(path) => nats::copy(&self.manifest, path, into),
        }
    }
}
