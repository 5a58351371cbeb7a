//! Programs that ask for a passphrase at their own prompt, on a terminal of their own.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program, types a line whenever it asks for a passphrase, and waits.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys
line, *command = sys.argv[1:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown = b""
while True:
    try:
        chunk = os.read(terminal, 1024)
    except OSError:
        chunk = b""
    if not chunk:
        break
    shown += chunk
    if b"passphrase" in shown and b":" in shown.split(b"passphrase")[-1]:
        os.write(terminal, line.encode() + b"\n")
        shown = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// Runs a program in a folder on a terminal of its own, types a line whenever it asks for a passphrase, and answers whether
/// it ended well. `python` makes the terminal.
///
/// # Panics
/// When Python can't be run.
#[must_use]
pub fn types_passphrase(python: &Path, line: &str, program: &Path, args: &[&str], folder: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", ON_A_TERMINAL, line]).arg(program).args(args).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("Python runs").success()
}
