//! The claims of an activation: one account lets another import.

use serde::{Deserialize, Serialize};

use super::{ExportType, Extra, Generic};

/// The body of an activation token; its subject is the importing account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// What may be imported.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Stream or service.
    pub kind: ExportType,
    /// The exporting account (`A…`), where one of its signing keys signs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// The common fields.
    #[serde(flatten)]
    pub generic: Generic,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Extra,
}
