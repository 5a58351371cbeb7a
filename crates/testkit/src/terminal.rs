//! Programs that ask at a prompt, on a terminal of their own.

use std::process::Command;

use crate::tools::{PYTHON, tool};

/// Runs a command on a terminal of its own, gives the answers one by one where a prompt ends with a colon or a bracket and
/// waits, and prints what was shown.
const ON_A_TERMINAL: &str = r#"
import json, os, pty, sys, termios, time
answers, command = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execve(command[0], command, dict(os.environ))
shown, asked = b"", 0
while True:
    try:
        chunk = os.read(terminal, 1024)
    except OSError:
        chunk = b""
    if not chunk:
        break
    shown += chunk
    if shown[asked:].endswith((b": ", b"] ")) and answers:
        # A person does not type a secret before the terminal hides it, which comes just after the prompt.
        deadline = time.monotonic() + 10
        while shown.endswith(b": ") and termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
            time.sleep(0.005)
        os.write(terminal, answers.pop(0).encode() + b"\n")
        asked = len(shown)
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// The command that runs another one, named by its whole path, on a terminal of its own: it types an answer at each prompt
/// (which ends with `: ` or `] `) as long as there are some, prints what was shown, and ends as the other one does. The
/// environment is what the other command sets, and `TERM`. `None` where there is no Python, which makes the terminal.
#[must_use]
pub fn on_a_terminal(command: &Command, answers: &[&str]) -> Option<Command> {
    let mut typed = Command::new(tool(PYTHON)?);
    typed.args(["-c", ON_A_TERMINAL, &serde_json::json!(answers).to_string()]).arg(command.get_program());
    typed.args(command.get_args()).env_clear().env("TERM", "dumb");
    typed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        typed.current_dir(folder);
    }
    Some(typed)
}
