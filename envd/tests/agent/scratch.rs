//! A directory that ends with its test, and a FIFO as an event that any process can raise.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinHandle;

pub struct Scratch(PathBuf);

impl Scratch {
    /// Open to every user, as tests run processes as several.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("envd-test-{}-{count}", std::process::id()));
        fs::create_dir(&path).expect("directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("mode");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("utf-8").to_owned()
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("list");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("entry").file_name().into_string().expect("utf-8")).collect();
        names.sort();
        names
    }

    /// Makes a FIFO and reads it in the background: the handle resolves when every writer is gone.
    pub fn fifo(&self, name: &str) -> (String, JoinHandle<String>) {
        let path = self.join(name);
        let c_path = std::ffi::CString::new(path.clone()).expect("path");
        // SAFETY: the string is NUL-terminated and alive.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o666) }, 0);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode");
        let reader = path.clone();
        let content = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            File::open(reader).expect("fifo").read_to_string(&mut text).expect("read");
            text
        });
        (path, content)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("removed");
    }
}
