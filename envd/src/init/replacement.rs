//! A small file whose content changes in place. Whatever can go wrong with opening and reading is over before the
//! first change, and the former content is kept to go back to. No file is made or renamed: what a machine pays for that
//! right after its memory was loaded is many times the price of the writing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file of these sizes is configuration; what is larger is something else.
const MAX_BYTES: u64 = 4 << 20;

/// A file that has its former content, until [`Replacement::apply`] and after [`Replacement::undo`].
pub struct Replacement {
    path: PathBuf,
    file: File,
    former: Vec<u8>,
    existed: bool,
    applied: bool,
}

impl Replacement {
    /// Opens the file, or what it leads to if it is a link. One that is not there is made, empty, with `mode`.
    pub fn open(path: &Path, mode: u32) -> io::Result<Self> {
        // Not waiting for the other end of what is a pipe.
        let options = || OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).to_owned();
        let (file, existed) = match options().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (options().create(true).mode(mode).open(path)?, false)
            }
            file => (file?, true),
        };
        // From here on, one that was made goes again when this goes.
        let mut new = Self { path: path.to_owned(), file, former: Vec::new(), existed, applied: false };
        if !new.file.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let read = (&new.file).take(MAX_BYTES + 1).read_to_end(&mut new.former)?;
        if read as u64 > MAX_BYTES { Err(io::Error::from(io::ErrorKind::FileTooLarge)) } else { Ok(new) }
    }

    /// What the file had when it was opened.
    pub fn former(&self) -> &[u8] {
        &self.former
    }

    /// Gives the file its new content. After an error it may have a part of it, until it is undone.
    pub fn apply(&mut self, content: &[u8]) -> io::Result<()> {
        self.applied = true;
        self.write(content)
    }

    /// Gives the file its former content again.
    pub fn undo(&mut self) -> io::Result<()> {
        self.applied = false;
        self.write(&self.former)
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, 0)?;
        let length = content.len() as u64;
        if self.file.metadata()?.len() == length { Ok(()) } else { self.file.set_len(length) }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.existed && !self.applied {
            let _gone = fs::canonicalize(&self.path).and_then(fs::remove_file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_changes_and_changes_back() {
        let directory = Scratch::new("replacement-replace");
        let path = directory.0.join("file");
        for (former, content) in [("a long former content", "new"), ("old", "a long new content"), ("", "new")] {
            fs::write(&path, former).expect("written");
            let mut new = Replacement::open(&path, 0o644).expect("opened");
            assert_eq!(new.former(), former.as_bytes());
            new.apply(content.as_bytes()).expect("applied");
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
            new.undo().expect("undone");
            assert_eq!(fs::read_to_string(&path).expect("read"), former);
        }
    }

    #[test]
    fn a_link_stays_one_also_when_it_leads_nowhere_yet() {
        let directory = Scratch::new("replacement-link");
        symlink("target", directory.0.join("link")).expect("link");
        let mut new = Replacement::open(&directory.0.join("link"), 0o600).expect("opened");
        new.apply(b"new").expect("applied");
        drop(new);
        assert_eq!(directory.names(), ["link", "target"]);
        assert_eq!(fs::read(directory.0.join("target")).expect("read"), b"new");
    }

    #[test]
    fn what_was_not_there_is_not_there_again() {
        let directory = Scratch::new("replacement-absent");
        symlink("target", directory.0.join("link")).expect("link");
        drop(Replacement::open(&directory.0.join("link"), 0o600).expect("opened"));
        let mut new = Replacement::open(&directory.0.join("file"), 0o600).expect("opened");
        new.apply(b"new").expect("applied");
        new.undo().expect("undone");
        drop(new);
        assert_eq!(directory.names(), ["link"]);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
        let directory = Scratch::new("replacement-pipe");
        let path = directory.0.join("pipe");
        let name = CString::new(path.as_os_str().as_bytes()).expect("name");
        // SAFETY: the path is NUL-terminated and alive.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(Replacement::open(&path, 0o600).is_err());
        assert_eq!(directory.names(), ["pipe"]);
    }
}
