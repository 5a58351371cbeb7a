//! The feature matrix, what the lean build pulls in, and the Rust version that is promised.

use crate::Result;
use crate::shell::{cargo, read, root, run};

/// The sets that must each build by themselves; the empty one first.
const SETS: [&str; 6] = ["", "ipld", "nats-client,ipld", "store", "custody", "nats-client,ipld,store,custody"];

/// What an embedding program that only publishes must never compile.
const NOT_LEAN: [&str; 10] =
    ["rusqlite", "libsqlite3-sys", "age", "axum", "hyper", "tiny_http", "warp", "cedar-policy", "regorus", "clap"];

/// Checks each set of features, the lean build's dependencies, and the promised Rust version.
pub(crate) fn features(clippy: bool) -> Result {
    lean()?;
    rust_version()?;
    for set in SETS {
        let act = if clippy { "clippy" } else { "check" };
        let mut command = cargo(&[act, "--quiet", "--package", "cim-keys", "--lib", "--no-default-features"]);
        command.args(["--features", set]);
        if clippy {
            command.args(["--", "--deny", "warnings"]);
        }
        run(&mut command).map_err(|problem| format!("with the features \"{set}\": {problem}"))?;
    }
    Ok(())
}

/// `--no-default-features --features nats-client,ipld` pulls no database, no web server and no policy engine.
fn lean() -> Result {
    let tree = ["tree", "--package", "cim-keys", "--no-default-features", "--features", "nats-client,ipld"];
    let tree = read(cargo(&tree).args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]))?;
    let mut count = std::collections::BTreeSet::new();
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if NOT_LEAN.contains(&name) {
            return Err(format!("the lean build pulls in {line}: see `cargo tree --invert {name}`"));
        }
        count.insert(name);
    }
    eprintln!("the lean build is lean: {} packages", count.len());
    Ok(())
}

/// The toolchain in use must be the promised one at least; where it is exactly that, the promise is checked by this run.
fn rust_version() -> Result {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).map_err(|error| error.to_string())?;
    let promised = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .map(|value| value.trim().trim_matches('"').to_owned())
        .ok_or("Cargo.toml states no rust-version")?;
    let said = read(&mut crate::shell::program("rustc", &["--version"]))?;
    let used = said.split_whitespace().nth(1).unwrap_or_default();
    if used.starts_with(&format!("{promised}.")) {
        eprintln!("rust-version {promised} is what this run builds with");
    } else {
        eprintln!(
            "rust-version {promised} is promised, and this run builds with {used}: the promise is not checked here"
        );
    }
    Ok(())
}
