//! A file with something secret in it, or standard output.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cim_keys::files::{create_private_file, create_private_folder, folder_of, sync_folder};
use cim_keys::text::visible;

use crate::error::{CliError, Result};

/// A new file of mode 0600, begun before anything is recorded; `-` is standard output. It has no name until it is written, where
/// the system knows such files: a process that is killed before leaves nothing. Elsewhere it is removed again when nothing is
/// written to it.
#[derive(Debug)]
pub(crate) struct Out {
    path: Option<PathBuf>,
    file: Option<Begun>,
}

/// A file that is being written.
#[derive(Debug)]
enum Begun {
    /// It gets its name when it is written.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// It has its name already.
    Named(File),
}

impl Out {
    /// Begins the file, which must not be there yet.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { path: None, file: None });
        }
        let file = begin(path).map_err(|error| cannot_make(path, &error))?;
        Ok(Self { path: Some(path.to_owned()), file: Some(file) })
    }

    /// Writes everything; durable when it returns.
    pub(crate) fn write(&mut self, content: &[u8]) -> Result {
        let (Some(file), Some(path)) = (self.file.take(), &self.path) else {
            return Ok(io::stdout().lock().write_all(content)?);
        };
        file.write(path, content).map_err(|error| {
            CliError::failed(format!("{} could not be written", visible(&path.to_string_lossy())))
                .because(&error)
                .hint("make room, remove what is there of it, and try again")
        })
    }

    /// Whether standard output is what was written to; then nothing else is said there.
    pub(crate) const fn is_standard_output(&self) -> bool {
        self.path.is_none()
    }

    /// Its path as people read it; `-` for standard output.
    pub(crate) fn shown(&self) -> String {
        self.path.as_ref().map_or_else(|| "-".to_owned(), |path| visible(&path.to_string_lossy()).into_owned())
    }
}

fn cannot_make(path: &Path, error: &io::Error) -> CliError {
    let hint = match error.kind() {
        io::ErrorKind::AlreadyExists => "name one that does not exist yet",
        io::ErrorKind::NotFound => "make its folder first, or name another",
        _ => "name one in a folder that you may write to",
    };
    CliError::usage(format!("cannot make the file {}", visible(&path.to_string_lossy()))).because(error).hint(hint)
}

#[cfg(target_os = "linux")]
fn begin(path: &Path) -> io::Result<Begun> {
    use rustix::fs::{Mode, OFlags};
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder_of(path), flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Begun::Unnamed(file.into())),
        // The file system has no files without a name.
        Err(_) => create_private_file(path).map(Begun::Named),
    }
}

#[cfg(not(target_os = "linux"))]
fn begin(path: &Path) -> io::Result<Begun> {
    create_private_file(path).map(Begun::Named)
}

impl Begun {
    fn write(self, path: &Path, content: &[u8]) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(mut file) => {
                use std::os::fd::AsRawFd as _;

                use rustix::fs::{AtFlags, CWD};
                file.write_all(content)?;
                file.sync_all()?;
                let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
                sync_folder(folder_of(path))
            }
            Self::Named(mut file) => {
                file.write_all(content)?;
                file.sync_all()
            }
        }
    }
}

impl Drop for Out {
    /// Removes a file that nothing was written to.
    fn drop(&mut self) {
        if let (Some(path), Some(Begun::Named(_))) = (&self.path, &self.file) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a folder for such files that only its owner may enter; one that is there stays as it is.
pub(crate) fn folder(path: &Path) -> Result {
    create_private_folder(path).map_err(|error| {
        CliError::failed(format!("cannot make the folder {}", visible(&path.to_string_lossy()))).because(&error)
    })
}

/// A name as that of a file.
pub(crate) fn file_name(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    if clean.starts_with('.') { format!("_{clean}") } else { clean }
}
