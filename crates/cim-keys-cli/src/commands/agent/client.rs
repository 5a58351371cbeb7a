//! Asking an agent.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cim_keys::authority::nats::agent::{Answer, FailureKind, LONGEST_ANSWER, Request};
use cim_keys::text::visible;

use super::args::SocketArgs;
use super::socket;
use crate::error::{CliError, Result};

/// How long an answer may take: an agent waits for whoever else records in its ledger.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks, and gives the answer; a refusal is an error.
pub(crate) fn ask(args: &SocketArgs, request: &Request) -> Result<Answer> {
    let path = socket::path(args)?;
    let answer = exchange(&path, request)?;
    let Answer::Error(failure) = answer else { return Ok(answer) };
    let new = match failure.kind {
        FailureKind::Request => CliError::usage,
        FailureKind::Refused => CliError::refused,
        FailureKind::Failed => CliError::failed,
    };
    let error = new(format!("the agent says: {}", failure.message));
    Err(failure.advice.iter().fold(error, |error, words| error.detail(format!("it advises: {words}"))))
}

fn exchange(path: &Path, request: &Request) -> Result<Answer> {
    let shown = visible(&path.to_string_lossy()).into_owned();
    let nobody = |error: &io::Error| {
        CliError::failed(format!("no agent answers at {shown}"))
            .because(error)
            .hint("start one with `cim-keys agent start`, or name its socket with --socket or CIM_KEYS_AGENT")
    };
    let own = rustix::process::geteuid().as_raw();
    let there = fs::symlink_metadata(path).map_err(|error| nobody(&error))?;
    if there.uid() != own {
        return Err(CliError::refused(format!("the socket {shown} belongs to another user"))
            .hint("name the socket of an agent of your own with --socket"));
    }
    let mut stream = UnixStream::connect(path).map_err(|error| nobody(&error))?;
    let mut said = Vec::new();
    let exchanged = (|| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        (&stream).take(LONGEST_ANSWER + 1).read_to_end(&mut said)
    })();
    exchanged.map_err(|error: io::Error| {
        CliError::failed(format!("the agent at {shown} did not answer")).because(&error).hint("ask again")
    })?;
    if said.is_empty() {
        return Err(CliError::failed(format!("the agent at {shown} ended before it answered"))
            .hint("start another with `cim-keys agent start`, and ask again"));
    }
    if said.len() as u64 > LONGEST_ANSWER {
        return Err(not_an_answer());
    }
    serde_json::from_slice(&said).map_err(|_| not_an_answer())
}

/// Something else listens there, or an agent of another release.
pub(super) fn not_an_answer() -> CliError {
    CliError::failed("what listens there does not answer as an agent does")
        .hint("agent and `cim-keys nats creds` must be of one release; or name the agent's socket with --socket")
}
