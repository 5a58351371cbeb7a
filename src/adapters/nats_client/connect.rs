//! The connection: its options, and what its failures mean.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::mpsc::UnboundedSender;

use super::errors::ConnectError;
use crate::config::NatsConfig;
use crate::text::visible;

/// Connects once, to the first server of the configuration that answers. From then on the client reconnects by itself.
///
/// It is the only client of its driver for as long as that lives: what an abandoned client still holds would be sent
/// whenever its server comes back.
pub(in crate::adapters) async fn connect(
    config: &NatsConfig,
    events: UnboundedSender<Event>,
) -> Result<Client, ConnectError> {
    let options = options(config, events).await?;
    let servers: Vec<String> = config.url.iter().map(crate::config::ServerUrl::reveal).collect();
    options.connect(servers).await.map_err(|error| failure(config, &error))
}

/// Logs in once, as a publisher would, and leaves again.
///
/// # Errors
/// With what stood in the way: no server, TLS, the credentials.
pub async fn log_in(config: &NatsConfig) -> Result<(), ConnectError> {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let client = connect(config, events).await?;
    // Nothing is under way on it: leaving can't fail in a way that matters.
    let _ = client.drain().await;
    Ok(())
}

async fn options(config: &NatsConfig, events: UnboundedSender<Event>) -> Result<ConnectOptions, ConnectError> {
    let timeout = config.connection_timeout();
    let mut options = ConnectOptions::new()
        .name("cim-keys")
        .connection_timeout(timeout)
        .request_timeout(Some(timeout))
        // What waits in this channel outlives a connection: little is safer than much.
        .client_capacity(256)
        // A server that hangs is noticed after two of these.
        .ping_interval(Duration::from_secs(2))
        .retain_servers_order()
        .reconnect_delay_callback(|attempts| match attempts {
            // The client asks before the first attempt, too.
            0 | 1 => Duration::ZERO,
            more => pause(more - 1, Duration::from_millis(100), Duration::from_secs(5)),
        })
        .event_callback(move |event| {
            // The receiver is gone only when the driver is.
            let _ = events.send(event);
            std::future::ready(())
        });
    if config.air_gapped {
        options = options.ignore_discovered_servers();
    }
    if let Some(prefix) = &config.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    if let Some(path) = &config.credentials_file {
        options = options.credentials_file(path).await.map_err(|error| ConnectError::CredentialsFile {
            path: path.display().to_string(),
            problem: visible(&error.to_string()).into_owned(),
        })?;
    }
    // The client does not look for a user in the addresses.
    if let Some((user, password)) = config.url.iter().find_map(crate::config::ServerUrl::login) {
        options = options.user_and_password(user, password);
    }
    let tls = &config.tls;
    if config.requires_tls() {
        options = options.require_tls(true);
    }
    if let Some(authority) = &tls.ca_cert {
        options = options.add_root_certificates(authority.clone());
    }
    if let (Some(certificate), Some(key)) = (&tls.client_cert, &tls.client_key) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if tls.handshake_first {
        options = options.tls_first();
    }
    Ok(options)
}

/// A pause that doubles with each attempt, and is never the same for two publishers that lost one server.
pub(in crate::adapters) fn pause(attempts: usize, first: Duration, longest: Duration) -> Duration {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    jitter(first.saturating_mul(1 << exponent).min(longest))
}

/// Three quarters to five quarters of a duration.
pub(super) fn jitter(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.75..1.25))
}

fn failure(config: &NatsConfig, error: &async_nats::ConnectError) -> ConnectError {
    let servers = config.url.to_string();
    let mut problem = error.kind().to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(problem, ": {error}");
        source = error.source();
    }
    let problem = visible(&problem).into_owned();
    let says = |words: &[&str]| words.iter().any(|word| problem.contains(word));
    if says(&["UnknownIssuer", "unknown issuer"]) {
        return ConnectError::UnknownIssuer { servers };
    }
    // An alert that was received is the server's, about our certificate.
    let ours = says(&["received fatal alert"]);
    if !ours && says(&["Expired", "expired", "NotValidYet"]) && !says(&["authorization", "authentication"]) {
        return ConnectError::Expired { servers, problem };
    }
    if says(&["certificate", "Certificate", "fatal alert", "handshake", "TLS", "tls"]) {
        return ConnectError::Tls { servers, problem };
    }
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Credentials { servers }
        }
        ConnectErrorKind::TimedOut => ConnectError::Silent { servers, seconds: config.connection_timeout().as_secs() },
        _ => ConnectError::NoServer { servers, problem },
    }
}
