//! `ListDir`: the entries below a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::entry::{describe, text_bytes};
use crate::fault::{Fault, Kind, Outcome};
use crate::paths;
use crate::proto::filesystem::EntryInfo;
use crate::users::Names;

/// An answer is one message, so it is bounded; whoever needs more lists directory by directory.
const MAX_ENTRIES: usize = 100_000;
/// Of all the texts in an answer.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Sorted by path. Links are listed, not followed, but for `root` itself. What vanishes meanwhile is left out, and
/// so is what is below a directory that the user must not read.
pub fn list(root: &Path, depth: u32) -> Outcome<Vec<EntryInfo>> {
    let metadata = fs::metadata(root).map_err(|error| Fault::io(&paths::display(root), &error))?;
    if !metadata.is_dir() {
        return Err(Fault::invalid(format!("path: {} is not a directory", root.display())));
    }
    let mut listing = Listing { names: Names::load(), found: Vec::new(), text_bytes: 0 };
    let mut open = vec![(root.to_owned(), depth.max(1))];
    while let Some((directory, levels)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if directory != root && is_skipped(&error) => continue,
            Err(error) => return Err(Fault::io(&paths::display(&directory), &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| Fault::io(&paths::display(&directory), &error))?.path();
            if listing.add(&path)? && levels > 1 {
                open.push((path, levels - 1));
            }
        }
    }
    listing.found.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(listing.found.into_iter().map(|(_, entry)| entry).collect())
}

struct Listing {
    names: Names,
    found: Vec<(PathBuf, EntryInfo)>,
    text_bytes: usize,
}

impl Listing {
    /// Adds one entry; whether it is a directory.
    fn add(&mut self, path: &Path) -> Outcome<bool> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if is_skipped(&error) => return Ok(false),
            Err(error) => return Err(Fault::io(&paths::display(path), &error)),
        };
        let entry = describe(path, &metadata, &self.names);
        self.text_bytes += text_bytes(&entry);
        if self.found.len() == MAX_ENTRIES || self.text_bytes > MAX_TEXT_BYTES {
            let limit = format!("more than {MAX_ENTRIES} entries, or {MAX_TEXT_BYTES} bytes of names");
            return Err(Fault::new(Kind::TooLarge, format!("path: {limit}; ask for less depth")));
        }
        self.found.push((path.to_owned(), entry));
        Ok(metadata.is_dir())
    }
}

fn is_skipped(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}
