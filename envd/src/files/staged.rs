//! A file that appears whole or not at all: written beside its target under a passing name, then renamed over
//! it. The directory is held open, so the name cannot come to mean another place meanwhile.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::opened::check_regular;
use crate::fault::{Fault, Outcome};
use crate::metadata::{self, Metadata};
use crate::passing::Purpose;
use crate::paths;

const NEW_FILE_MODE: u32 = 0o644;
/// What a replaced file hands down. As with a write in place, rights to act as its owner do not stay.
const KEPT_MODE: u32 = 0o1777;

/// What an upload says about its files beside their content.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// `None` keeps the mode of a file that is replaced, and gives a new one the usual mode.
    pub mode: Option<u32>,
    pub metadata: Metadata,
}

/// A file on its way. Dropped before it is committed, it takes the passing file with it.
pub struct Staged {
    pub file: Arc<File>,
    directory: OwnedFd,
    passing: CString,
    name: CString,
    mode: u32,
    committed: bool,
}

impl Staged {
    /// Makes missing parents and the passing file. Blocks; runs with the rights of the user who shall own them.
    pub fn create(path: &Path, attributes: &Attributes) -> Outcome<Self> {
        let fault = |error: io::Error| Fault::io(&paths::display(path), &error);
        let (path, kept_mode) = target(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Fault::invalid(format!("path: {} is a directory", path.display())));
        };
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(|error| parent_fault(parent, &error))?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory = fs::OpenOptions::new().read(true).custom_flags(flags).open(parent).map_err(fault)?.into();
        let purpose = if path.exists() { Purpose::Replace } else { Purpose::Create };
        let passing = purpose.new_name().map_err(fault)?;
        let name = CString::new(name.as_bytes()).map_err(|_| Fault::invalid("path: must not contain NUL"))?;
        let file = create_in(&directory, &passing).map_err(fault)?;
        let mode = attributes.mode.unwrap_or(kept_mode);
        let staged = Self { file: Arc::new(file), directory, passing, name, mode, committed: false };
        metadata::write(&staged.file, &path, &attributes.metadata)?;
        Ok(staged)
    }

    /// Puts the file in its place. Blocks; runs with the rights of the same user.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        // Content before name: after a power cut the name must not lead to a file without its bytes.
        self.file.sync_all()?;
        let directory = self.directory.as_raw_fd();
        // SAFETY: both names are NUL-terminated and alive, the descriptor is open.
        let result = unsafe { libc::renameat(directory, self.passing.as_ptr(), directory, self.name.as_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        self.committed = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            // SAFETY: the name is NUL-terminated and alive, the descriptor is open. A failure leaves a file that
            // nobody refers to, and there is nobody to tell.
            unsafe { libc::unlinkat(self.directory.as_raw_fd(), self.passing.as_ptr(), 0) };
        }
    }
}

/// Follows a symbolic link to the file it means, and finds the mode that the result shall have.
fn target(path: &Path) -> Outcome<(PathBuf, u32)> {
    match fs::metadata(path) {
        Ok(metadata) => {
            check_regular("path", path, &metadata)?;
            let real = fs::canonicalize(path).map_err(|error| Fault::io(&paths::display(path), &error))?;
            Ok((real, metadata.permissions().mode() & KEPT_MODE))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), fs::read_link(path)) {
            // A link that leads nowhere yet. Links in a circle are another error, so this comes to an end.
            (Some(parent), Ok(link)) => target(&parent.join(link)),
            _ => Ok((path.to_owned(), NEW_FILE_MODE)),
        },
        Err(error) => Err(Fault::io(&paths::display(path), &error)),
    }
}

fn parent_fault(parent: &Path, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Fault::invalid(format!("path: {} is not a directory", parent.display())),
        _ => Fault::io(&paths::display(parent), error),
    }
}

/// Creates the file anew: `O_EXCL` refuses whatever has the name already, links included.
fn create_in(directory: &OwnedFd, name: &CString) -> io::Result<File> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: the name is NUL-terminated and alive, the descriptor is open.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o600) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests;
