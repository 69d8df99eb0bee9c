//! Removing a tree that has been copied, or that shall not be.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a file or a tree. Directories that their owner has made read-only do not keep it: a rename would have moved
/// them. What is not there is removed already.
pub fn remove_tree(root: &Path) -> io::Result<()> {
    match remove(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(root);
            remove(root)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove(root: &Path) -> io::Result<()> {
    if fs::symlink_metadata(root)?.is_dir() { fs::remove_dir_all(root) } else { fs::remove_file(root) }
}

/// Only ever reached with the rights of a plain user, who cannot be led by a link to what is not his own.
fn open_up(root: &Path) {
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        // Where this is refused, the removal is as well, and says why.
        let _refused = fs::set_permissions(&directory, Permissions::from_mode(0o700));
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        open.extend(entries.flatten().filter(is_dir).map(|entry| entry.path()));
    }
}
