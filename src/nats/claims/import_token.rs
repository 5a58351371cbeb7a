//! The activation of an import: as servers read it, and as it is recorded.

use std::fmt;

use cid::Cid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::activation::Activation;
use super::common::Claims;
use crate::ipld_support::{cid_of_blob, parse_cid};
use crate::nats::jwt;

/// The activation of an import.
///
/// In a token that servers read it is a text. An event never holds the text of a token: what is recorded of it is a
/// [`TokenReference`], written `{"cid":"bafkrei…","claims":{…}}`, and the text is a restricted block.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum ImportToken {
    /// None is needed.
    #[default]
    None,
    /// The text of a token.
    Text(String),
    /// Where the text lies. Servers of JWT version 2 fetch none; tokens that were made elsewhere may still say so.
    Url(String),
    /// What is recorded of a token.
    Reference(Box<TokenReference>),
}

/// A token by what it says and the content identifier of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReference {
    /// Of the text, as a raw block; in base32.
    #[serde(with = "cid_text")]
    pub cid: Cid,
    /// What it says, with `jti`, issuer, subject and expiry; absent where the text is no activation that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims<Activation>>,
}

impl ImportToken {
    /// Takes what stands in a token: the text of another, or a URL.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        match text {
            text if text.is_empty() => Self::None,
            text if text.contains("://") => Self::Url(text),
            text => Self::Text(text),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// What is recorded of it. A text becomes its reference; a URL loses what may be a secret in it: user, query and fragment.
    #[must_use]
    pub fn to_record(&self) -> Self {
        match self {
            Self::Text(text) => {
                Self::Reference(Box::new(TokenReference { cid: cid_of_blob(text.as_bytes()), claims: self.claims() }))
            }
            Self::Url(url) => Self::Url(without_secrets(url)),
            Self::None | Self::Reference(_) => self.clone(),
        }
    }

    /// What it says, where it is an activation that holds.
    #[must_use]
    pub fn claims(&self) -> Option<Claims<Activation>> {
        match self {
            Self::Text(text) => jwt::decode(text).ok(),
            Self::Reference(reference) => reference.claims.clone(),
            Self::None | Self::Url(_) => None,
        }
    }

    /// The content identifier of its text.
    #[must_use]
    pub fn cid(&self) -> Option<Cid> {
        match self {
            Self::Text(text) => Some(cid_of_blob(text.as_bytes())),
            Self::Reference(reference) => Some(reference.cid),
            Self::None | Self::Url(_) => None,
        }
    }
}

/// The text is left out: what is printed may end in a log.
impl fmt::Debug for ImportToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => write!(f, "Text({})", self.cid().unwrap_or_default()),
            Self::Url(url) => write!(f, "Url({:?})", without_secrets(url)),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl Serialize for ImportToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str(""),
            Self::Text(text) | Self::Url(text) => serializer.serialize_str(text),
            Self::Reference(reference) => reference.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ImportToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Reference(Box<TokenReference>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self::from_text(text),
            Written::Reference(reference) => Self::Reference(reference),
        })
    }
}

/// A URL without user, query and fragment.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

mod cid_text {
    use super::{Cid, Deserialize as _, Deserializer, Serializer, parse_cid};

    pub(super) fn serialize<S: Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cid, D::Error> {
        parse_cid(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_are_recorded_without_what_may_be_secret_in_them() {
        for (url, recorded) in [
            ("https://a.example/x/y.jwt", "https://a.example/x/y.jwt"),
            ("https://kim:pw@a.example:1/x?key=s3cret#f", "https://a.example:1/x"),
            ("https://a.example?key=s3cret", "https://a.example"),
            ("https://a@b@c.example#k", "https://c.example"),
        ] {
            let token = ImportToken::from_text(url.to_owned());
            assert_eq!(token.to_record(), ImportToken::Url(recorded.to_owned()));
            assert_eq!(token.to_record().to_record(), token.to_record());
            assert!(!format!("{token:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_text_is_recorded_as_its_reference_also_when_it_is_no_token() {
        let token = ImportToken::from_text("neither.a.token".to_owned());
        let ImportToken::Reference(reference) = token.to_record() else { unreachable!("it is a text") };
        assert_eq!((reference.cid, reference.claims.as_ref()), (cid_of_blob(b"neither.a.token"), None));
        let written = serde_json::to_string(&token.to_record()).unwrap();
        assert_eq!(written, format!("{{\"cid\":\"{}\"}}", reference.cid));
        assert_eq!(serde_json::from_str::<ImportToken>(&written).unwrap(), token.to_record());
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"neither.a.token\"");
        assert!(!format!("{token:?}").contains("neither"));
    }
}
