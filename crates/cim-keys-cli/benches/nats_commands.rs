//! NATS identities as people meet them: whole commands, from the start of the process to its end, on a ledger with a fleet;
//! beside `nsc` on a home with the same fleet.
//!
//! `cargo xtask bench nats_commands [-- USERS]`; 10,000 when nothing is said. Custody has the least work factor; what the
//! default's scrypt costs is told apart.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cim_keys_testkit::manifests::ACME;
use cim_keys_testkit::tools::{NSC, tool};

/// How many users `nsc` makes: one costs as much as another.
const NSC_USERS: usize = 500;
const ROUNDS: usize = 9;

fn main() {
    let users: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(10_000);
    let bench = Bench { dir: tempfile::TempDir::with_prefix("cim-keys-bench-").unwrap() };
    bench.write("pass", "a passphrase for the bench");
    println!("scrypt, once a compartment and command, at the default work factor: {:.0} ms", bench.scrypt());

    bench.ours(&["init", "--name", "Acme", "--work-factor", "10"]);
    bench.apply(&format!("{ACME}{DEVICE}"));
    let made = bench.apply(&format!("{ACME}{DEVICE}{}", fleet(users)));
    println!("apply of a file with a fleet of {users}: {made:.0} ms, {:.3} ms a user", made / users as f64);

    // The same users, keys included, in a home of nsc's.
    let home = bench.path("nsc");
    let nsc = tool(NSC).inspect(|_| {
        bench.ours(&["nats", "export", "--nsc", home.to_str().unwrap(), "--with-seeds", "--yes"]);
    });
    let explain = median(|round| {
        let subject = format!("devices.{}.up", name(3 * round + 1));
        bench.ours(&["nats", "explain", "--user", &device(3 * round + 1), "--publish", &subject])
    });
    println!("nats explain: {explain:.1} ms");
    let creds = median(|round| {
        let file = format!("{round}.creds");
        let took = bench.ours(&["nats", "creds", &device(3 * round + 2), "--file", &file]);
        assert!(fs::read_to_string(bench.path(&file)).unwrap().contains("BEGIN USER NKEY SEED"));
        took
    });
    println!("nats creds: {creds:.1} ms");
    let revoke = median(|round| {
        bench.ours(&["nats", "user", "revoke", &device(3 * round + 3), "--reason", "the bench", "--yes"])
    });
    println!("nats user revoke: {revoke:.1} ms");

    let Some(nsc) = nsc else { return };
    let theirs = median(|round| {
        let (name, file) = (name(3 * round + 2), bench.path(&format!("{round}.nsc.creds")));
        let args =
            ["generate", "creds", "--account", "ORDERS", "--name", &name, "--output-file", file.to_str().unwrap()];
        bench.nsc(&nsc, &home, &args)
    });
    println!("nsc generate creds on the same users: {theirs:.1} ms, {:.1} times ours", theirs / creds);
    let theirs = median(|round| {
        bench.nsc(&nsc, &home, &["revocations", "add-user", "--account", "ORDERS", "--name", &name(3 * round + 3)])
    });
    println!("nsc revocations add-user on the same users: {theirs:.1} ms, {:.1} times ours", theirs / revoke);
    let fresh = bench.path("nsc-fresh");
    bench.nsc(&nsc, &fresh, &["add", "operator", "ACME", "--sys"]);
    bench.nsc(&nsc, &fresh, &["add", "account", "ORDERS"]);
    let each = (0..NSC_USERS).map(|number| {
        bench.nsc(&nsc, &fresh, &["add", "user", "--account", "ORDERS", "--name", &format!("d-{number:05}")])
    });
    let each = each.sum::<f64>() / NSC_USERS as f64;
    println!("nsc add user, {NSC_USERS} of them: {each:.1} ms a user, {:.0} times ours", each * users as f64 / made);
}

/// Behind [`ACME`]: the role of the fleet.
const DEVICE: &str = r#"
[nats.accounts.orders.roles.device]
publish = { allow = ["devices.{{name()}}.>"] }
"#;

fn fleet(users: usize) -> String {
    format!("[nats.accounts.orders.fleets.devices]\nrole = \"device\"\ncount = {users}\nname = \"d-{{n:05}}\"\n")
}

fn name(number: usize) -> String {
    format!("d-{number:05}")
}

fn device(number: usize) -> String {
    format!("ORDERS/{}", name(number))
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Our program on the ledger; how long it took, in milliseconds.
    fn ours(&self, args: &[&str]) -> f64 {
        self.in_ledger("acme", args)
    }

    fn in_ledger(&self, ledger: &str, args: &[&str]) -> f64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cim-keys"));
        command.env_clear().env("CIM_KEYS_STATE", self.path("state")).env("CIM_KEYS_LEDGER", self.path(ledger));
        command.args(args).arg("--passphrase-file").arg(self.path("pass")).current_dir(self.dir.path());
        timed(command)
    }

    fn apply(&self, text: &str) -> f64 {
        let file = self.write("acme.toml", text);
        self.ours(&["apply", file.to_str().unwrap(), "--yes"])
    }

    /// What opening a compartment of another ledger costs, beside one with the least work factor.
    fn scrypt(&self) -> f64 {
        let signed = |ledger: &str, factor: &str| {
            self.in_ledger(ledger, &["init", "--name", "Acme", "--work-factor", factor]);
            self.in_ledger(ledger, &["log", "checkpoint", "--sign"])
        };
        signed("default", "18") - signed("least", "10")
    }

    fn nsc(&self, program: &Path, home: &Path, args: &[&str]) -> f64 {
        fs::create_dir_all(home).unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").arg("--all-dirs").arg(home).args(args);
        timed(command)
    }
}

fn timed(mut command: Command) -> f64 {
    let start = Instant::now();
    let output = command.output().unwrap();
    let took = start.elapsed().as_secs_f64() * 1_000.0;
    assert!(output.status.success(), "{command:?}: {output:?}");
    took
}

fn median(act: impl FnMut(usize) -> f64) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS).map(act).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
