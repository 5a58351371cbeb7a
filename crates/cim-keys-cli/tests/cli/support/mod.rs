//! A ledger of its own for each test, and the program run on it in an environment that holds nothing else.

pub mod deployment;
pub mod machine;
pub mod nats;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub use cim_keys_testkit::folders::files;

/// The passphrases of every ledger here.
pub const ROOT: &str = "root passphrase for tests";
/// The other one.
pub const ISSUING: &str = "issuing passphrase for tests";
/// The passphrase of every compartment where a test has no need of two.
pub const PASSPHRASE: &str = "nothing but a passphrase for tests";

/// The stream of the default configuration.
pub const STREAM: &str = "CIM_KEYS_EVENTS";

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

/// The program in a folder. Nothing of the environment that the tests run in reaches it: its homes and its rights
/// to write are in the folder, and it colours nothing.
pub fn program(folder: &Path, args: &[&str]) -> Command {
    let home = folder.join("home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
    command.env_clear().env("NO_COLOR", "1").env("HOME", &home);
    command.env("XDG_CONFIG_HOME", home.join("config")).env("XDG_STATE_HOME", home.join("state"));
    command.env("CIM_KEYS_STATE", folder.join("state"));
    command.args(args).current_dir(folder);
    command
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
        place.init();
        place.run(&["organization", "add", "Acme"]).json();
        place
    }

    /// Makes the ledger, with cheap passphrases.
    #[track_caller]
    pub fn init(&self) {
        let (root, issuing) = self.passphrase_flags();
        self.run(&["init", "--name", "Acme", "--work-factor", "10", &root, &issuing]).json();
    }

    pub fn ledger(&self) -> PathBuf {
        self.dir.path().join("acme")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where something is here, as an argument.
    pub fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file that only its owner may read, and gives its path.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(content).unwrap();
        self.at(name)
    }

    /// The flags that give both passphrases.
    pub fn passphrase_flags(&self) -> (String, String) {
        let root = self.file("root.pass", format!("{ROOT}\n").as_bytes());
        let issuing = self.file("issuing.pass", ISSUING.as_bytes());
        (format!("--passphrase-file=root={root}"), format!("--passphrase-file=issuing={issuing}"))
    }

    /// The program on this ledger; it answers in JSON, and logs everything.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.quiet(args);
        command.env("CIM_KEYS_LOG", "trace");
        command
    }

    /// The same without a log.
    pub fn quiet(&self, args: &[&str]) -> Command {
        let mut command = program(self.dir.path(), args);
        command.env("CIM_KEYS_LEDGER", self.ledger()).env("CIM_KEYS_OUTPUT", "json");
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        run(self.command(args), b"")
    }

    /// As [`Place::run`], with something on standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        run(self.command(args), input)
    }

    /// The program on another machine, which has none of this one's rights, on a ledger in a folder there.
    pub fn command_on(&self, ledger: &str, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("CIM_KEYS_LEDGER", self.path(ledger)).env("CIM_KEYS_STATE", self.path("elsewhere"));
        command
    }

    pub fn run_on(&self, ledger: &str, args: &[&str]) -> Run {
        run(self.command_on(ledger, args), b"")
    }

    /// The ledger's public key.
    #[track_caller]
    pub fn key(&self) -> String {
        key(&self.run(&["log", "public-key"]))
    }
}

/// The key that `log public-key` says.
#[track_caller]
pub fn key(run: &Run) -> String {
    run.json()[0]["key"].as_str().unwrap().to_owned()
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
