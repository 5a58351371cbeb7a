//! What servers answer on system subjects: an envelope with the server's name, and data or an error.

use std::fmt;

use serde::Deserialize;

/// A server, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct ServerId {
    /// Its name; its id where it was given none.
    pub name: String,
    /// Its id (`N…`), new with each start.
    pub id: String,
    /// Its version.
    #[serde(default, rename = "ver")]
    pub version: String,
    /// The cluster that it is in.
    #[serde(default)]
    pub cluster: Option<String>,
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// One server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// Whose.
    pub server: ServerId,
    /// What it said, or why it did not do what was asked.
    pub outcome: Result<T, String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    server: ServerId,
    #[serde(default = "none")]
    data: Option<T>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    description: String,
}

impl<T: for<'de> Deserialize<'de>> Answer<T> {
    /// Reads an answer; what is none is passed over.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let envelope: Envelope<T> = serde_json::from_slice(bytes).ok()?;
        let outcome = match (envelope.data, envelope.error) {
            (_, Some(error)) => Err(error.description),
            (Some(data), None) => Ok(data),
            (None, None) => return None,
        };
        Some(Self { server: envelope.server, outcome })
    }
}

impl<T> Answer<T> {
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { server: self.server, outcome: self.outcome.map(map) }
    }
}

/// The part of a STATSZ reply that tells how many servers there are.
#[derive(Deserialize)]
pub(super) struct PingReply {
    pub(super) statsz: Statsz,
}

#[derive(Deserialize)]
pub(super) struct Statsz {
    #[serde(default)]
    pub(super) active_servers: usize,
}

impl PingReply {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// An operator that a server trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// Its identity key (`O…`).
    pub operator: String,
    /// Its signing keys.
    pub signing_keys: Vec<String>,
    /// Whether what the identity key signs is refused.
    pub strict: bool,
}

impl Trusted {
    /// Whether the server takes accounts that this key signed.
    #[must_use]
    pub fn trusts(&self, issuer: &str) -> bool {
        self.signing_keys.iter().any(|key| key == issuer) || (!self.strict && self.operator == issuer)
    }
}

/// The part of VARZ that says whom a server trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Varz {
    /// The operators; none where the server does not use decentralised authentication.
    pub trusted: Vec<Trusted>,
    /// The operators' tokens.
    pub operator_tokens: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct VarzData {
    #[serde(default)]
    trusted_operators_claim: Option<Vec<OperatorClaim>>,
    #[serde(default)]
    trusted_operators_jwt: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct OperatorClaim {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    nats: OperatorBody,
}

#[derive(Default, Deserialize)]
struct OperatorBody {
    #[serde(default)]
    signing_keys: Option<Vec<String>>,
    #[serde(default)]
    strict_signing_key_usage: bool,
}

impl From<VarzData> for Varz {
    fn from(data: VarzData) -> Self {
        let trusted = data.trusted_operators_claim.unwrap_or_default().into_iter().map(|claim| Trusted {
            operator: claim.sub,
            signing_keys: claim.nats.signing_keys.unwrap_or_default(),
            strict: claim.nats.strict_signing_key_usage,
        });
        Self { trusted: trusted.collect(), operator_tokens: data.trusted_operators_jwt.unwrap_or_default() }
    }
}

/// What a server says of a token that it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UpdateStatus {
    /// 200: it was taken, or skipped. That is no proof of anything.
    #[serde(default)]
    pub code: u16,
    /// In words: `jwt updated`, `jwt updated cache`, `jwt update cache skipped`.
    #[serde(default)]
    pub message: String,
}

/// What a server has loaded of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountInfo {
    /// The text of the token that is in force.
    #[serde(default)]
    pub jwt: String,
    /// Whether the account has expired or was deleted there: its clients were closed.
    #[serde(default)]
    pub expired: bool,
    /// Clients that are connected to this server.
    #[serde(default)]
    pub client_connections: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_are_read_with_their_server() {
        let good = br#"{"server":{"name":"n1","id":"NA","ver":"2.15.1"},"data":{"account":"A","code":200,"message":"jwt updated"}}"#;
        let answer = Answer::<UpdateStatus>::read(good).unwrap();
        assert_eq!((answer.server.name.as_str(), answer.outcome.unwrap().code), ("n1", 200));
        let bad = br#"{"server":{"name":"n1","id":"NA"},"error":{"account":"A","code":500,"description":"no"}}"#;
        assert_eq!(Answer::<UpdateStatus>::read(bad).unwrap().outcome.unwrap_err(), "no");
        let none = br#"{"server":{"name":"n1","id":"NA"},"data":null}"#;
        assert!(Answer::<UpdateStatus>::read(none).is_none());
        assert!(Answer::<UpdateStatus>::read(b"not json").is_none());
    }

    #[test]
    fn a_strict_operator_is_trusted_for_its_signing_keys_only() {
        let loose = Trusted { operator: "OA".into(), signing_keys: vec!["OB".into()], strict: false };
        let strict = Trusted { strict: true, ..loose.clone() };
        assert!(loose.trusts("OA") && loose.trusts("OB") && !loose.trusts("OC"));
        assert!(!strict.trusts("OA") && strict.trusts("OB"));
    }
}
