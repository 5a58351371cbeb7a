//! Where the tests' tools are, and what happens when one is missing.

use std::path::{Path, PathBuf};

/// A current nats-server, with atomic batches.
pub const NATS_SERVER: &str = "CIM_KEYS_NATS_SERVER";
/// A nats-server older than 2.12.
pub const NATS_SERVER_OLD: &str = "CIM_KEYS_NATS_SERVER_OLD";
/// A Python with `dag_cbor`, `libipld` and `cryptography`.
pub const PYTHON: &str = "CIM_KEYS_PYTHON";
/// A folder of JavaScript modules with `@ipld/dag-cbor`, `@ipld/car` and `multiformats`.
pub const NODE_MODULES: &str = "CIM_KEYS_NODE_MODULES";
/// The age program.
pub const AGE: &str = "CIM_KEYS_AGE";
/// The `nsc` program.
pub const NSC: &str = "CIM_KEYS_NSC";
/// The `nats` program.
pub const NATS: &str = "CIM_KEYS_NATS";
/// The `strace` program.
pub const STRACE: &str = "CIM_KEYS_STRACE";

/// A tool by its variable: as the environment says, else where `cargo xtask tools` puts it. `None`, and a line that says
/// so, when it is nowhere; where nothing may be skipped, that fails the test.
#[must_use]
pub fn tool(variable: &str) -> Option<PathBuf> {
    let usual = match variable {
        NATS_SERVER => "nats-server/nats-server",
        NATS_SERVER_OLD => "nats-server-old/nats-server",
        PYTHON => "python/bin/python3",
        NODE_MODULES => "node/node_modules",
        AGE => "age/usr/bin/age",
        NSC => "go/nsc",
        NATS => "go/nats",
        STRACE => "strace/usr/bin/strace",
        _ => "",
    };
    let given = std::env::var_os(variable).map(PathBuf::from);
    let found = given.or_else(|| Some(target()?.join("test-tools").join(usual))).filter(|path| path.exists());
    if found.is_none() {
        skip(&format!("no {variable}: `cargo xtask test` fetches it and says why it could not"));
    }
    found
}

/// Says that a test does nothing here, and why. With `CI=true` nothing may be skipped: there it panics.
///
/// # Panics
/// With `CI=true`.
pub fn skip(why: &str) {
    let line = format!("SKIPPED: {why}");
    assert!(!strict(), "{line} (and CI must skip nothing)");
    eprintln!("{line}");
}

fn strict() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Cargo's target folder: the nearest one above the test's own program.
fn target() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().find(|folder| folder.join("test-tools").is_dir()).map(Path::to_path_buf)
}
