//! Why an act of the adapter failed, and what to do.

use crate::config::ConfigError;
use crate::delivery::Stop;
use crate::delivery::outbox::OutboxError;
use crate::ipld_support::EncodeError;
use crate::queue::{AppendError, OpenError};

/// Why an adapter could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewAdapterError {
    /// The configuration contradicts itself, or a file that it names is not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file queue could not be opened.
    #[error(transparent)]
    Queue(#[from] OpenError),
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration says not to publish.
    #[error("nats.enabled is false: events are queued and not published; set it to true to publish")]
    Disabled,
    /// Nothing listens there, or the name is unknown.
    #[error("no NATS server answers at {servers} ({problem}): start one there, or name another with --url or nats.url")]
    NoServer {
        /// The addresses that were tried.
        servers: String,
        /// What the system said.
        problem: String,
    },
    /// Something listens and does not answer in time.
    #[error(
        "{servers} did not answer within {seconds} s: is it a NATS server? Otherwise set nats.connection_timeout_secs"
    )]
    Silent {
        /// The addresses that were tried.
        servers: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server does not accept the user.
    #[error(
        "{servers} refuses these credentials: check nats.credentials_file (or the user in nats.url), whether the user was \
         revoked, and whether its JWT has expired"
    )]
    Credentials {
        /// The addresses that were tried.
        servers: String,
    },
    /// The credentials file can't be read.
    #[error("nats.credentials_file {path}: {problem}")]
    CredentialsFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server's certificate was not issued by an authority that is trusted.
    #[error(
        "the certificate of {servers} is not from a trusted authority (unknown issuer): set nats.tls.ca_cert to the \
         certificate of the one that issued it"
    )]
    UnknownIssuer {
        /// The addresses that were tried.
        servers: String,
    },
    /// The server's certificate is out of date, or our clock is.
    #[error(
        "the certificate of {servers} has expired or is not valid yet ({problem}): renew it, or set the clock here"
    )]
    Expired {
        /// The addresses that were tried.
        servers: String,
        /// What TLS said.
        problem: String,
    },
    /// TLS failed otherwise: ours is the certificate that the server did not like, or was missing.
    #[error(
        "TLS with {servers} failed ({problem}): check nats.tls.ca_cert, nats.tls.client_cert and nats.tls.client_key"
    )]
    Tls {
        /// The addresses that were tried.
        servers: String,
        /// What TLS said.
        problem: String,
    },
    /// The adapter was shut down.
    #[error("the publisher was shut down")]
    ShutDown,
}

/// Why an event was not accepted. It is not in the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event breaks a rule of its encoding.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The queue did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The adapter publishes what a ledger records.
    #[error("this publisher belongs to a ledger: append the event to the ledger, and it is published")]
    Ledger,
    /// The adapter was shut down.
    #[error("the publisher was shut down: make a new one")]
    ShutDown,
}

/// Why a flush ended before everything was published. What is left stays in the outbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Publishing has stopped until someone mends the cause.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The server does not take events for now. The publisher goes on trying.
    #[error("the server does not take events now ({0}): they stay queued, and are tried again")]
    Refused(String),
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Why the outbox could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The adapter was shut down.
    #[error("the publisher was shut down: make a new one")]
    ShutDown,
}
