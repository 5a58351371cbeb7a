//! Why an act of the adapter failed, and what to do.

use crate::advice::{Advice, ErrorKind, Explained};
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
    #[error("nats.enabled is false: events are queued and not published")]
    Disabled,
    /// Nothing listens there, or the name is unknown.
    #[error("no NATS server answers at {servers} ({problem})")]
    NoServer {
        /// The addresses that were tried.
        servers: String,
        /// What the system said.
        problem: String,
    },
    /// Something listens and does not answer in time.
    #[error("{servers} did not answer within {seconds} s")]
    Silent {
        /// The addresses that were tried.
        servers: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server does not accept the user.
    #[error("{servers} refuses these credentials")]
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
    #[error("the certificate of {servers} is not from a trusted authority (unknown issuer)")]
    UnknownIssuer {
        /// The addresses that were tried.
        servers: String,
    },
    /// The server's certificate is out of date, or our clock is.
    #[error("the certificate of {servers} has expired or is not valid yet ({problem})")]
    Expired {
        /// The addresses that were tried.
        servers: String,
        /// What TLS said.
        problem: String,
    },
    /// TLS failed otherwise: ours is the certificate that the server did not like, or was missing.
    #[error("TLS with {servers} failed ({problem})")]
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

impl Explained for ConnectError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Disabled | Self::CredentialsFile { .. } => ErrorKind::Usage,
            Self::NoServer { .. }
            | Self::Silent { .. }
            | Self::Credentials { .. }
            | Self::UnknownIssuer { .. }
            | Self::Expired { .. }
            | Self::Tls { .. }
            | Self::ShutDown => ErrorKind::Unreachable,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Disabled => vec![Advice::Do("set nats.enabled to true to publish")],
            Self::NoServer { .. } => {
                vec![Advice::Do("start a NATS server there, or name another with --url or nats.url")]
            }
            Self::Silent { .. } => {
                vec![Advice::Do("see whether it is a NATS server, or set nats.connection_timeout_secs")]
            }
            Self::Credentials { .. } => vec![Advice::Do(
                "check nats.credentials_file (or the user in nats.url), whether the user was revoked, and whether its JWT \
                 has expired",
            )],
            Self::CredentialsFile { .. } => vec![Advice::Do("name a credentials file that is there")],
            Self::UnknownIssuer { .. } => {
                vec![Advice::Do("set nats.tls.ca_cert to the certificate of the authority that issued it")]
            }
            Self::Expired { .. } => vec![Advice::Do("renew the certificate, or set the clock here")],
            Self::Tls { .. } => {
                vec![Advice::Do("check nats.tls.ca_cert, nats.tls.client_cert and nats.tls.client_key")]
            }
            Self::ShutDown => Vec::new(),
        }
    }
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
    #[error("this publisher belongs to a ledger")]
    Ledger,
    /// The adapter was shut down.
    #[error("the publisher was shut down")]
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
    #[error("the server does not take events at this moment ({0}): they stay queued, and are tried again")]
    Refused(String),
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl Explained for FlushError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Stopped(error) => error.kind(),
            Self::Refused(_) | Self::Outbox(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Connect(error) => error.advice(),
            Self::Stopped(error) => error.advice(),
            Self::Outbox(error) => error.advice(),
            Self::Refused(_) => Vec::new(),
        }
    }
}

/// Why the outbox could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The adapter was shut down.
    #[error("the publisher was shut down")]
    ShutDown,
}
