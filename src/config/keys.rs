//! Every key there is: its name, meaning, default, and how a value gets in and out.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::values::Config;

/// One key of the configuration.
pub struct Key {
    /// The name, with dots: `nats.tls.ca_cert`.
    pub name: &'static str,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
    pub(super) kind: Kind,
    /// What an example shows, commented out, for a key that is better left unset unless the user sets it.
    pub(super) sample: &'static str,
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
    pub(super) get: fn(&Config) -> Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Switch,
    Number,
    Text,
    List,
    Path,
}

/// A value on its way into or out of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Switch(bool),
    Number(u64),
    Text(String),
    List(Vec<String>),
}

impl Key {
    /// The environment variable that sets it: `CIM_KEYS_NATS_TLS_CA_CERT`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("CIM_KEYS_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The default, as TOML writes it; `None` for a key that is not set unless someone sets it.
    #[must_use]
    pub fn default(&self) -> Option<String> {
        (self.get)(&Config::default()).map(|value| value.to_string())
    }

    /// The type of the value, in words.
    #[must_use]
    pub const fn expects(&self) -> &'static str {
        match self.kind {
            Kind::Switch => "true or false",
            Kind::Number => "a whole number",
            Kind::Text => "a text in quotes",
            Kind::List => "a text in quotes, or a list of them",
            Kind::Path => "a path in quotes",
        }
    }

    /// Reads a value that was given as bare text, by a variable or a flag.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Switch => text.parse().map(Value::Switch).map_err(|_| "true or false is needed".to_owned()),
            Kind::Number => text.parse().map(Value::Number).map_err(|_| "a whole number is needed".to_owned()),
            Kind::Text | Kind::Path => Ok(Value::Text(text.to_owned())),
            Kind::List => Ok(Value::List(text.split(',').map(|part| part.trim().to_owned()).collect())),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

impl fmt::Display for Value {
    /// As TOML writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        match self {
            Self::Switch(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => f.write_str(&quoted(value)),
            Self::List(values) if values.len() == 1 => f.write_str(&quoted(&values[0])),
            Self::List(values) => {
                write!(f, "[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// Every key, in the order of the example file.
pub const KEYS: &[Key] = &[
    Key {
        name: "nats.enabled",
        doc: "Whether events are published. Off, they are only kept, and go out once this is on.",
        kind: Kind::Switch,
        sample: "",
        set: |c, v| switch(&mut c.nats.enabled, v),
        get: |c| Some(Value::Switch(c.nats.enabled)),
    },
    Key {
        name: "nats.url",
        doc: "The servers: nats://HOST[:PORT] or tls://HOST[:PORT], several as a list or joined by commas; USER:PASSWORD@ may stand before the host, percent-encoded, the same for all. The first that answers is used. Only an address that is set is published to after a command; the default is for `cim-keys sync` and other commands that are there to connect.",
        kind: Kind::List,
        sample: "\"nats://localhost:4222\"",
        set: |c, v| {
            let parts = match v {
                Value::List(parts) => parts.join(","),
                Value::Text(text) => text.clone(),
                _ => return Err("a text in quotes, or a list of them, is needed".into()),
            };
            c.nats.url = parts.parse().map_err(|e: crate::text::InvalidText| e.to_string())?;
            Ok(())
        },
        get: |c| Some(Value::List(c.nats.url.iter().map(ToString::to_string).collect())),
    },
    Key {
        name: "nats.stream_name",
        doc: "The JetStream stream that keeps the events. It is made when it is absent, and checked when it is there.",
        kind: Kind::Text,
        sample: "",
        set: |c, v| parsed(&mut c.nats.stream_name, v),
        get: |c| shown(&c.nats.stream_name),
    },
    Key {
        name: "nats.object_store_bucket",
        doc: "The object store bucket for events that are larger than one message may be; their message carries a link. It is made when it is first needed.",
        kind: Kind::Text,
        sample: "",
        set: |c, v| parsed(&mut c.nats.object_store_bucket, v),
        get: |c| shown(&c.nats.object_store_bucket),
    },
    Key {
        name: "nats.subject_prefix",
        doc: "The beginning of every event's subject: PREFIX.AGGREGATE.EVENTTYPE.",
        kind: Kind::Text,
        sample: "",
        set: |c, v| parsed(&mut c.nats.subject_prefix, v),
        get: |c| shown(&c.nats.subject_prefix),
    },
    Key {
        name: "nats.head_subject",
        doc: "The beginning of the subject of heads, the small messages that close each batch: HEAD_SUBJECT.SOURCE. It must not overlap with subject_prefix, so that subscribers to events don't see heads.",
        kind: Kind::Text,
        sample: "",
        set: |c, v| parsed(&mut c.nats.head_subject, v),
        get: |c| shown(&c.nats.head_subject),
    },
    Key {
        name: "nats.enable_jetstream",
        doc: "Whether events go to JetStream: kept, in order, exactly once. Off, they go to core NATS: at most once, to whoever listens at that moment.",
        kind: Kind::Switch,
        sample: "",
        set: |c, v| switch(&mut c.nats.enable_jetstream, v),
        get: |c| Some(Value::Switch(c.nats.enable_jetstream)),
    },
    Key {
        name: "nats.enable_ipld",
        doc: "Whether a message's body lets the receiver check the event against its content identifier. Off, the body is the event as plain JSON.",
        kind: Kind::Switch,
        sample: "",
        set: |c, v| switch(&mut c.nats.enable_ipld, v),
        get: |c| Some(Value::Switch(c.nats.enable_ipld)),
    },
    Key {
        name: "nats.payload",
        doc: "The encoding of a message's body: \"dag-json\" (readable, with the content identifier inside) or \"dag-cbor\" (the canonical bytes themselves).",
        kind: Kind::Text,
        sample: "",
        set: |c, v| parsed(&mut c.nats.payload, v),
        get: |c| shown(&c.nats.payload),
    },
    Key {
        name: "nats.replicas",
        doc: "How many servers of a cluster keep a copy of a stream or bucket that is made here, 1 to 5; 3 survives the loss of one. One that exists is left as it is.",
        kind: Kind::Number,
        sample: "",
        set: |c, v| number(&mut c.nats.replicas, v, 1, 5),
        get: |c| Some(Value::Number(c.nats.replicas.into())),
    },
    Key {
        name: "nats.publish_batch",
        doc: "How many events at most go out in one batch, 1 to 999. Fewer use less memory on the server and are slower.",
        kind: Kind::Number,
        sample: "",
        set: |c, v| number(&mut c.nats.publish_batch, v, 1, 999),
        get: |c| Some(Value::Number(c.nats.publish_batch.into())),
    },
    Key {
        name: "nats.max_retries",
        doc: "How often an event that the server refuses for what it is (too large, subject denied) is tried again before it is parked, 0 to 1000. An outage is no refusal: it never parks anything.",
        kind: Kind::Number,
        sample: "",
        set: |c, v| number(&mut c.nats.max_retries, v, 0, 1_000),
        get: |c| Some(Value::Number(c.nats.max_retries.into())),
    },
    Key {
        name: "nats.connection_timeout_secs",
        doc: "How many seconds an attempt to connect, or a request to the server, may take, 1 to 600.",
        kind: Kind::Number,
        sample: "",
        set: |c, v| number(&mut c.nats.connection_timeout_secs, v, 1, 600),
        get: |c| Some(Value::Number(c.nats.connection_timeout_secs.into())),
    },
    Key {
        name: "nats.air_gapped",
        doc: "Whether every address but this machine's own (localhost, 127.0.0.0/8, ::1) is refused, and addresses that a server tells of are ignored.",
        kind: Kind::Switch,
        sample: "",
        set: |c, v| switch(&mut c.nats.air_gapped, v),
        get: |c| Some(Value::Switch(c.nats.air_gapped)),
    },
    Key {
        name: "nats.domain",
        doc: "The JetStream domain of the stream, where it is not the one of the server that is connected to (leaf nodes).",
        kind: Kind::Text,
        sample: "\"hub\"",
        set: |c, v| optional(&mut c.nats.domain, v),
        get: |c| c.nats.domain.as_ref().and_then(shown),
    },
    Key {
        name: "nats.inbox_prefix",
        doc: "What the subjects for replies begin with, where the user may not subscribe to _INBOX.>, which is meant when this is not set.",
        kind: Kind::Text,
        sample: "\"_INBOX_publisher\"",
        set: |c, v| optional(&mut c.nats.inbox_prefix, v),
        get: |c| c.nats.inbox_prefix.as_ref().and_then(shown),
    },
    Key {
        name: "nats.credentials_file",
        doc: "The .creds file of a user of a server with JWT authentication. Only its owner may read it (mode 0600).",
        kind: Kind::Path,
        sample: "\"/path/to/nats.creds\"",
        set: |c, v| optional(&mut c.nats.credentials_file, v),
        get: |c| path(&c.nats.credentials_file),
    },
    Key {
        name: "nats.tls.ca_cert",
        doc: "The certificate authorities to trust, in PEM, instead of the system's. Anything under [nats.tls] makes TLS mandatory, also for nats:// addresses.",
        kind: Kind::Path,
        sample: "\"/path/to/ca-cert.pem\"",
        set: |c, v| optional(&mut c.nats.tls.ca_cert, v),
        get: |c| path(&c.nats.tls.ca_cert),
    },
    Key {
        name: "nats.tls.client_cert",
        doc: "Our own certificate, in PEM, followed by its intermediates, for servers that verify their clients. It needs client_key.",
        kind: Kind::Path,
        sample: "\"/path/to/client-cert.pem\"",
        set: |c, v| optional(&mut c.nats.tls.client_cert, v),
        get: |c| path(&c.nats.tls.client_cert),
    },
    Key {
        name: "nats.tls.client_key",
        doc: "The private key of client_cert, in PEM. Only its owner may read it (mode 0600).",
        kind: Kind::Path,
        sample: "\"/path/to/client-key.pem\"",
        set: |c, v| optional(&mut c.nats.tls.client_key, v),
        get: |c| path(&c.nats.tls.client_key),
    },
    Key {
        name: "nats.tls.handshake_first",
        doc: "Whether TLS begins before the server's greeting, as handshake_first asks for on the server.",
        kind: Kind::Switch,
        sample: "",
        set: |c, v| switch(&mut c.nats.tls.handshake_first, v),
        get: |c| Some(Value::Switch(c.nats.tls.handshake_first)),
    },
    Key {
        name: "verify.policy",
        doc: "A policy file (C2SP tlog-policy) that says whose signatures a head must have for `cim-keys verify` to pass; --policy names another.",
        kind: Kind::Path,
        sample: "\"/path/to/witnesses.policy\"",
        set: |c, v| optional(&mut c.verify.policy, v),
        get: |c| path(&c.verify.policy),
    },
];

/// The key of a name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Config {
    /// A commented `config.toml` that says nothing but the defaults. Keys without one are commented out, and so is the
    /// address: setting it means that commands publish.
    #[must_use]
    pub fn example() -> String {
        let mut out = String::from(
            "# The configuration of cim-keys. Every line below says what holds without it.\n\
             # A CIM_KEYS_* variable overrides a line here, and a flag overrides both: `cim-keys config show --origin`.\n",
        );
        let mut table = "";
        for key in KEYS {
            let (in_table, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            if in_table != table {
                out += &format!("\n[{in_table}]\n");
                table = in_table;
            }
            for line in wrapped(key.doc, 116) {
                out += &format!("# {line}\n");
            }
            match key.default() {
                Some(value) if key.sample.is_empty() => out += &format!("{name} = {value}\n"),
                _ => out += &format!("# {name} = {}\n", key.sample),
            }
        }
        out
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] += gap;
            lines[last] += word;
        }
    }
    lines
}

fn switch(place: &mut bool, value: &Value) -> Result<(), String> {
    let Value::Switch(value) = value else { return Err("true or false is needed".into()) };
    *place = *value;
    Ok(())
}

fn number<T: TryFrom<u64>>(place: &mut T, value: &Value, least: u64, most: u64) -> Result<(), String> {
    let wrong = || format!("a whole number from {least} to {most} is needed");
    let Value::Number(value) = value else { return Err(wrong()) };
    if !(least..=most).contains(value) {
        return Err(wrong());
    }
    *place = T::try_from(*value).map_err(|_| wrong())?;
    Ok(())
}

fn parsed<T: FromStr<Err: fmt::Display>>(place: &mut T, value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else { return Err("a text in quotes is needed".into()) };
    *place = text.parse().map_err(|e: T::Err| e.to_string())?;
    Ok(())
}

/// An empty text takes back what a lower layer said.
fn optional<T: FromStr<Err: fmt::Display>>(place: &mut Option<T>, value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else { return Err("a text in quotes is needed".into()) };
    *place = if text.is_empty() { None } else { Some(text.parse().map_err(|e: T::Err| e.to_string())?) };
    Ok(())
}

// One signature for all getters.
#[expect(clippy::unnecessary_wraps)]
fn shown(value: &impl ToString) -> Option<Value> {
    Some(Value::Text(value.to_string()))
}

fn path(value: &Option<PathBuf>) -> Option<Value> {
    value.as_ref().map(|path| Value::Text(path.display().to_string()))
}
