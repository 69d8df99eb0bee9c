//! A file whose new content is written beside it first, so that taking it into use, and going back, is one rename.

use std::ffi::{CString, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A configuration file is smaller by far; what is larger is none.
const MAX_BYTES: u64 = 4 << 20;

/// New content that is not yet in use. Until [`Replacement::apply`], and after [`Replacement::undo`], the file is as it
/// was; what is left beside it goes with this.
pub struct Replacement {
    target: PathBuf,
    beside: PathBuf,
    /// Whether there was a file before.
    existed: bool,
}

impl Replacement {
    /// Writes `content` beside `path`, or beside what that leads to if it is a link.
    pub fn prepare(path: &Path, content: &[u8], mode: u32) -> io::Result<Self> {
        let new = Self::of(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode).custom_flags(libc::O_NOFOLLOW);
        options.open(&new.beside)?.write_all(content)?;
        Ok(new)
    }

    /// Takes a file that was made in the directory of `path` as the new one.
    pub fn moved(path: &Path, made: &Path) -> io::Result<Self> {
        let new = Self::of(path)?;
        fs::rename(made, &new.beside)?;
        Ok(new)
    }

    fn of(path: &Path) -> io::Result<Self> {
        let target = destination(path)?;
        let mut name = OsString::from(".wrenn-");
        name.push(target.file_name().unwrap_or_default());
        let beside = target.with_file_name(name);
        let existed = target.symlink_metadata().is_ok();
        Ok(Self { target, beside, existed })
    }

    /// Takes the new content into use, in one step.
    pub fn apply(&self) -> io::Result<()> {
        self.exchange(if self.existed { libc::RENAME_EXCHANGE } else { libc::RENAME_NOREPLACE })
    }

    /// Takes the former content into use again, or none if there was none.
    pub fn undo(&self) -> io::Result<()> {
        if self.existed { self.exchange(libc::RENAME_EXCHANGE) } else { fs::remove_file(&self.target) }
    }

    fn exchange(&self, flags: libc::c_uint) -> io::Result<()> {
        let from = CString::new(self.beside.as_os_str().as_bytes())?;
        let to = CString::new(self.target.as_os_str().as_bytes())?;
        // SAFETY: both paths are NUL-terminated and alive.
        let result = unsafe { libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.beside);
    }
}

/// What the file has now; nothing if there is none. A file that is something else than a file is not waited for.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut content = Vec::new();
    if file.take(MAX_BYTES + 1).read_to_end(&mut content)? as u64 > MAX_BYTES {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(content)
}

/// Follows a link, also one to a file that is not there yet.
fn destination(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("/"));
            Ok(fs::read_link(path).map_or_else(|_| path.to_owned(), |link| directory.join(link)))
        }
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("envd-{name}-{}", std::process::id()));
            fs::create_dir(&path).expect("directory");
            Self(path)
        }

        fn names(&self) -> Vec<OsString> {
            let mut names: Vec<_> =
                fs::read_dir(&self.0).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_changes_at_once_and_changes_back() {
        let directory = Directory::new("replace");
        let file = directory.0.join("file");
        fs::write(&file, "old").expect("written");
        let new = Replacement::prepare(&file, b"new", 0o644).expect("prepared");
        assert_eq!(read(&file).expect("read"), b"old");
        new.apply().expect("applied");
        assert_eq!(read(&file).expect("read"), b"new");
        new.undo().expect("undone");
        drop(new);
        assert_eq!(read(&file).expect("read"), b"old");
        assert_eq!(directory.names(), ["file"]);
    }

    #[test]
    fn a_link_stays_one_also_when_it_leads_nowhere_yet() {
        let directory = Directory::new("link");
        symlink("target", directory.0.join("link")).expect("link");
        let new = Replacement::prepare(&directory.0.join("link"), b"new", 0o600).expect("prepared");
        new.apply().expect("applied");
        drop(new);
        assert_eq!(directory.names(), ["link", "target"]);
        assert_eq!(read(&directory.0.join("link")).expect("read"), b"new");
    }

    #[test]
    fn what_was_not_there_is_not_there_again() {
        let directory = Directory::new("absent");
        let new = Replacement::prepare(&directory.0.join("file"), b"new", 0o600).expect("prepared");
        new.apply().expect("applied");
        new.undo().expect("undone");
        drop(new);
        assert_eq!(directory.names(), Vec::<OsString>::new());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
        let directory = Directory::new("pipe");
        let path = directory.0.join("pipe");
        let name = CString::new(path.as_os_str().as_bytes()).expect("name");
        // SAFETY: the path is NUL-terminated and alive.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(read(&path).is_err());
        assert_eq!(read(&directory.0.join("none")).expect("nothing"), b"");
    }
}
