//! A plan in a file: what was reviewed is what is carried out, or nothing.

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::plan::Request;
use super::plan::{Options, Plan};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::ids::LedgerId;
use crate::ipld_support::cid_of_blob;
use crate::text::Name;

const FORMAT: &str = "cim-keys-plan/1";

/// The largest plan file that is read.
pub const MAX_PLAN_BYTES: usize = 64 * 1024 * 1024;

/// A plan as it stands in a file: JSON, for people and programs to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    format: String,
    /// For which ledger.
    pub ledger_id: LedgerId,
    /// The position that the ledger was at.
    pub position: u64,
    /// The content identifier of the event at that position.
    pub head: String,
    /// The name under which the manifest is remembered.
    pub name: Name,
    /// How it is applied.
    pub options: Options,
    /// What is to be done, for review.
    pub plan: Plan,
    /// What is to be so.
    pub manifest: Manifest,
    /// The texts of activations that the manifest names by their content identifiers. They are no part of what is
    /// recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activations: Vec<String>,
}

/// A file that is no plan of this release.
#[derive(Debug, thiserror::Error)]
#[error("the file is no saved plan that this release reads: {0}")]
pub struct InvalidPlan(String);

impl Explained for InvalidPlan {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        vec![Advice::Run(Action::SavePlan, "makes it again")]
    }
}

impl SavedPlan {
    pub(crate) fn new(
        ledger_id: LedgerId,
        position: u64,
        head: String,
        name: Name,
        options: Options,
        plan: Plan,
        manifest: Manifest,
    ) -> Self {
        let activations = manifest.activations.values().cloned().collect();
        Self { format: FORMAT.to_owned(), ledger_id, position, head, name, options, plan, manifest, activations }
    }

    /// What is to be applied.
    #[must_use]
    pub fn into_request(self) -> Request {
        let Self { mut manifest, name, options, activations, .. } = self;
        manifest.activations.extend(activations.into_iter().map(|text| (cid_of_blob(text.as_bytes()), text)));
        manifest.take_activations();
        Request { manifest, name, options }
    }

    /// Whether a file is a saved plan rather than an apply file, judged by its beginning.
    #[must_use]
    pub fn looks_like_one(bytes: &[u8]) -> bool {
        bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // A plan is maps with text keys, lists, texts and numbers: it always is JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is none, or of another release.
    pub fn from_text(text: &str) -> Result<Self, InvalidPlan> {
        if text.len() > MAX_PLAN_BYTES {
            return Err(InvalidPlan(format!("it has more than {MAX_PLAN_BYTES} bytes")));
        }
        let plan: Self = serde_json::from_str(text).map_err(|error| InvalidPlan(error.to_string()))?;
        if plan.format != FORMAT {
            return Err(InvalidPlan(format!("its format is {:?}, not {FORMAT:?}", plan.format)));
        }
        Ok(plan)
    }
}
