//! A test that runs again in a process of its own, where it can be killed or sees another environment.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells a test that it runs again, and where it is to work.
const PLACE: &str = "CIM_KEYS_TEST_AGAIN_AT";

/// The command that runs one test of this program, and no other: `again(module_path!(), "a_test")`. What it prints
/// comes out as it is printed.
///
/// # Panics
/// When the system does not say which program this is.
#[must_use]
pub fn again(module: &str, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["--exact", &name(module, test), "--include-ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// The same, with a place to work at: the test finds it with [`place`].
///
/// # Panics
/// As [`again`].
#[must_use]
pub fn again_at(module: &str, test: &str, place: &Path) -> Command {
    let mut command = again(module, test);
    command.env(PLACE, place);
    command
}

/// Where this test is to work, when it was started by [`again_at`].
#[must_use]
pub fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// Runs a test again that ends its process as a kill does.
///
/// # Panics
/// When it can't be run, or comes to its end.
pub fn dies(module: &str, test: &str, place: &Path) {
    let output = again_at(module, test, place).output().expect("the test runs");
    assert!(!output.status.success(), "{test}: {}", String::from_utf8_lossy(&output.stdout));
}

/// A test as its program lists it. The path of a module begins with the program's name.
fn name(module: &str, test: &str) -> String {
    match module.split_once("::") {
        Some((_, module)) => format!("{module}::{test}"),
        None => test.to_owned(),
    }
}
