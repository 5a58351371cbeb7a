//! Where an agent listens: a socket that only its owner reaches, and one agent at each.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cim_keys::files::create_private_folder;
use cim_keys::text::visible;

use super::args::SocketArgs;
use crate::advice::quoted;
use crate::error::{CliError, Result};
use crate::place;

/// The longest path of a socket that Linux and macOS both take, in bytes.
const LONGEST_PATH: usize = 103;

/// How long `agent stop` waits for an agent to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket that is meant.
pub(super) fn path(args: &SocketArgs) -> Result<PathBuf> {
    if let Some(path) = args.socket.as_ref().filter(|path| !path.as_os_str().is_empty()) {
        return std::path::absolute(path).map_err(|error| CliError::usage("there is no such place").because(&error));
    }
    match place::runtime_folder() {
        Some(folder) => Ok(folder.join("cim-keys/agent.sock")),
        None => Ok(place::state_folder()?.join("agent/agent.sock")),
    }
}

/// A socket's place, which no other agent has as long as this is held.
#[derive(Debug)]
pub(super) struct Claimed {
    path: PathBuf,
    /// Let go of by the system when an agent is killed: so a socket without a lock is one that nobody listens at.
    _lock: File,
}

/// An agent's socket, which is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    place: Claimed,
    listener: UnixListener,
}

impl Claimed {
    /// Claims a place in a folder that only its owner may enter.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let shown = visible(&path.to_string_lossy()).into_owned();
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(CliError::usage(format!("{shown} is too long for a socket's path"))
                .hint(format!("name a shorter one with --socket: {LONGEST_PATH} bytes at most")));
        }
        private_folder(path.parent().unwrap_or(Path::new("/")))?;
        match try_lock(path) {
            Ok(Some(lock)) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Ok(None) => Err(CliError::refused(format!("an agent listens at {shown} already")).hint(
                "`cim-keys agent status` shows it and `cim-keys agent stop` ends it; or give this one another --socket",
            )),
            Err(error) => Err(cannot_listen(path, &error)),
        }
    }

    /// Makes the socket. What a killed agent left there is replaced.
    pub(super) fn listen(self) -> Result<Listening> {
        let cannot = |error: io::Error| cannot_listen(&self.path, &error);
        match fs::symlink_metadata(&self.path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(&self.path).map_err(cannot)?,
            Ok(_) => {
                let shown = visible(&self.path.to_string_lossy()).into_owned();
                return Err(CliError::usage(format!("{shown} is there, and is no socket"))
                    .hint("it was left as it is; name another place with --socket"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        let listener = UnixListener::bind(&self.path).map_err(cannot)?;
        let listening = Listening { place: self, listener };
        let cannot = |error: io::Error| cannot_listen(listening.path(), &error);
        // The folder keeps others out between these two calls.
        fs::set_permissions(listening.path(), fs::Permissions::from_mode(0o600)).map_err(cannot)?;
        listening.listener.set_nonblocking(true).map_err(cannot)?;
        Ok(listening)
    }
}

impl Listening {
    /// The socket.
    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    /// What to accept connections from.
    pub(super) const fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // The place is still claimed: this is the socket of nobody else.
        let _ = fs::remove_file(&self.place.path);
    }
}

fn cannot_listen(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("cannot listen at {}", visible(&path.to_string_lossy()))).because(error)
}

/// Waits until no agent holds a socket any more.
pub(super) fn wait_until_free(path: &Path) -> Result {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_lock(path) {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                return Err(CliError::failed("the agent was asked to end, and has not yet")
                    .hint("it may be recording something; `cim-keys agent status` shows whether it is still there"));
            }
            Err(error) => return Err(CliError::failed("cannot tell whether the agent has ended").because(&error)),
        }
    }
}

/// The lock of a socket; `None` when an agent holds it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a folder that only its owner may enter, or checks that one is such.
fn private_folder(folder: &Path) -> Result {
    let shown = visible(&folder.to_string_lossy()).into_owned();
    let cannot = |error: io::Error| CliError::failed(format!("cannot make the folder {shown}")).because(&error);
    create_private_folder(folder).map_err(cannot)?;
    let found = fs::symlink_metadata(folder).map_err(cannot)?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != own {
        return Err(CliError::usage(format!("{shown} is no folder of this user's own"))
            .hint("name a socket in another folder with --socket"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(CliError::usage(format!("others may enter the folder {shown}")).hint(format!(
            "chmod 700 {}, or name a socket in a folder of its own with --socket",
            quoted(&folder.to_string_lossy())
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_agent_a_socket_and_what_was_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/agent.sock");
        let first = Claimed::at(&path).unwrap().listen().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(Claimed::at(&path).unwrap_err().code(), 3);
        drop(first);
        assert!(!path.exists());
        wait_until_free(&path).unwrap();
        // What a killed agent leaves: the socket, and nobody who holds the lock.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Claimed::at(&path).unwrap().listen().unwrap());
    }

    #[test]
    fn neither_files_nor_open_folders_nor_long_paths() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let path = folder.path().join("agent.sock");
        fs::write(&path, "mine").unwrap();
        assert_eq!(Claimed::at(&path).unwrap().listen().unwrap_err().code(), 2);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Claimed::at(&folder.path().join("other.sock")).unwrap_err().code(), 2);
        assert_eq!(Claimed::at(&folder.path().join("x".repeat(200))).unwrap_err().code(), 2);
    }
}
