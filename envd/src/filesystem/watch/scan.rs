//! Finding the directories of a tree, so that each is watched. A new one may be full before it is watched, so what is in
//! it is reported by looking.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::batch::Batch;
use super::inotify::Watch;
use super::mounts;
use super::watched::Watched;
use crate::fault::{Fault, Kind, Outcome};
use crate::passing::Purpose;
use crate::proto::filesystem::EventType;

/// How much of a tree one watcher watches.
const MAX_DIRECTORIES: usize = 16_384;

/// What a scan reports of what it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    Nothing,
    /// That it is there.
    Names,
    /// That too, and that files have been written which are not empty.
    NamesAndContent,
}

/// A directory that is to be scanned.
struct Open {
    parent: Watch,
    name: OsString,
    path: PathBuf,
}

impl Watched {
    /// Watches everything below the root, if that is wanted.
    pub(super) fn scan_all(&mut self) -> Outcome<()> {
        if !self.options.recursive {
            return Ok(());
        }
        let (mut batch, mut open) = (Batch::default(), Vec::new());
        self.look_into(self.tree.root(), Path::new(""), Tell::Nothing, &mut batch, &mut open);
        self.scan_each(open, Tell::Nothing, &mut batch);
        if !batch.has_overflown() {
            return Ok(());
        }
        let limits = format!("{MAX_DIRECTORIES} directories, or than the kernel allows (fs.inotify.max_user_watches)");
        Err(Fault::new(Kind::TooMany, format!("path: has more below it than {limits}; watch a part of it")))
    }

    /// Events were lost, and with them what they would have told of directories.
    pub(super) fn start_over(&mut self) {
        let before = self.tree.clear();
        // The client has been told that it misses something, and may miss this.
        let _too_many = self.scan_all();
        for watch in before.into_iter().filter(|watch| !self.tree.knows(*watch)) {
            self.inotify.remove(watch);
        }
    }

    /// Watches a directory that has appeared, with all below it.
    pub(super) fn scan(&mut self, parent: Watch, name: &OsStr, path: &Path, tell: Tell, batch: &mut Batch) {
        let open = Open { parent, name: name.to_owned(), path: path.to_owned() };
        self.scan_each(vec![open], tell, batch);
        self.reported.extend_to(self.inotify.waiting());
    }

    fn scan_each(&mut self, mut open: Vec<Open>, tell: Tell, batch: &mut Batch) {
        while let Some(Open { parent, name, path }) = open.pop() {
            if let Some(watch) = self.enter(parent, &name, &path, batch) {
                self.look_into(watch, &path, tell, batch, &mut open);
            }
        }
    }

    /// Nothing when it is gone again, or not for the user to read.
    fn enter(&mut self, parent: Watch, name: &OsStr, path: &Path, batch: &mut Batch) -> Option<Watch> {
        let path = self.root.join(path);
        if !self.can_watch(&path) {
            return None;
        }
        let watch = match self.inotify.add(&path, false) {
            Ok(watch) => watch,
            Err(error) => {
                if error.raw_os_error() == Some(libc::ENOSPC) {
                    batch.overflow();
                }
                return None;
            }
        };
        if self.tree.len() >= MAX_DIRECTORIES && !self.tree.knows(watch) {
            self.inotify.remove(watch);
            batch.overflow();
            return None;
        }
        self.tree.place(watch, parent, name);
        Some(watch)
    }

    fn can_watch(&self, path: &Path) -> bool {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.dev() == self.device => true,
            Ok(_) => match mounts::kind_of(path) {
                Ok(mounts::Kind::Local) => true,
                Ok(mounts::Kind::Network) => self.options.allow_network_mounts,
                Ok(mounts::Kind::View) | Err(_) => false,
            },
            Err(_) => false,
        }
    }

    fn look_into(&mut self, watch: Watch, path: &Path, tell: Tell, batch: &mut Batch, open: &mut Vec<Open>) {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let (path, Ok(kind)) = (path.join(&name), entry.file_type()) else {
                continue;
            };
            if Purpose::of(name.as_bytes()).is_some() {
                continue;
            }
            if tell != Tell::Nothing {
                batch.push(&path, EventType::EVENT_TYPE_CREATE);
                self.reported.add(watch, &name);
            }
            if tell == Tell::NamesAndContent && kind.is_file() && has_content(&entry) {
                batch.push(&path, EventType::EVENT_TYPE_WRITE);
            }
            if kind.is_dir() && open.len() < MAX_DIRECTORIES {
                open.push(Open { parent: watch, name, path });
            } else if kind.is_dir() {
                batch.overflow();
            }
        }
    }
}

fn has_content(entry: &DirEntry) -> bool {
    entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
}
