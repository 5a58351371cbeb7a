//! `agent start --detach`: the program starts itself anew in the background, hands the passphrase over through a pipe, and
//! ends when the agent can be asked.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::args::StartArgs;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase;
use crate::ui::Ui;

/// The longest line that an agent says when it is ready.
const LONGEST_LINE: u64 = 64 * 1024;

/// Starts the agent of a ledger's folder behind a socket. What goes wrong before it can be asked is said by the agent itself, and
/// this process ends with its exit code.
pub(super) fn start(
    args: &StartArgs,
    global: &Global,
    (ledger, socket): (&Path, &Path),
    passphrase: SecretString,
    ui: Ui,
) -> Result {
    let cannot = |error: &io::Error| CliError::failed("the agent can't be started in the background").because(error);
    let mut command = Command::new(std::env::current_exe().map_err(|error| cannot(&error))?);
    command.args(["agent", "start", "--detached", "--passphrase-fd", "0"]);
    command.args([format!("--ttl={}s", args.ttl), format!("--max-ttl={}s", args.max_ttl)]);
    command.args([format!("--compartment={}", args.compartment)]);
    command.arg("--socket").arg(socket).arg("--ledger").arg(ledger);
    command.args(["--output", if ui.is_json() { "json" } else { "text" }]);
    if let Some(actor) = global.actor.as_ref().filter(|actor| !actor.is_empty()) {
        command.arg(format!("--actor={actor}"));
    }
    command.args(global.accept_clock.then_some("--accept-clock"));
    // The passphrase goes through the pipe alone.
    for (name, _) in std::env::vars_os().filter(|(name, _)| passphrase::is_variable(name)) {
        command.env_remove(name);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| cannot(&error))?;
    if let Some(mut pipe) = child.stdin.take() {
        // An agent that does not read its passphrase has said why.
        let _ = pipe.write_all(passphrase.expose_secret().as_bytes());
    }
    drop(passphrase);
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out.take(LONGEST_LINE)).read_line(&mut line).map_err(|error| cannot(&error))?;
    }
    let Ok(ready) = serde_json::from_str::<Value>(&line) else {
        let code = child.wait().map_err(|error| cannot(&error))?.code();
        std::process::exit(code.unwrap_or(1));
    };
    ui.object(&ready)?;
    let quoted = format!("'{}'", socket.to_string_lossy().replace('\'', "'\\''"));
    ui.line(format_args!("CIM_KEYS_AGENT={quoted}; export CIM_KEYS_AGENT;"))?;
    ui.line(format_args!("echo Agent pid {};", child.id()))
}

/// Leaves the terminal that it was started from: called before anything is read.
pub(super) fn leave_terminal() {
    // A process that leads a group already stays in its session, and is none that this program started.
    let _ = rustix::process::setsid();
}

/// Says to whoever waits that the agent can be asked, and says nothing any more.
pub(super) fn say_ready(ready: &Value) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for done in [
        rustix::stdio::dup2_stdin(&nothing),
        rustix::stdio::dup2_stdout(&nothing),
        rustix::stdio::dup2_stderr(&nothing),
    ] {
        done.map_err(io::Error::from)?;
    }
    Ok(())
}
