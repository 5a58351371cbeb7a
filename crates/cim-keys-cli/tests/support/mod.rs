//! A ledger of its own for each test, and the program run on it in an environment that holds nothing else.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod deployment;
pub mod nats;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The passphrases of every ledger here.
pub const ROOT: &str = "root passphrase for tests";
/// The other one.
pub const ISSUING: &str = "issuing passphrase for tests";

/// What a run of the program left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The lines of standard output, as JSON, without those about the publication and what is still to be done.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.all_json().into_iter().filter(|line| !is_closing(line)).collect()
    }

    /// All lines of standard output, as JSON.
    #[track_caller]
    pub fn all_json(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks the exit code and what standard error says.
    #[track_caller]
    pub fn fails(&self, code: i32, says: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        let told = self.stderr.replace("\\\"", "\"");
        for part in says {
            assert!(told.contains(part), "{part:?} is not in {told}");
        }
        self
    }
}

/// Whether a line closes the report of an act: what became of the events, and what is still to be done.
fn is_closing(line: &Value) -> bool {
    let only = |name: &str| line.as_object().is_some_and(|line| line.len() == 1 && line.contains_key(name));
    only("publication") || only("to_do")
}

/// A folder with a ledger, and everything that the program needs.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    /// A folder without a ledger.
    pub fn empty() -> Self {
        Self { dir: TempDir::with_prefix("cim-keys-cli-").unwrap() }
    }

    /// A folder with a ledger, cheap passphrases and one organisation.
    pub fn new() -> Self {
        let place = Self::empty();
        let (root, issuing) = place.passphrase_flags();
        place.run(&["init", "--name", "Acme", "--work-factor", "10", &root, &issuing]).json();
        place.run(&["organization", "add", "Acme"]).json();
        place
    }

    pub fn ledger(&self) -> PathBuf {
        self.dir.path().join("acme")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file that only its owner may read, and gives its path.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The flags that give both passphrases.
    pub fn passphrase_flags(&self) -> (String, String) {
        let root = self.file("root.pass", format!("{ROOT}\n").as_bytes());
        let issuing = self.file("issuing.pass", ISSUING.as_bytes());
        (format!("--passphrase-file=root={root}"), format!("--passphrase-file=issuing={issuing}"))
    }

    /// The program on this ledger, with nothing in its environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
        command.env_clear().env("CIM_KEYS_STATE", self.path("state")).env("CIM_KEYS_LOG", "trace");
        command.env("CIM_KEYS_LEDGER", self.ledger()).env("CIM_KEYS_OUTPUT", "json");
        command.args(args).current_dir(self.dir.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        run(self.command(args), b"")
    }

    /// As [`Place::run`], with something on standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        run(self.command(args), input)
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Every file beneath a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&file, place).unwrap();
    }
}
