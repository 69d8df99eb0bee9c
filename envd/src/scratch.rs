//! A directory for one unit test, gone with it.

use std::fs;
use std::path::PathBuf;

/// Dropping it removes it with all that is in it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// An empty directory. `name` tells the tests of this process apart.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("envd-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("directory");
        Self(path)
    }

    /// Names of what is in it, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("list");
        let name =
            |entry: std::io::Result<fs::DirEntry>| entry.expect("entry").file_name().into_string().expect("UTF-8");
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed test must not end in a second panic.
        let _left = fs::remove_dir_all(&self.0);
    }
}
