//! An operator's claims.

use serde::{Deserialize, Serialize};

use super::common::{Body, Extra, Generic, body, is_zero};

/// The body of an operator token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Keys (`O…`) that sign accounts beside the identity key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<String>,
    /// Where account tokens are looked up: a URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account_server_url: String,
    /// Where clients connect: `nats`, `tls`, `ws` or `wss` URLs without path and credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator_service_urls: Vec<String>,
    /// The system account (`A…`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// The oldest server that may be used: `x.y.z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub assert_server_version: String,
    /// Whether identity keys sign nothing but themselves.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strict_signing_key_usage: bool,
    /// The common fields.
    #[serde(flatten)]
    pub generic: Generic,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Extra,
}

body!(Operator, "operator", &['O'], &['O']);
