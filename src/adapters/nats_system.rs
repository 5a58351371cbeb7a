//! The system account of a NATS deployment: asking every server at once, and telling who answered.
//!
//! Servers answer requests on `$SYS.REQ.>` each for itself, so that the number of answers says nothing until it is known how
//! many there should be: [`SystemClient::servers`] finds that out first, and each further question names how many answers to
//! wait for. Nothing here judges what servers say; `crate::nats::held` does.
//!
//! # Permissions
//!
//! The user needs to publish to [`PUBLISHES`] and to subscribe to `_INBOX.>`, or below the configured `inbox_prefix`;
//! deleting accounts needs [`DELETES`] as well.

mod replies;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{Client, StatusCode};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use replies::{AccountInfo, Answer, ServerId, Trusted, UpdateStatus, Varz};

use super::denials::{self, Denial};
use super::nats_client::ConnectError;
use super::nats_client::connect::connect;
use crate::advice::{Advice, ErrorKind, Explained};
use crate::config::NatsConfig;
use crate::text::visible;
use replies::{PingReply, VarzData};

/// What a user who pushes and compares publishes to.
pub const PUBLISHES: [&str; 7] = [
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.CLAIMS.LIST",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
    "$SYS.REQ.ACCOUNT.*.INFO",
];
/// What a user who deletes accounts publishes to as well.
pub const DELETES: &str = "$SYS.REQ.CLAIMS.DELETE";

/// How long after an answer another one is waited for where it is not known how many there will be.
const QUIET: Duration = Duration::from_millis(700);

/// Why servers could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The user may not ask.
    #[error(
        "the user of the credentials may not publish to {subject}. Pushing needs the right to publish to {}",
        PUBLISHES.join(", ")
    )]
    Denied {
        /// The subject.
        subject: String,
    },
    /// Servers say that nobody listens where each of them listens to users of its system account.
    #[error(
        "no server answers on $SYS.REQ.SERVER.PING: the credentials are of a user outside of the system account, or the \
         servers have none"
    )]
    Outsider,
    /// Nobody answered in time what every server answers to users of its system account.
    #[error("no server answers on $SYS.REQ.SERVER.PING in time")]
    NoAnswer,
    /// The connection went away in between.
    #[error("the connection to the servers was lost while asking on {subject}")]
    Lost {
        /// The subject.
        subject: String,
    },
}

impl Explained for SystemError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Denied { .. } | Self::Outsider => ErrorKind::Refused,
            Self::NoAnswer | Self::Lost { .. } => ErrorKind::Unreachable,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Connect(ConnectError::CredentialsFile { .. }) => {
                vec![Advice::Do("name a credentials file with --creds")]
            }
            Self::Connect(ConnectError::Credentials { .. }) => {
                vec![Advice::Do("name credentials of a user of the system account with --creds")]
            }
            Self::Connect(error) => error.advice(),
            Self::Denied { .. } => {
                vec![Advice::Do("push with a user of the system account who may publish there")]
            }
            Self::Outsider => vec![Advice::Do("take credentials of a user of the system account")],
            Self::NoAnswer => vec![Advice::Do("see whether the servers are well, and try again")],
            Self::Lost { .. } => vec![Advice::TRY_AGAIN],
        }
    }
}

/// How an account's token is sent to servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One subject for all accounts: what servers with a folder of tokens listen to.
    Common,
    /// A subject for each account: servers whose tokens stand in their configuration listen to this one only.
    PerAccount,
}

/// A connection to the system account.
pub struct SystemClient {
    client: Client,
    patience: Duration,
    denied: watch::Receiver<BTreeSet<Denial>>,
}

impl SystemClient {
    /// Connects with the credentials of the configuration.
    ///
    /// # Errors
    /// When no server accepts the connection.
    pub async fn connect(config: &NatsConfig) -> Result<Self, SystemError> {
        let (tell, told) = mpsc::unbounded_channel();
        let client = connect(config, tell).await?;
        Ok(Self { client, patience: config.connection_timeout(), denied: denials::gather(told) })
    }

    /// The servers that answer, with what they trust. Waits for `expected` of them, or for as many as the first one knows
    /// of, and no longer than the connection timeout.
    ///
    /// # Errors
    /// When nobody answers, or the user may not ask.
    pub async fn servers(&self, expected: Option<usize>) -> Result<Vec<Answer<Varz>>, SystemError> {
        let pings = self.ask(PUBLISHES[0], &[], Wait::Known(1)).await?;
        let pings = pings.ok_or(SystemError::Outsider)?;
        let known =
            pings.iter().filter_map(|bytes| PingReply::read(bytes)).map(|ping| ping.statsz.active_servers).max();
        let known = known.ok_or(SystemError::NoAnswer)?;
        let most = expected.unwrap_or(0).max(known).max(1);
        let replies = self.gather(PUBLISHES[1], &[], Wait::Known(most)).await?;
        let mut answers: Vec<Answer<Varz>> =
            replies.iter().filter_map(|bytes| Answer::<VarzData>::read(bytes)).map(|it| it.map(Varz::from)).collect();
        if answers.is_empty() {
            return Err(SystemError::NoAnswer);
        }
        answers.sort_by(|a, b| a.server.cmp(&b.server));
        answers.dedup_by(|a, b| a.server.id == b.server.id);
        Ok(answers)
    }

    /// Which accounts each server with a folder of tokens has in it. Servers with another resolver do not answer.
    ///
    /// # Errors
    /// When the user may not ask.
    pub async fn list(&self, most: usize) -> Result<Vec<Answer<BTreeSet<String>>>, SystemError> {
        let replies = self.gather(PUBLISHES[2], &[], Wait::AtMost(most)).await?;
        Ok(replies.iter().filter_map(|bytes| Answer::read(bytes)).collect())
    }

    /// Sends an account's token to every server, and gives each one's word on it.
    ///
    /// # Errors
    /// When the user may not send it.
    pub async fn update(
        &self,
        form: Form,
        account: &str,
        token: &str,
        wait: Wait,
    ) -> Result<Vec<Answer<UpdateStatus>>, SystemError> {
        let subject = match form {
            Form::Common => PUBLISHES[3].to_owned(),
            Form::PerAccount => format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.UPDATE"),
        };
        let replies = self.gather(&subject, token.as_bytes(), wait).await?;
        Ok(replies.iter().filter_map(|bytes| Answer::read(bytes)).collect())
    }

    /// The texts of an account's token that servers with a full resolver have stored: one for each server, which does not
    /// say its name; `None` where it has none.
    ///
    /// # Errors
    /// When the user may not ask.
    pub async fn lookup(&self, account: &str, wait: Wait) -> Result<Vec<Option<String>>, SystemError> {
        let replies = self.gather(&format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"), &[], wait).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(replies.into_iter().map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()).map(text)).collect())
    }

    /// What each server has loaded of an account; an error in the answer of a server that has not loaded it.
    ///
    /// # Errors
    /// When the user may not ask.
    pub async fn info(&self, account: &str, wait: Wait) -> Result<Vec<Answer<AccountInfo>>, SystemError> {
        let replies = self.gather(&format!("$SYS.REQ.ACCOUNT.{account}.INFO"), &[], wait).await?;
        Ok(replies.iter().filter_map(|bytes| Answer::read(bytes)).collect())
    }

    /// Makes every server load an account, as the first client of it would: a side effect of asking for its connections.
    ///
    /// # Errors
    /// When the user may not ask for connections, which pushing does not need.
    pub async fn load(&self, account: &str, wait: Wait) -> Result<(), SystemError> {
        self.gather(&format!("$SYS.REQ.ACCOUNT.{account}.CONNZ"), br#"{"limit":1}"#, wait).await.map(drop)
    }

    /// Sends a signed request to delete accounts.
    ///
    /// # Errors
    /// When the user may not send it.
    pub async fn delete(&self, request: &str, wait: Wait) -> Result<Vec<Answer<UpdateStatus>>, SystemError> {
        let replies = self.gather(DELETES, request.as_bytes(), wait).await?;
        Ok(replies.iter().filter_map(|bytes| Answer::read(bytes)).collect())
    }

    /// Publishes a request and gathers what is answered.
    async fn gather(&self, subject: &str, body: &[u8], wait: Wait) -> Result<Vec<Vec<u8>>, SystemError> {
        Ok(self.ask(subject, body, wait).await?.unwrap_or_default())
    }

    /// The same; `None` where servers say that nobody listens.
    async fn ask(&self, subject: &str, body: &[u8], wait: Wait) -> Result<Option<Vec<Vec<u8>>>, SystemError> {
        let lost = || SystemError::Lost { subject: visible(subject).into_owned() };
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await.map_err(|_| lost())?;
        let sent = self.client.publish_with_reply(subject.to_owned(), inbox, body.to_vec().into()).await;
        sent.map_err(|_| lost())?;
        let mut denied = self.denied.clone();
        let deadline = Instant::now() + self.patience;
        let mut until = deadline;
        let mut gathered = Vec::new();
        loop {
            tokio::select! {
                message = replies.next() => match message {
                    // Nobody listens to this: that is an answer too.
                    Some(message) if message.status == Some(StatusCode::NO_RESPONDERS) => return Ok(None),
                    Some(message) => gathered.push(message.payload.to_vec()),
                    None => return Err(lost()),
                },
                () = is_denied(&mut denied, subject) => {
                    return Err(SystemError::Denied { subject: visible(subject).into_owned() });
                }
                () = tokio::time::sleep_until(until) => break,
            }
            match wait {
                Wait::Known(count) | Wait::AtMost(count) if gathered.len() >= count => break,
                Wait::Known(_) => {}
                Wait::AtMost(_) => until = deadline.min(Instant::now() + QUIET),
            }
        }
        Ok(Some(gathered))
    }
}

/// How many answers to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// This many: fewer only when the connection timeout has passed.
    Known(usize),
    /// At most this many: fewer once it has been quiet for a while.
    AtMost(usize),
}

async fn is_denied(denied: &mut watch::Receiver<BTreeSet<Denial>>, subject: &str) {
    let denial = Denial::Publish(subject.to_owned());
    if denied.wait_for(|denied| denied.contains(&denial)).await.is_err() {
        // The connection is gone; whoever reads from it is told.
        std::future::pending::<()>().await;
    }
}
