//! What was applied last: the manifest in its normal form, with the identifier of every entry that it ever had.

use serde::{Deserialize, Serialize};

use super::entries::Ids;
use super::manifest::{EntryName, Manifest};

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
    pub(crate) fn copy_entry(&self, path: &str, into: &mut Manifest) {
        let (section, name) = path.split_once('.').unwrap_or((path, ""));
        if section == "nats" {
            super::nats::copy(&self.manifest, path, into);
            return;
        }
        if section == "assignments" {
            if let Some(assignment) = self.manifest.assignments.get(name) {
                into.assignments.insert(name.to_owned(), assignment.clone());
            }
            return;
        }
        let Ok(name) = EntryName::new(name) else { return };
        macro_rules! copy {
            ($field:ident) => {
                if let Some(entry) = self.manifest.$field.get(&name) {
                    into.$field.insert(name, entry.clone());
                }
            };
        }
        match section {
            "locations" => copy!(locations),
            "units" => copy!(units),
            "people" => copy!(people),
            "roles" => copy!(roles),
            "policies" => copy!(policies),
            "delegations" | "relationships" => copy!(relationships),
            "keys" => copy!(keys),
            _ => {}
        }
    }
}
