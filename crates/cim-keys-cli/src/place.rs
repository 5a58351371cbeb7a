//! What the library never looks at: environment, home and working directory.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cim_keys::config::{Layers, Resolved};

use crate::advice::quoted;
use crate::error::{CliError, Result};
use crate::global::Global;

/// The file that makes a folder a ledger.
pub(crate) const LEDGER_FILE: &str = "ledger.db";

/// The ledger's configuration, inside its folder.
pub(crate) const CONFIG_FILE: &str = "config.toml";

/// The folder of an existing ledger: the one that was named, or the nearest one upward.
pub(crate) fn ledger(global: &Global) -> Result<PathBuf> {
    if let Some(folder) = named(global) {
        return if folder.join(LEDGER_FILE).is_file() { Ok(folder.clone()) } else { Err(no_ledger_at(folder)) };
    }
    nearest()?.ok_or_else(|| {
        CliError::usage("no ledger was named, and there is none in this folder or above it")
            .hint("name one with --ledger DIR or CIM_KEYS_LEDGER, or make one with `cim-keys init DIR`")
    })
}

/// The folder of the ledger that was named or is nearest, whether it exists already or not.
pub(crate) fn ledger_or_new(global: &Global) -> Result<Option<PathBuf>> {
    match named(global) {
        Some(folder) => Ok(Some(folder.clone())),
        None => nearest(),
    }
}

/// An empty variable names nothing.
fn named(global: &Global) -> Option<&PathBuf> {
    global.ledger.as_ref().filter(|folder| !folder.as_os_str().is_empty())
}

fn nearest() -> Result<Option<PathBuf>> {
    let here =
        env::current_dir().map_err(|error| CliError::failed("cannot tell the working directory").because(&error))?;
    Ok(here.ancestors().find(|folder| folder.join(LEDGER_FILE).is_file()).map(Path::to_owned))
}

fn no_ledger_at(folder: &Path) -> CliError {
    let error = CliError::usage(format!("there is no ledger in {}", folder.display()));
    if folder.is_file() {
        return error
            .detail("that is a file")
            .hint("name the folder that `cim-keys init` made: the one that holds ledger.db");
    }
    if folder.join(LEDGER_FILE).exists() {
        return error.detail("what is called ledger.db there is no file").hint("name another folder with --ledger");
    }
    let named = quoted(&folder.to_string_lossy());
    match folder.exists() {
        true => error.hint(format!("make one with `cim-keys init {named}`, or name another with --ledger")),
        false => error.hint(format!("the folder does not exist; `cim-keys init {named}` makes it")),
    }
}

/// The other ledgers in the folder that one is in, and in the working directory, by their names.
pub(crate) fn nearby(ledger: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| CliError::failed("cannot look for ledgers nearby").because(&error);
    let own = fs::canonicalize(ledger).map_err(cannot)?;
    let here = env::current_dir().and_then(fs::canonicalize).map_err(cannot)?;
    let mut found = std::collections::BTreeSet::new();
    for folder in own.parent().into_iter().chain([here.as_path()]) {
        for entry in fs::read_dir(folder).map_err(cannot)?.flatten() {
            let path = entry.path();
            // Links are not followed: a ledger elsewhere is named.
            if path != own && entry.file_type().is_ok_and(|kind| kind.is_dir()) && path.join(LEDGER_FILE).is_file() {
                found.insert(path);
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Where this machine keeps what must not travel with a ledger's folder: the right to write it.
pub(crate) fn state_folder() -> Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    named("CIM_KEYS_STATE")
        .or_else(|| named("XDG_STATE_HOME").and_then(absolute).map(|state| state.join("cim-keys")))
        .or_else(|| named("HOME").and_then(absolute).map(|home| home.join(".local/state/cim-keys")))
        .ok_or_else(|| {
            CliError::usage("there is no place to keep the right to write ledgers: this user has no home folder")
                .hint("set CIM_KEYS_STATE to a folder that stays on this machine")
        })
}

/// Where this user's sockets are, as long as the user is logged in.
pub(crate) fn runtime_folder() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The configuration: defaults, the ledger's `config.toml`, `CIM_KEYS_*`, in this order.
pub(crate) fn config(ledger: Option<&Path>) -> Result<Resolved> {
    config_with(ledger, &[])
}

/// The configuration, with flags (their name, the key, the value) above all else.
pub(crate) fn config_with(ledger: Option<&Path>, flags: &[(&str, &str, String)]) -> Result<Resolved> {
    let mut layers = Layers::new();
    if let Some(path) = ledger.map(|folder| folder.join(CONFIG_FILE)) {
        match read_config(&path) {
            Ok(text) => layers.file(&path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(CliError::usage(format!("cannot read {}", path.display()))
                    .because(&error)
                    .hint("`cim-keys config example` writes one that says nothing but the defaults"));
            }
        }
    }
    let pairs: Vec<(OsString, OsString)> = env::vars_os().collect();
    layers.variables(pairs);
    for (flag, key, value) in flags {
        layers.flag(flag, key, value);
    }
    layers.resolve().map_err(|error| invalid_config(&error))
}

/// Reads a configuration that is a file: a pipe or a device would never end. What is too large is told so by whoever parses it.
fn read_config(path: &Path) -> std::io::Result<String> {
    const MOST: u64 = 1 << 20;
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// A wrong configuration, as it is told: every problem on a line.
pub(crate) fn invalid_config(error: &cim_keys::config::ConfigError) -> CliError {
    let mut told = CliError::usage("the configuration is not valid");
    for problem in &error.problems {
        told = told.detail(problem.to_string());
    }
    told.hint("`cim-keys config example` shows every key with its meaning; `cim-keys config show --origin` what is set")
}
