//! Between the temporary directory and `/dev/shm`, where those are two file systems.

use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::*;
use crate::fault::Kind;

/// A directory on each of two file systems.
struct Two {
    here: PathBuf,
    there: PathBuf,
}

impl Two {
    /// `None` where everything is one file system, and a rename does it all.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("envd-relocate-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let two = Self { here: std::env::temp_dir().join(&name), there: Path::new("/dev/shm").join(&name) };
        let devices = [&two.here, &two.there].map(|path| {
            fs::create_dir(path).expect("directory");
            fs::metadata(path).expect("metadata").dev()
        });
        (devices[0] != devices[1]).then_some(two)
    }

    fn nothing_passing_is_left(&self) {
        for directory in [&self.here, &self.there] {
            let names = fs::read_dir(directory).expect("list").map(|entry| entry.expect("entry").file_name());
            let passing: Vec<_> = names.filter(|name| Purpose::of(name.as_bytes()).is_some()).collect();
            assert!(passing.is_empty(), "{passing:?}");
        }
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        for path in [&self.here, &self.there] {
            remove_tree(path).expect("removed");
        }
    }
}

fn moved(source: &Path, destination: &Path) {
    relocate(source, destination).map_err(|fault| fault.message).expect("moved");
    assert!(fs::symlink_metadata(source).is_err(), "the source is still there");
}

#[test]
fn a_file_keeps_content_holes_mode_and_time() {
    let Some(two) = Two::new() else {
        return;
    };
    let (source, destination) = (two.here.join("file"), two.there.join("file"));
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    let mut file = File::create(&source).expect("file");
    file.seek(SeekFrom::Start(8 << 20)).expect("seek");
    file.write_all(b"island").expect("write");
    file.set_len(64 << 20).expect("length");
    file.set_permissions(Permissions::from_mode(0o4750)).expect("mode");
    file.set_modified(time).expect("time");
    fs::write(&destination, b"old").expect("old");
    moved(&source, &destination);
    let metadata = fs::metadata(&destination).expect("metadata");
    assert_eq!((metadata.len(), metadata.mode() & 0o7777), (64 << 20, 0o4750));
    assert_eq!(metadata.modified().expect("time"), time);
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks: the holes are filled", metadata.blocks());
    let content = fs::read(&destination).expect("read");
    assert_eq!(&content[8 << 20..][..6], b"island");
    assert_eq!(content.iter().filter(|byte| **byte != 0).count(), 6);
    two.nothing_passing_is_left();
}

#[test]
fn a_tree_keeps_what_is_in_it() {
    let Some(two) = Two::new() else {
        return;
    };
    let (source, destination) = (two.here.join("tree"), two.there.join("moved"));
    fs::create_dir_all(source.join("a/b")).expect("directories");
    fs::write(source.join("a/b/file"), b"content").expect("file");
    fs::hard_link(source.join("a/b/file"), source.join("same")).expect("link");
    symlink("a/b/file", source.join("link")).expect("link");
    let fifo = attributes::c_path(&source.join("fifo")).expect("path");
    // SAFETY: the path is NUL-terminated and alive.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    fs::set_permissions(source.join("a/b"), Permissions::from_mode(0o555)).expect("mode");
    moved(&source, &destination);
    assert_eq!(fs::read(destination.join("a/b/file")).expect("read"), b"content");
    assert_eq!(fs::metadata(destination.join("a/b")).expect("metadata").mode() & 0o777, 0o555);
    assert_eq!(fs::read_link(destination.join("link")).expect("link"), Path::new("a/b/file"));
    assert!(fs::symlink_metadata(destination.join("fifo")).expect("metadata").file_type().is_fifo());
    let inode = |name: &str| fs::metadata(destination.join(name)).expect("metadata").ino();
    assert_eq!(inode("same"), inode("a/b/file"));
    two.nothing_passing_is_left();
}

#[test]
fn a_link_moves_and_not_what_it_means() {
    let Some(two) = Two::new() else {
        return;
    };
    fs::write(two.here.join("file"), b"stays").expect("file");
    symlink("file", two.here.join("link")).expect("link");
    moved(&two.here.join("link"), &two.there.join("link"));
    assert_eq!(fs::read_link(two.there.join("link")).expect("link"), Path::new("file"));
    assert_eq!(fs::read(two.here.join("file")).expect("read"), b"stays");
}

#[test]
fn a_failure_changes_nothing() {
    let Some(two) = Two::new() else {
        return;
    };
    let (source, full) = (two.here.join("tree"), two.there.join("full"));
    fs::create_dir_all(source.join("a")).expect("directories");
    fs::write(source.join("a/file"), b"content").expect("file");
    fs::create_dir(&full).expect("directory");
    fs::write(full.join("file"), b"other").expect("file");
    let fault = relocate(&source, &full).expect_err("not empty");
    assert_eq!(fault.kind, Kind::FailedPrecondition, "{}", fault.message);
    assert_eq!(fs::read(source.join("a/file")).expect("read"), b"content");
    assert_eq!(fs::read(full.join("file")).expect("read"), b"other");
    two.nothing_passing_is_left();
}
