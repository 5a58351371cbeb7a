//! What is configured, as values, and the defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::server_url::{ServerUrl, ServerUrls};
use crate::text::{InvalidText, Label, SubjectPrefix};

/// Everything that `config.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The `[nats]` table.
    pub nats: NatsConfig,
    /// The `[verify]` table.
    pub verify: VerifyConfig,
}

/// What a history is held to when it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyConfig {
    /// A policy file (C2SP tlog-policy) that says whose signatures a head must have.
    pub policy: Option<PathBuf>,
}

/// How and where events are published. The documentation of each key, as a user reads it, is in [`KEYS`](super::KEYS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// Whether events are published at all; they are queued either way.
    pub enabled: bool,
    /// The servers, in the order in which they are tried.
    pub url: ServerUrls,
    /// The JetStream stream that keeps the events; made when it is absent.
    pub stream_name: Label,
    /// The object store bucket for events that are larger than the server takes in one message.
    pub object_store_bucket: Label,
    /// The beginning of every event's subject.
    pub subject_prefix: SubjectPrefix,
    /// The beginning of the subject of heads, the small messages that close a batch; the source follows as one token.
    pub head_subject: SubjectPrefix,
    /// Whether events go to JetStream. Core NATS, the alternative, delivers at most once.
    pub enable_jetstream: bool,
    /// Whether a message's body carries the CID (or is the block); otherwise it is the event as plain JSON.
    pub enable_ipld: bool,
    /// The encoding of a message's body.
    pub payload: Payload,
    /// How many copies a stream or a bucket that is made here keeps, 1 to 5.
    pub replicas: u8,
    /// How many events at most go out in one batch, 1 to 999.
    pub publish_batch: u16,
    /// How many refusals by the server that are about an event itself it takes until the event is parked.
    pub max_retries: u32,
    /// How long an attempt to connect, and a request to the server, may take.
    pub connection_timeout_secs: u32,
    /// The JetStream domain, where the stream is in another one than the server's.
    pub domain: Option<Label>,
    /// What the subjects for replies begin with, where the user may not subscribe to the default `_INBOX.>`.
    pub inbox_prefix: Option<InboxPrefix>,
    /// Whether any address but loopback is refused, and servers that others tell of are ignored.
    pub air_gapped: bool,
    /// The credentials of a user of a server with decentralised authentication (`nsc`'s `.creds`).
    pub credentials_file: Option<PathBuf>,
    /// The `[nats.tls]` table.
    pub tls: TlsConfig,
}

/// Each with its reason.
impl Default for NatsConfig {
    fn default() -> Self {
        let label = |text| Label::new(text).expect("the literals below are labels");
        let prefix = |text| SubjectPrefix::new(text).expect("the literals below are subject prefixes");
        Self {
            enabled: true,
            url: "nats://localhost:4222".parse().expect("the literal is an address"),
            stream_name: label("CIM_KEYS_EVENTS"),
            object_store_bucket: label("cim-keys-objects"),
            subject_prefix: prefix("cim.keys"),
            head_subject: prefix("cim.checkpoints"),
            enable_jetstream: true,
            enable_ipld: true,
            payload: Payload::DagJson,
            // What a single server can do; who runs a cluster says so.
            replicas: 1,
            // The most that a server takes in one batch is 1,000, and one of them is the head.
            publish_batch: 999,
            max_retries: 3,
            connection_timeout_secs: 10,
            domain: None,
            inbox_prefix: None,
            air_gapped: false,
            credentials_file: None,
            tls: TlsConfig::default(),
        }
    }
}

impl NatsConfig {
    /// Whether the connection has to be encrypted: because an address begins with `tls://`, or because anything of
    /// `[nats.tls]` is set.
    #[must_use]
    pub fn requires_tls(&self) -> bool {
        self.tls != TlsConfig::default() || self.url.iter().any(ServerUrl::is_tls)
    }

    /// [`NatsConfig::connection_timeout_secs`] as a duration.
    #[must_use]
    pub fn connection_timeout(&self) -> Duration {
        Duration::from_secs(self.connection_timeout_secs.into())
    }
}

/// How a TLS connection is made. The server's certificate is always verified, and nothing turns that off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// The authorities to trust, in PEM, instead of those of the system.
    pub ca_cert: Option<PathBuf>,
    /// Our certificate, in PEM, with its intermediates.
    pub client_cert: Option<PathBuf>,
    /// The private key of our certificate, in PEM.
    pub client_key: Option<PathBuf>,
    /// Whether the TLS handshake comes before the server's greeting (`handshake_first` on the server).
    pub handshake_first: bool,
}

/// The encoding of a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Payload {
    /// DAG-JSON: `{"cid":{"/":"bafy…"},"event":{…}}`.
    #[default]
    DagJson,
    /// DAG-CBOR: the event's canonical bytes, whose hash is in the CID.
    DagCbor,
}

impl Payload {
    /// The name, as it is configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DagJson => "dag-json",
            Self::DagCbor => "dag-cbor",
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Payload {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        [Self::DagJson, Self::DagCbor]
            .into_iter()
            .find(|payload| payload.name() == text)
            .ok_or_else(|| InvalidText::new("payload", text, "\"dag-json\" or \"dag-cbor\" is needed"))
    }
}

/// What the subjects for replies begin with: `_INBOX` or a subject prefix of one's own, such as `_INBOX_publisher` or
/// `_INBOX.publisher`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPrefix(String);

impl InboxPrefix {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InboxPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for InboxPrefix {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let own = text.strip_prefix("_INBOX.").unwrap_or(text);
        if text != "_INBOX" {
            SubjectPrefix::new(own).map_err(|e| InvalidText::new("inbox prefix", text, e.reason))?;
        }
        Ok(Self(text.to_owned()))
    }
}
