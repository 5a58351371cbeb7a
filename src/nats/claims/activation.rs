//! The claims of an activation: one account lets another import.

use serde::{Deserialize, Serialize};

use super::common::{Body, Extra, Generic, body};

/// Stream or service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportType {
    /// Messages flow from the exporter.
    Stream,
    /// Requests flow to the exporter, replies from it.
    Service,
}

impl ExportType {
    /// `stream` or `service`, as the claims say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}

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

body!(Activation, "activation", &['A'], &['A', 'O']);
