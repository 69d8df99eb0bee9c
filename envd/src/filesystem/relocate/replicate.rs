//! Copies a file or a tree with everything that can be carried over: content and holes, links of both kinds, special
//! files, and what [`attributes`] carries.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::attributes::{self, c_path};
use super::{content, fault};
use crate::fault::{Fault, Kind, Outcome};

struct Copying {
    device: u64,
    /// Directories that are made, each before its children.
    directories: Vec<Directory>,
    /// Where the first name of a file with several has its copy.
    links: HashMap<u64, PathBuf>,
}

#[derive(Clone)]
struct Directory {
    from: PathBuf,
    to: PathBuf,
    metadata: Metadata,
}

/// Copies `from` to `to`, which must not exist. A failure leaves what has been copied so far.
pub fn replicate(from: &Path, to: &Path) -> Outcome<()> {
    let metadata = fs::symlink_metadata(from).map_err(|error| fault("source", from, &error))?;
    let mut copying = Copying { device: metadata.dev(), directories: Vec::new(), links: HashMap::new() };
    copying.item(from, to, metadata)?;
    let mut next = 0;
    while let Some(directory) = copying.directories.get(next).cloned() {
        copying.children(&directory)?;
        next += 1;
    }
    // Last, because until here things were made in them; children first, because the parent may become read-only.
    for Directory { from, to, metadata } in copying.directories.iter().rev() {
        attributes::carry(from, to, metadata).map_err(|error| refused(from, &error))?;
    }
    Ok(())
}

impl Copying {
    fn children(&mut self, directory: &Directory) -> Outcome<()> {
        let Directory { from, to, .. } = directory;
        let mut is_empty = true;
        for entry in fs::read_dir(from).map_err(|error| fault("source", from, &error))? {
            let entry = entry.map_err(|error| fault("source", from, &error))?;
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).map_err(|error| fault("source", &path, &error))?;
            self.item(&path, &to.join(entry.file_name()), metadata)?;
            is_empty = false;
        }
        // Asked before anything is changed: what cannot be removed later must not be copied for nothing.
        if is_empty || may_empty(directory) {
            return Ok(());
        }
        Err(Fault::new(Kind::PermissionDenied, format!("source: {} must not be removed", from.display())))
    }

    fn item(&mut self, from: &Path, to: &Path, metadata: Metadata) -> Outcome<()> {
        if metadata.dev() != self.device {
            let message = format!("source: {} is a mount point, and has to be moved by itself", from.display());
            return Err(Fault::new(Kind::FailedPrecondition, message));
        }
        let fail = |error: io::Error| refused(from, &error);
        if metadata.is_dir() {
            DirBuilder::new().mode(0o700).create(to).map_err(fail)?;
            self.directories.push(Directory { from: from.to_owned(), to: to.to_owned(), metadata });
            return Ok(());
        }
        if metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&metadata.ino()) {
                return fs::hard_link(first, to).map_err(fail);
            }
            self.links.insert(metadata.ino(), to.to_owned());
        }
        if metadata.is_file() {
            let source = content::open(from).map_err(|error| fault("source", from, &error))?;
            content::copy(&source, to).map_err(fail)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(from).map_err(|error| fault("source", from, &error))?;
            symlink(target, to).map_err(fail)?;
        } else {
            special(to, &metadata).map_err(fail)?;
        }
        attributes::carry(from, to, &metadata).map_err(fail)
    }
}

/// The copy has a name that means nothing to the caller, so the original's says what could not be copied.
fn refused(from: &Path, error: &io::Error) -> Fault {
    Fault::io(&format!("destination: cannot take {}", from.display()), error)
}

/// A FIFO, a socket or a device.
fn special(to: &Path, metadata: &Metadata) -> io::Result<()> {
    let path = c_path(to)?;
    // SAFETY: the path is NUL-terminated and alive; the rest are numbers.
    let result = unsafe { libc::mknod(path.as_ptr(), metadata.mode() & libc::S_IFMT, metadata.rdev()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The owner of the copy is the user that copies: who owns a directory may make it writable.
fn may_empty(directory: &Directory) -> bool {
    let is_own = fs::symlink_metadata(&directory.to).is_ok_and(|copy| copy.uid() == directory.metadata.uid());
    is_own || attributes::may_change_entries(&directory.from)
}
