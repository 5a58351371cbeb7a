//! What the claims of all kinds of tokens have in common.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// No limit, as the server writes it.
pub const NO_LIMIT: i64 = -1;

/// Fields that a newer version of the claims brought, kept as they came.
pub type Extra = Map<String, Value>;

pub(super) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What Go writes for an empty slice or map now and then.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The registered claims that every token carries, in the order in which they are hashed and written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// `aud`: for whom, where that is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub aud: String,
    /// `exp`: good until this second of the Unix epoch; 0 is for ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub exp: i64,
    /// `jti`: base32 of SHA-512/256 over these fields with an empty `jti`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// `iat`: issued at this second of the Unix epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub iat: i64,
    /// `iss`: the public key that signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub iss: String,
    /// `name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `nbf`: not good before this second of the Unix epoch; 0 is from ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nbf: i64,
    /// `sub`: the public key that the token is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub: String,
}

/// What the `nats` object of each kind of token has in common: written last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generic {
    /// Words in lower case; `key:value` for templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The kind of token.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The version of the claims: 2.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub version: i64,
}

/// A whole token's claims: the registered ones and the body of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims<B> {
    /// The registered claims.
    #[serde(flatten)]
    pub registered: Registered,
    /// The body.
    pub nats: B,
}

/// A body of claims: which kind it is, and who may sign it.
pub trait Body: Clone + Serialize + for<'de> Deserialize<'de> {
    /// The kind, as `nats.type` names it.
    const KIND: &'static str;
    /// The kinds of key (first letter of the public key) that the token may be about.
    const SUBJECT: &'static [char];
    /// The kinds of key that may sign it.
    const ISSUERS: &'static [char];
    /// The common fields.
    fn generic_mut(&mut self) -> &mut Generic;
    /// The common fields.
    fn generic(&self) -> &Generic;
    /// Makes of the texts of tokens inside it what is recorded of them; gives the texts.
    fn take_texts(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Whether it is as servers read it: with texts of tokens, and not with what is recorded of them.
    fn is_for_servers(&self) -> bool {
        true
    }
}

/// Makes a type the body of a kind of token.
macro_rules! body {
    ($type:ty, $kind:literal, $subject:expr, $issuers:expr $(, $own:item)*) => {
        impl Body for $type {
            const KIND: &'static str = $kind;
            const SUBJECT: &'static [char] = $subject;
            const ISSUERS: &'static [char] = $issuers;
            fn generic_mut(&mut self) -> &mut Generic {
                &mut self.generic
            }
            fn generic(&self) -> &Generic {
                &self.generic
            }
            $($own)*
        }
    };
}
pub(super) use body;

/// A generic token's body: any fields. A signed request to delete accounts is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenericBody {
    /// The common fields. They stand first, so that they are not among the others when a token is read.
    #[serde(flatten)]
    pub generic: Generic,
    /// The fields.
    #[serde(flatten)]
    pub fields: Extra,
}

body!(GenericBody, "generic", &['O', 'A', 'U', 'N', 'C', 'X'], &['O', 'A', 'U', 'N', 'C']);
