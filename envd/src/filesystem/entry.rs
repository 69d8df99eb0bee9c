//! One file as the wire shows it. A symbolic link is shown as a link, with the place that it leads to.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use buffa_types::google::protobuf::Timestamp;

use crate::fault::{Fault, Outcome};
use crate::proto::filesystem::{EntryInfo, FileType};
use crate::users::Names;
use crate::{metadata, paths};

/// Describes what is at `path`, by lstat(2). Blocks. The fault names the path.
pub fn entry(path: &Path, names: &Names) -> Outcome<EntryInfo> {
    let metadata = fs::symlink_metadata(path).map_err(|error| Fault::io(&paths::display(path), &error))?;
    Ok(describe(path, &metadata, names))
}

/// Describes a file whose lstat(2) is known. Blocks all the same: a link's target and the attached metadata are read
/// here, and left out where that fails. `names` turns numbers into names; the path is shown as it is given.
pub fn describe(path: &Path, metadata: &Metadata, names: &Names) -> EntryInfo {
    EntryInfo {
        name: paths::name(path),
        r#type: file_type(metadata).into(),
        path: paths::display(path),
        size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
        mode: metadata.mode() & 0o7777,
        permissions: permissions(metadata),
        owner: names.user(metadata.uid()),
        group: names.group(metadata.gid()),
        modified_time: modified(metadata).into(),
        symlink_target: target(path, metadata),
        metadata: metadata::read(path).into_iter().collect(),
        ..EntryInfo::default()
    }
}

/// How much of a description has no bound of its own.
pub fn text_bytes(entry: &EntryInfo) -> usize {
    let metadata: usize = entry.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    entry.name.len() + entry.path.len() + entry.symlink_target.as_deref().map_or(0, str::len) + metadata
}

fn file_type(metadata: &Metadata) -> FileType {
    match metadata.file_type() {
        kind if kind.is_file() => FileType::FILE_TYPE_FILE,
        kind if kind.is_dir() => FileType::FILE_TYPE_DIRECTORY,
        kind if kind.is_symlink() => FileType::FILE_TYPE_SYMLINK,
        _ => FileType::FILE_TYPE_UNSPECIFIED,
    }
}

/// Absolute, with no link in it, as E2B clients expect it; what a link says when that leads nowhere.
fn target(path: &Path, metadata: &Metadata) -> Option<String> {
    if !metadata.is_symlink() {
        return None;
    }
    let target = fs::canonicalize(path).or_else(|_| fs::read_link(path)).ok()?;
    Some(paths::display(&target))
}

fn modified(metadata: &Metadata) -> Timestamp {
    Timestamp {
        seconds: metadata.mtime(),
        nanos: i32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        ..Timestamp::default()
    }
}

/// As `ls -l` prints them.
fn permissions(metadata: &Metadata) -> String {
    let kind = match metadata.file_type() {
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        kind if kind.is_block_device() => 'b',
        kind if kind.is_char_device() => 'c',
        kind if kind.is_fifo() => 'p',
        kind if kind.is_socket() => 's',
        _ => '-',
    };
    std::iter::once(kind).chain(mode_letters(metadata.mode())).collect()
}

fn mode_letters(mode: u32) -> impl Iterator<Item = char> {
    let special = [(0o4000, 's', 'S'), (0o2000, 's', 'S'), (0o1000, 't', 'T')];
    (0..3).flat_map(move |class| {
        let bits = mode >> (6 - 3 * class);
        let (flag, both, alone) = special[class];
        let execute = match (bits & 1 != 0, mode & flag != 0) {
            (true, true) => both,
            (false, true) => alone,
            (true, false) => 'x',
            (false, false) => '-',
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_ls_prints_them() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o640, "rw-r-----"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0o1666, "rw-rw-rwT"),
            (0, "---------"),
        ] {
            assert_eq!(mode_letters(mode).collect::<String>(), text, "{mode:o}");
        }
    }

    #[test]
    fn a_directory_is_described() {
        let info = entry(Path::new("/"), &Names::load()).expect("root");
        assert_eq!((info.name.as_str(), info.path.as_str(), info.owner.as_str()), ("/", "/", "root"));
        assert!(info.permissions.starts_with('d'));
        assert_eq!(info.symlink_target, None);
    }
}
