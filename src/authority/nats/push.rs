//! Pushing: account tokens to every server, and the proof that they are there.
//!
//! A server's word that it took a token proves nothing: one with a full resolver takes any, also from an operator that it
//! does not trust, and an older one, which brings revoked users back. So this asks before whom each server trusts and what
//! it holds, and asks afterwards until each server shows the very token that was sent.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::servers::{Member, Observed, ResolverKind, State, Survey, Wanted};
use crate::adapters::nats_system::{Answer, Form, SystemClient, SystemError, UpdateStatus, Wait};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::nats::held::{Age, Held, Other};
use crate::text::visible;

/// How many accounts are pushed at the same time.
const AT_ONCE: usize = 32;
/// How long is waited between two looks at what servers hold.
const PAUSE: Duration = Duration::from_millis(150);

/// Why nothing was pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Servers could not be asked.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A server would take the token and then not believe it.
    #[error(
        "server {} does not trust {issuer}, which signed account {}: it would answer 200, put the token in the place of a good \
         one, and refuse its users; nothing was pushed",
        visible(server),
        visible(account)
    )]
    Distrusted {
        /// The server.
        server: String,
        /// The account.
        account: String,
        /// The key that signed it.
        issuer: String,
    },
    /// A server trusts no operator at all.
    #[error(
        "server {} trusts no operator: it does not use decentralised authentication",
        visible(.0)
    )]
    NoOperator(String),
}

impl Explained for PushError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::System(error) => error.kind(),
            Self::Distrusted { .. } | Self::NoOperator(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::System(error) => error.advice(),
            Self::Distrusted { .. } => {
                vec![Advice::Run(
                    Action::ServerConfig,
                    "writes this operator's token for it; restart the server with that",
                )]
            }
            Self::NoOperator(_) => vec![Advice::Run(Action::ServerConfig, "writes what to start it with")],
        }
    }
}

/// How to push.
#[derive(Debug, Clone, Copy)]
pub struct PushOptions {
    /// Whether a token may replace one that was issued later or in the same second.
    pub allow_rollback: bool,
    /// The time, in seconds since the Unix epoch.
    pub now: u64,
    /// How long servers may take until they show what they were sent.
    pub patience: Duration,
}

/// What became of one account.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// What each server holds now.
    pub after: Observed,
    /// What each server said, where something was sent.
    pub answers: Vec<Answer<UpdateStatus>>,
    /// The sum of it.
    pub verdict: Verdict,
}

/// The sum of what became of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every server that answers held it already.
    Unchanged,
    /// Every server that answers holds it now.
    Proved,
    /// Not sent: the token has expired, and servers would close every connection of the account.
    Expired,
    /// Not sent: a server holds one that was issued later, or another of the same second.
    Rollback(Box<Other>),
    /// Sent, and not every server shows it.
    Unproved,
}

impl Verdict {
    /// Whether every server that answers holds the token.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        matches!(self, Self::Unchanged | Self::Proved)
    }

    /// The word for it, stable.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Proved => "pushed",
            Self::Expired => "expired",
            Self::Rollback(_) => "rollback",
            Self::Unproved => "unproved",
        }
    }
}

/// Checks that every server believes whoever signed the accounts. Nothing is sent when one does not.
///
/// # Errors
/// The first server that does not.
pub fn check_trust(survey: &Survey, wanted: &[Wanted]) -> Result<(), PushError> {
    if let Some(member) = survey.members.iter().find(|member| member.varz.trusted.is_empty()) {
        return Err(PushError::NoOperator(member.server.to_string()));
    }
    for account in wanted {
        if let Some(Member { server, .. }) = survey.distrusting(account.token.issuer.as_str()).first() {
            let (server, account, issuer) =
                (server.to_string(), account.name.to_string(), account.token.issuer.to_string());
            return Err(PushError::Distrusted { server, account, issuer });
        }
    }
    Ok(())
}

/// Pushes accounts with the texts of their tokens, and looks until every server shows them. `progress` hears of each
/// account that is done.
///
/// # Errors
/// When a server does not trust whoever signed, or servers can't be asked. Accounts that were pushed before stay pushed.
pub async fn push(
    client: &SystemClient,
    survey: &Survey,
    accounts: &[(Wanted, String)],
    options: PushOptions,
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<Pushed>, PushError> {
    for (wanted, _) in accounts {
        check_trust(survey, std::slice::from_ref(wanted))?;
    }
    let pushed = stream::iter(accounts).map(|(wanted, token)| async move {
        let pushed = push_one(client, survey, wanted, token, options).await;
        progress();
        pushed
    });
    Ok(pushed.buffered(AT_ONCE).try_collect().await?)
}

async fn push_one(
    client: &SystemClient,
    survey: &Survey,
    wanted: &Wanted,
    token: &str,
    options: PushOptions,
) -> Result<Pushed, SystemError> {
    let before = survey.observe_one(client, wanted).await?;
    let ended = |after, verdict| Ok(Pushed { after, answers: Vec::new(), verdict });
    if wanted.token.expires_at.is_some_and(|exp| exp <= options.now) {
        return ended(before, Verdict::Expired);
    }
    if before.is_proved() {
        return ended(before, Verdict::Unchanged);
    }
    if let Some(other) = before.worst()
        && other.age != Age::Older
        && !options.allow_rollback
    {
        let other = Box::new(other.clone());
        return ended(before, Verdict::Rollback(other));
    }
    let mut answers = send(client, survey, wanted, token).await?;
    let mut after = survey.observe_one(client, wanted).await?;
    // A server with a cache skips an account that nobody uses there, whatever its folder still has of it: once it has been
    // made to load it, it takes the token.
    if after.servers.iter().any(|standing| standing.state == State::MaybeOld)
        && client.load(wanted.public_key.as_str(), Wait::Known(survey.members.len())).await.is_ok()
    {
        answers = send(client, survey, wanted, token).await?;
        after = survey.observe_one(client, wanted).await?;
    }
    let until = Instant::now() + options.patience;
    while !after.is_proved() && may_change(&after) && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
        after = survey.observe_one(client, wanted).await?;
    }
    let verdict = if after.is_proved() { Verdict::Proved } else { Verdict::Unproved };
    Ok(Pushed { after, answers, verdict })
}

/// Whether looking once more may show something else.
fn may_change(observed: &Observed) -> bool {
    observed.servers.iter().any(|standing| matches!(standing.state, State::Absent | State::Differs | State::Silent))
}

async fn send(
    client: &SystemClient,
    survey: &Survey,
    wanted: &Wanted,
    token: &str,
) -> Result<Vec<Answer<UpdateStatus>>, SystemError> {
    let form = if survey.count(ResolverKind::Memory) > 0 { Form::PerAccount } else { Form::Common };
    client.update(form, wanted.public_key.as_str(), token, Wait::Known(survey.members.len())).await
}

/// What is wrong with an account after a push, a line each, with what to do.
#[must_use]
pub fn problems(wanted: &Wanted, pushed: &Pushed) -> Vec<String> {
    let mut lines = Vec::new();
    match &pushed.verdict {
        Verdict::Unchanged | Verdict::Proved => {}
        Verdict::Expired => lines.push("its token has expired: sign it anew with a later expiry".to_owned()),
        Verdict::Rollback(other) => lines.push(rollback(wanted, other)),
        Verdict::Unproved => {
            for answer in &pushed.answers {
                if let Err(error) = &answer.outcome {
                    lines.push(format!("{} refused it: {}", visible(&answer.server.name), visible(error)));
                }
            }
            for standing in &pushed.after.servers {
                let server = visible(&standing.server.name).into_owned();
                lines.extend(match standing.state {
                    State::Silent => Some(format!("{server} did not answer")),
                    State::Absent => Some(format!("{server} does not have it")),
                    State::Differs => Some(format!("{server} holds another token{}", which(&pushed.after, standing.loaded.as_ref()))),
                    State::MaybeOld => Some(format!(
                        "{server} caches tokens and skipped this one: its folder may hold an older one until its time to live is \
                         over; let a client of the account connect there, and push again"
                    )),
                    State::Configured => Some(format!(
                        "{server} has its tokens in its configuration, and nobody uses the account there: give it a new \
                         configuration (`cim-keys nats server-config --resolver memory`) and reload it"
                    )),
                    _ => None,
                });
            }
        }
    }
    lines
}

fn which(observed: &Observed, loaded: Option<&Held>) -> String {
    match loaded {
        Some(Held::Unreadable(why)) => format!(" that cannot be parsed: {}", visible(why)),
        Some(Held::Other(other)) => format!(", issued at {}", other.iat),
        _ => observed.worst().map(|other| format!(", issued at {}", other.iat)).unwrap_or_default(),
    }
}

fn rollback(wanted: &Wanted, other: &Other) -> String {
    let (ours, theirs) = (wanted.token.issued_at, other.iat);
    match other.age {
        Age::Twin => format!(
            "a server holds another token of the same second ({theirs}), which servers would not tell from this one: sign the \
             account anew, or push with --allow-rollback"
        ),
        _ => format!(
            "a server holds a token issued at {theirs}, later than this one of {ours}: pushing it would bring back users \
             that were revoked in between; bring this ledger up to date, or push with --allow-rollback"
        ),
    }
}
