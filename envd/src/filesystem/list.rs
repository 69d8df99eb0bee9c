//! `ListDir`: the entries below a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::describe;
use crate::fault::{Fault, Kind, Outcome};
use crate::paths;
use crate::proto::filesystem::EntryInfo;
use crate::users::Names;

/// An answer is one message, so it is bounded; whoever needs more lists directory by directory.
const MAX_ENTRIES: usize = 100_000;

/// Sorted by path. Links are listed, not followed, but for `root` itself. What vanishes meanwhile is left out, and
/// so is what is below a directory that the user must not read.
pub fn list(root: &Path, depth: u32) -> Outcome<Vec<EntryInfo>> {
    let metadata = fs::metadata(root).map_err(|error| Fault::io(&paths::display(root), &error))?;
    if !metadata.is_dir() {
        return Err(Fault::invalid(format!("path: {} is not a directory", root.display())));
    }
    let names = Names::load();
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), depth.max(1))];
    while let Some((directory, levels)) = open.pop() {
        let is_root = directory == root;
        match children(&directory) {
            Ok(paths) => visit(paths, levels, &names, &mut found, &mut open)?,
            Err(error) if !is_root && is_skipped(&error) => {}
            Err(error) => return Err(Fault::io(&paths::display(&directory), &error)),
        }
    }
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

fn visit(
    paths: Vec<PathBuf>,
    levels: u32,
    names: &Names,
    found: &mut Vec<(PathBuf, EntryInfo)>,
    open: &mut Vec<(PathBuf, u32)>,
) -> Outcome<()> {
    for path in paths {
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_skipped(&error) => continue,
            Err(error) => return Err(Fault::io(&paths::display(&path), &error)),
        };
        if found.len() == MAX_ENTRIES {
            return Err(Fault::new(
                Kind::TooLarge,
                format!("path: more than {MAX_ENTRIES} entries, ask for less depth"),
            ));
        }
        if metadata.is_dir() && levels > 1 {
            open.push((path.clone(), levels - 1));
        }
        let entry = describe(&path, &metadata, names);
        found.push((path, entry));
    }
    Ok(())
}

fn is_skipped(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}
