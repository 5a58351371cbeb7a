//! A file with something secret in it, or standard output.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cim_keys::files::{create_private_file, create_private_folder};
use cim_keys::text::visible;

use crate::error::{CliError, Result};

/// A new file of mode 0600, made before anything is recorded and removed again when nothing is written to it; `-` is
/// standard output.
#[derive(Debug)]
pub(crate) struct Out {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Out {
    /// Makes the file, which must not be there yet.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { path: None, file: None });
        }
        let file = create_private_file(path).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => "name one that does not exist yet",
                io::ErrorKind::NotFound => "make its folder first, or name another",
                _ => "name one in a folder that you may write to",
            };
            CliError::usage(format!("cannot make the file {}", visible(&path.to_string_lossy())))
                .because(&error)
                .hint(hint)
        })?;
        Ok(Self { path: Some(path.to_owned()), file: Some(file) })
    }

    /// Writes everything; durable when it returns.
    pub(crate) fn write(&mut self, content: &[u8]) -> Result {
        let (Some(mut file), Some(path)) = (self.file.take(), &self.path) else {
            return Ok(io::stdout().lock().write_all(content)?);
        };
        file.write_all(content).and_then(|()| file.sync_all()).map_err(|error| {
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

impl Drop for Out {
    /// Removes a file that nothing was written to.
    fn drop(&mut self) {
        if let (Some(path), Some(_)) = (&self.path, &self.file) {
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
