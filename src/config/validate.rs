//! What single values can't show: files, and keys that contradict each other.

use std::io::Read;
use std::path::Path;

use super::layers::{ConfigError, Problem};
use super::server_url::ServerUrl;
use super::values::{Config, NatsConfig, Payload};
use crate::text::visible;

/// The most that a certificate, key or credentials file may hold.
const MAX_FILE: u64 = 1024 * 1024;

/// A file of the configuration: its key, what must stand in it, what that is called, and whether it is secret.
struct FileRule {
    key: &'static str,
    marks: &'static [&'static str],
    what: &'static str,
    secret: bool,
}

const CREDENTIALS: FileRule = FileRule {
    key: "nats.credentials_file",
    marks: &["-----BEGIN NATS USER JWT-----", "-----BEGIN USER NKEY SEED-----"],
    what: "a NATS credentials file (a user JWT and its nkey seed)",
    secret: true,
};
const CA_CERT: FileRule = FileRule {
    key: "nats.tls.ca_cert",
    marks: &["-----BEGIN CERTIFICATE-----"],
    what: "a certificate in PEM",
    secret: false,
};
const CLIENT_CERT: FileRule = FileRule { key: "nats.tls.client_cert", ..CA_CERT };
const CLIENT_KEY: FileRule = FileRule {
    key: "nats.tls.client_key",
    marks: &["-----BEGIN ", "PRIVATE KEY-----"],
    what: "a private key in PEM",
    secret: true,
};

impl Config {
    /// Checks what single values can't show: files, and keys that contradict each other. All problems at once.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.nats.validate()
    }
}

impl NatsConfig {
    /// Checks what single values can't show: files, and keys that contradict each other. All problems at once.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems: Vec<String> = Vec::new();
        subjects(self, &mut problems);
        servers(self, &mut problems);
        modes(self, &mut problems);
        let tls = &self.tls;
        for (rule, path) in [
            (CREDENTIALS, &self.credentials_file),
            (CA_CERT, &tls.ca_cert),
            (CLIENT_CERT, &tls.client_cert),
            (CLIENT_KEY, &tls.client_key),
        ] {
            if let Some(path) = path
                && let Err(reason) = check_file(&rule, path)
            {
                problems.push(format!("{}: {reason}", rule.key));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(ConfigError { problems: problems.into_iter().map(|message| Problem { origin: None, message }).collect() })
    }
}

fn subjects(config: &NatsConfig, problems: &mut Vec<String>) {
    let (events, heads) = (&config.subject_prefix, &config.head_subject);
    if overlap(events.as_str(), heads.as_str()) {
        problems.push(format!(
            "nats.subject_prefix \"{events}\" and nats.head_subject \"{heads}\" overlap: who subscribes to one would \
             see the other; choose two that differ before either ends"
        ));
    }
    if let Some(inbox) = &config.inbox_prefix {
        for (key, prefix) in [("nats.subject_prefix", events), ("nats.head_subject", heads)] {
            if overlap(inbox.as_str(), prefix.as_str()) {
                problems.push(format!(
                    "nats.inbox_prefix \"{inbox}\" and {key} \"{prefix}\" overlap: the stream would keep replies; \
                     choose an inbox prefix of its own, such as _INBOX_publisher"
                ));
            }
        }
    }
    let reserved = ["OBJ_", "KV_"].iter().find(|start| config.stream_name.as_str().starts_with(**start));
    if let Some(start) = reserved {
        problems.push(format!(
            "nats.stream_name \"{}\": names that begin with {start} belong to object stores and key-value buckets; \
             choose another",
            config.stream_name
        ));
    }
}

fn servers(config: &NatsConfig, problems: &mut Vec<String>) {
    if config.air_gapped {
        for url in config.url.iter().filter(|url| !url.is_loopback()) {
            problems.push(format!(
                "nats.url \"{url}\": nats.air_gapped allows addresses of this machine only (localhost, 127.0.0.0/8, \
                 [::1]); take the address out, or set nats.air_gapped = false on a machine that may be connected"
            ));
        }
    }
    if config.credentials_file.is_some() && config.url.iter().any(ServerUrl::has_login) {
        problems.push(
            "nats.url carries a user and a password, and nats.credentials_file is set: a connection takes one of \
             them; remove the other"
                .into(),
        );
    }
    let mut logins: Vec<_> = config.url.iter().filter_map(ServerUrl::login).collect();
    logins.dedup();
    if logins.len() > 1 {
        problems.push(
            "nats.url carries different users or passwords: a publisher is one user on all servers; use one".into(),
        );
    }
    let tls = &config.tls;
    let pairs = [
        (&tls.client_cert, "nats.tls.client_cert", "nats.tls.client_key"),
        (&tls.client_key, "nats.tls.client_key", "nats.tls.client_cert"),
    ];
    if tls.client_cert.is_some() != tls.client_key.is_some() {
        for (_, there, missing) in pairs.iter().filter(|(path, ..)| path.is_some()) {
            problems.push(format!("{there} is set without {missing}: a client certificate needs both"));
        }
    }
}

fn modes(config: &NatsConfig, problems: &mut Vec<String>) {
    if !config.enable_ipld && config.payload == Payload::DagCbor {
        problems.push(
            "nats.enable_ipld = false sends plain JSON, and nats.payload = \"dag-cbor\" asks for canonical bytes; \
             change one of them"
                .into(),
        );
    }
    if !config.enable_jetstream && config.domain.is_some() {
        problems.push(
            "nats.domain is a JetStream domain, and nats.enable_jetstream = false uses no JetStream; change one of \
             them"
                .into(),
        );
    }
}

/// Whether one of two prefixes begins, token by token, with the other.
fn overlap(a: &str, b: &str) -> bool {
    a.split('.').zip(b.split('.')).all(|(a, b)| a == b)
}

fn check_file(rule: &FileRule, path: &Path) -> Result<(), String> {
    let name = visible(&path.display().to_string()).into_owned();
    let failed = |e: std::io::Error| format!("{name} can't be read ({e}); mend the path or the file");
    // A folder or a pipe must not be opened: reading a pipe waits forever.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{name} is not a file; name the file itself"));
    }
    if metadata.len() > MAX_FILE {
        return Err(format!("{name} is larger than {MAX_FILE} bytes; this is no {}", rule.what));
    }
    if rule.secret {
        check_mode(&name, &metadata)?;
    }
    let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)).map_err(failed)?;
    let there = rule.marks.iter().all(|mark| text.windows(mark.len()).any(|window| window == mark.as_bytes()));
    // Looked at so that the compiler keeps the overwriting.
    text.fill(0);
    std::hint::black_box(&text);
    if there { Ok(()) } else { Err(format!("{name} holds no {}; name the right file", article_free(rule.what))) }
}

fn article_free(what: &str) -> &str {
    what.strip_prefix("a ").unwrap_or(what)
}

#[cfg(unix)]
fn check_mode(name: &str, metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!("{name} is a secret that others on this machine may read (mode {mode:04o}); run: chmod 600 {name}"))
}

#[cfg(not(unix))]
fn check_mode(_: &str, _: &std::fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_overlap_by_token() {
        for (a, b, expected) in [
            ("cim.keys", "cim.checkpoints", false),
            ("cim", "cim.checkpoints", true),
            ("cim.keys", "cim.keys", true),
            ("cim.keys.heads", "cim.keys", true),
            ("cim.key", "cim.keys", false),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_default_is_valid() {
        assert!(NatsConfig::default().validate().is_ok());
    }
}
