//! A move to another file system: copied beside its destination, put in place by a rename, and removed where it was.
//! Whoever looks sees all of it at one place or the other, but for the moment between two renames.

mod attributes;
mod content;
mod remove;
mod replicate;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::remove::remove_tree;
use crate::fault::{Fault, Outcome};
use crate::passing::Purpose;
use crate::paths;

/// Moves what rename(2) refused to move because `destination` is on another file system. A failure leaves the source
/// as it was and nothing at the destination; the one that cannot says so.
pub fn relocate(source: &Path, destination: &Path) -> Outcome<()> {
    let at_source = |error: io::Error| fault("source", source, &error);
    let at_destination = |error: io::Error| fault("destination", destination, &error);
    refuse_inside(source, destination)?;
    refuse_occupied(source, destination).map_err(at_destination)?;
    let staged = Staged(beside(destination).map_err(at_destination)?);
    replicate::replicate(source, &staged.0)?;
    // What is removed below must be on disk at its new place first.
    sync(destination).map_err(at_destination)?;

    let aside = beside(source).map_err(at_source)?;
    fs::rename(source, &aside).map_err(at_source)?;
    if let Err(error) = fs::rename(&staged.0, destination) {
        put_back(&aside, source)?;
        return Err(at_destination(error));
    }
    remove_tree(&aside).or_else(|error| {
        put_back(&aside, source)?;
        Err(Fault::io("source: is now at the destination, but some of it could not be removed here", &error))
    })
}

/// The copy on its way, under a name of its own; once it has been renamed there is nothing left to remove.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // A failure leaves something under a passing name, and there is nobody to tell.
        let _left = remove_tree(&self.0);
    }
}

/// Copying a directory into itself would not end. Where both are on one file system the kernel refuses it.
fn refuse_inside(source: &Path, destination: &Path) -> Outcome<()> {
    let parent = fs::canonicalize(destination.parent().unwrap_or(destination));
    match (fs::canonicalize(source), parent) {
        (Ok(source), Ok(parent)) if parent.starts_with(&source) => {
            Err(Fault::invalid("destination: is inside the source"))
        }
        // Whatever does not resolve fails again below, with its own message.
        _ => Ok(()),
    }
}

/// The last rename would refuse these as well, after all the work.
fn refuse_occupied(source: &Path, destination: &Path) -> io::Result<()> {
    let (Ok(source), Ok(occupant)) = (fs::symlink_metadata(source), fs::symlink_metadata(destination)) else {
        return Ok(());
    };
    match (source.is_dir(), occupant.is_dir()) {
        (true, false) => Err(io::ErrorKind::NotADirectory.into()),
        (false, true) => Err(io::ErrorKind::IsADirectory.into()),
        (true, true) if fs::read_dir(destination)?.next().is_some() => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = Purpose::Aside.new_name()?;
    Ok(path.with_file_name(OsStr::from_bytes(name.as_bytes())))
}

fn sync(destination: &Path) -> io::Result<()> {
    let directory = File::open(destination.parent().unwrap_or(destination))?;
    // SAFETY: the descriptor is open; the call takes nothing else.
    let result = unsafe { libc::syncfs(directory.as_raw_fd()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn put_back(aside: &Path, source: &Path) -> Outcome<()> {
    fs::rename(aside, source).map_err(|error| {
        let message = format!("source: is now at {} and could not be put back", paths::display(aside));
        Fault::io(&message, &error)
    })
}

fn fault(field: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::io(&format!("{field}: {}", paths::display(path)), error)
}

#[cfg(test)]
mod tests;
