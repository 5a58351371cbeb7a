//! The loop of an agent: it takes one line a connection, from processes of its own user, and answers with one.
//!
//! Connections wait for each other only where something is signed and recorded. One that says nothing is let go after a
//! while, and there are never more than some dozens.

use std::io;
use std::path::Path;
use std::time::Duration;

use cim_keys::authority::nats::agent::{Agent, Answer, Failure, FailureKind, LONGEST_REQUEST};
use cim_keys::time::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::socket::Claimed;
use crate::error::{CliError, Result};

/// How long a connection may take to say what it wants, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an agent that ends still waits for answers to be taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many connections there are at a time; others wait.
const MOST_CONNECTIONS: usize = 64;

/// How often the clock on the wall is looked at: the other one stands still while a machine sleeps.
const GLANCE: Duration = Duration::from_secs(15);

/// Why an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its time is over.
    Time,
    /// A signal told it to.
    Signal,
    /// Somebody asked for it.
    Asked,
}

impl End {
    /// The word for it in JSON.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Time => "ttl",
            Self::Signal => "signal",
            Self::Asked => "asked",
        }
    }
}

/// A line, and where its answer goes.
struct Question {
    line: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

/// Serves until the agent's time is over, or it is told to end. `ready` is called when it can be asked.
pub(super) fn serve(agent: &mut Agent, place: Claimed, ready: impl FnOnce(&Agent, &Path) -> Result) -> Result<End> {
    let cannot = |error: io::Error| CliError::failed("the agent can't listen").because(&error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    runtime.block_on(async {
        // Whoever tells it to end from here on leaves no socket behind.
        let mut signals = Signals::new().map_err(cannot)?;
        let listening = place.listen()?;
        let listener = listening.listener().try_clone().and_then(UnixListener::from_std).map_err(cannot)?;
        ready(agent, listening.path())?;
        Ok(until_told(agent, &listener, &mut signals).await)
    })
}

async fn until_told(agent: &mut Agent, listener: &UnixListener, signals: &mut Signals) -> End {
    let own = rustix::process::geteuid().as_raw();
    let (ask, mut asked) = mpsc::channel::<Question>(MOST_CONNECTIONS);
    let mut connections = JoinSet::new();
    let deadline = Instant::now() + left(agent);
    let end = loop {
        if left(agent).is_zero() || Instant::now() >= deadline {
            break End::Time;
        }
        tokio::select! {
            () = signals.any() => break End::Signal,
            () = sleep_until(deadline) => break End::Time,
            () = sleep(GLANCE.min(left(agent))) => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, own, ask.clone()));
                }
                // Out of files, say: that passes.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(question) = asked.recv() => {
                let answer = agent.answer(&question.line);
                let ends = answer == Answer::Stopping;
                // Whoever asked may be gone: what was signed is recorded all the same.
                let _ = question.answer.send(answer);
                if ends {
                    break End::Asked;
                }
            }
        }
    };
    // Those who wait for an answer learn that there is none.
    asked.close();
    while asked.try_recv().is_ok() {}
    drop(ask);
    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
    end
}

/// How long an agent still lives, by the clock on the wall.
fn left(agent: &Agent) -> Duration {
    let micros = agent.ends_at().unix_micros().saturating_sub(Timestamp::now().unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// One connection: one line, one answer.
async fn converse(mut stream: UnixStream, own: u32, ask: mpsc::Sender<Question>) {
    let answer = match stream.peer_cred().map(|peer| peer.uid()) {
        Ok(peer) if may_ask(peer, own) => hear(&mut stream, &ask).await,
        _ => Some(refused("this agent answers processes of its own user only")),
    };
    let Some(answer) = answer else { return };
    let Ok(mut line) = serde_json::to_vec(&answer) else { return };
    line.push(b'\n');
    // Whoever does not take its answer goes without.
    let _ = timeout(PATIENCE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await;
}

/// Whether a process of this user may ask. Root may not either: it has other ways, and no business here.
const fn may_ask(peer: u32, own: u32) -> bool {
    peer == own
}

/// Reads a line and has it answered. Nothing is answered to a connection that closes without a word.
async fn hear(stream: &mut UnixStream, ask: &mpsc::Sender<Question>) -> Option<Answer> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST_REQUEST));
    match timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await {
        Err(_) => return Some(bad("no request came; send one JSON object on one line")),
        Ok(Err(_)) => return None,
        Ok(Ok(0)) => return None,
        Ok(Ok(_)) if line.last() != Some(&b'\n') && line.len() as u64 >= LONGEST_REQUEST => {
            return Some(bad(&format!("the request is longer than {LONGEST_REQUEST} bytes")));
        }
        Ok(Ok(_)) => {}
    }
    let (tell, told) = oneshot::channel();
    if ask.send(Question { line, answer: tell }).await.is_err() {
        return Some(refused("the agent is ending"));
    }
    Some(told.await.unwrap_or_else(|_| refused("the agent is ending")))
}

fn bad(message: &str) -> Answer {
    Answer::Error(Failure::request(message))
}

fn refused(message: &str) -> Answer {
    Answer::Error(Failure { kind: FailureKind::Refused, message: message.to_owned(), advice: Vec::new() })
}

/// What tells an agent to end.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_ask() {
        assert!(may_ask(1000, 1000));
        assert!(!may_ask(1001, 1000));
        assert!(!may_ask(0, 1000));
    }
}
