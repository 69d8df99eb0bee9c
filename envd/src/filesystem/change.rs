//! `MakeDir`, `Move` and `Remove`. All block and run with the rights of the user.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::entry::entry;
use super::relocate::relocate;
use crate::fault::{Fault, Kind, Outcome};
use crate::paths;
use crate::proto::filesystem::EntryInfo;
use crate::users::Names;

/// Makes a directory, with those of its parents that are missing, and describes it. `AlreadyExists` where a directory,
/// or a link to one, is already; an invalid argument where something else is.
pub fn make_dir(path: &Path) -> Outcome<EntryInfo> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Fault::new(Kind::AlreadyExists, format!("path: {} is there already", path.display())));
        }
        Ok(_) => return Err(Fault::invalid(format!("path: {} is not a directory", path.display()))),
        Err(_) => {}
    }
    make_dirs(path)?;
    entry(path, &Names::load())
}

/// Makes the destination's parents. A file at the destination is replaced, as rename(2) does; a move to another file
/// system looks the same from outside.
pub fn rename(source: &Path, destination: &Path) -> Outcome<EntryInfo> {
    let metadata = fs::symlink_metadata(source).map_err(|error| fault("source", source, &error))?;
    if metadata.is_dir() && destination.starts_with(source) && destination != source {
        return Err(Fault::invalid("destination: is inside the source"));
    }
    if let Some(parent) = destination.parent() {
        make_dirs(parent)?;
    }
    match fs::rename(source, destination) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => relocate(source, destination)?,
        Err(error) => return Err(fault("destination", destination, &error)),
        Ok(()) => {}
    }
    entry(destination, &Names::load())
}

/// Removes a file, a link, or a directory with all that is in it. What is not there is removed already.
pub fn remove(path: &Path) -> Outcome<()> {
    if path.parent().is_none() {
        return Err(Fault::invalid("path: '/' cannot be removed"));
    }
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("path", path, &error)),
        _ => Ok(()),
    }
}

fn make_dirs(path: &Path) -> Outcome<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Fault::invalid(format!("path: {} is not a directory", path.display())),
        _ => fault("path", path, &error),
    })
}

fn fault(field: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::io(&format!("{field}: {}", paths::display(path)), error)
}
