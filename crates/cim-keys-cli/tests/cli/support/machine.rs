//! A machine on which a person works: the ledger is named in each command, the answers are text, and one passphrase in
//! the environment opens everything.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{PASSPHRASE, Run, program, run};

/// An address that nothing listens on.
pub const NOBODY: &str = "nats://127.0.0.1:1";

/// A folder for ledgers, and the server of their events.
pub struct Machine {
    folder: TempDir,
    pub url: String,
}

impl Machine {
    /// A machine that no server is named to.
    pub fn new() -> Self {
        Self::with_server(String::new())
    }

    pub fn with_server(url: String) -> Self {
        Self { folder: TempDir::with_prefix("cim-keys-cli-").unwrap(), url }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program(self.path(), args);
        command.env("CIM_KEYS_PASSPHRASE", PASSPHRASE);
        if !self.url.is_empty() {
            command.env("CIM_KEYS_NATS_URL", &self.url);
        }
        command
    }

    /// A command without any passphrase.
    pub fn unattended(&self, args: &[&str]) -> Run {
        let mut command = self.command(args);
        command.env_remove("CIM_KEYS_PASSPHRASE");
        run(command, b"")
    }

    pub fn run(&self, args: &[&str]) -> Run {
        run(self.command(args), b"")
    }

    /// What a command that succeeds says.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        run.stdout
    }

    /// What a command says that fails with an exit code.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        run.stderr
    }

    /// The first line of what a command says as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--output", "json"]].concat());
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    }
}
