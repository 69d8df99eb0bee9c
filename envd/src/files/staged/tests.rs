use std::io::Write;

use super::*;
use crate::scratch::Scratch;

fn stage(path: &Path, content: &[u8]) -> Staged {
    let staged = Staged::create(path, &Attributes::default()).map_err(|fault| fault.message).expect("staged");
    (&*staged.file).write_all(content).expect("written");
    staged
}

#[test]
fn a_new_file_appears_on_commit_with_the_usual_mode() {
    let directory = Scratch::new("staged-new");
    let path = directory.0.join("a/b/file");
    let staged = stage(&path, b"content");
    assert!(!path.exists());
    staged.commit().expect("committed");
    assert_eq!(fs::read(&path).expect("read"), b"content");
    assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o7777, 0o644);
    assert_eq!(fs::metadata(directory.0.join("a")).expect("stat").permissions().mode() & 0o7777, 0o755);
}

#[test]
fn a_dropped_one_leaves_the_old_file_and_no_other() {
    let directory = Scratch::new("staged-drop");
    let path = directory.0.join("file");
    fs::write(&path, b"old").expect("old");
    drop(stage(&path, b"new"));
    assert_eq!(fs::read(&path).expect("read"), b"old");
    assert_eq!(directory.names(), ["file"]);
}

#[test]
fn an_existing_file_keeps_its_mode_and_a_link_to_it_stays_a_link() {
    let directory = Scratch::new("staged-mode");
    let (path, link) = (directory.0.join("file"), directory.0.join("link"));
    fs::write(&path, b"old").expect("old");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).expect("mode");
    std::os::unix::fs::symlink("file", &link).expect("link");
    stage(&link, b"new").commit().expect("committed");
    assert_eq!(fs::read(&path).expect("read"), b"new");
    let dangling = directory.0.join("dangling");
    std::os::unix::fs::symlink("later", &dangling).expect("link");
    stage(&dangling, b"made").commit().expect("committed");
    assert_eq!(fs::read(directory.0.join("later")).expect("read"), b"made");
    assert!(fs::symlink_metadata(&dangling).expect("stat").is_symlink());
    assert_eq!(fs::metadata(&path).expect("stat").permissions().mode() & 0o7777, 0o750);
    assert!(fs::symlink_metadata(&link).expect("stat").is_symlink());
}

#[test]
fn directories_devices_and_files_as_parents_are_refused() {
    let directory = Scratch::new("staged-refuse");
    fs::write(directory.0.join("file"), b"").expect("file");
    for path in [directory.0.clone(), "/".into(), "/dev/null".into(), directory.0.join("file/below")] {
        let fault = Staged::create(&path, &Attributes::default()).err().expect("refused");
        assert_eq!(fault.http_status(), 400, "{}", path.display());
    }
    assert_eq!(directory.names(), ["file"]);
}
