//! One watched directory: turns what the kernel tells into what the client is told. All of this may block and needs the
//! rights of the user, but for events of one directory alone that are not described.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::Batch;
use super::inotify::{Event, Inotify, parse};
use super::mounts;
use super::reported::Reported;
use super::scan::Tell;
use super::tree::Tree;
use crate::fault::{Fault, Kind, Outcome};
use crate::passing::Purpose;
use crate::paths;
use crate::proto::filesystem::EventType;

/// Renames from a passing name whose other half has not come yet; it nearly always is the next event.
const MAX_ARRIVING: usize = 16;

/// What the client asked for. Without `recursive` the directory and its own entries are all that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub recursive: bool,
    pub include_entry: bool,
    pub allow_network_mounts: bool,
}

/// The directory with what is known below it. Whoever holds the same instance reads it, and gives [`Self::take`] the
/// bytes.
pub struct Watched {
    pub(super) inotify: Arc<Inotify>,
    pub(super) root: PathBuf,
    pub(super) device: u64,
    pub(super) options: Options,
    pub(super) tree: Tree,
    pub(super) reported: Reported,
    arriving: Vec<(u32, Purpose)>,
}

impl Watched {
    /// Watches `root`, and all below it if so asked; what happens from here on is told.
    pub fn open(inotify: Arc<Inotify>, root: PathBuf, options: Options) -> Outcome<Self> {
        let fault = |error: io::Error| fault(&root, &error);
        let metadata = fs::metadata(&root).map_err(fault)?;
        if !metadata.is_dir() {
            return Err(Fault::invalid(format!("path: {} is not a directory", root.display())));
        }
        if !options.allow_network_mounts && mounts::kind_of(&root).map_err(fault)? == mounts::Kind::Network {
            let message =
                "is on a network file system, where not every change is seen; set allow_network_mounts for the rest";
            return Err(Fault::invalid(format!("path: {} {message}", root.display())));
        }
        let watch = inotify.add(&root, true).map_err(fault)?;
        let (tree, reported) = (Tree::new(watch), Reported::default());
        let mut watched = Self { inotify, root, device: metadata.dev(), options, tree, reported, arriving: Vec::new() };
        watched.scan_all()?;
        Ok(watched)
    }

    /// What has happened, by what was read from the kernel.
    pub fn take(&mut self, bytes: &[u8]) -> Batch {
        let mut batch = Batch::default();
        self.reported.begin(bytes.len());
        for event in parse(bytes) {
            self.reported.advance(event.end);
            self.event(&event, &mut batch);
            if batch.over.is_some() {
                break;
            }
        }
        self.reported.end(bytes.len());
        // What was moved and has not been seen again by now is out of the tree.
        if self.inotify.waiting() == 0 {
            for watch in self.tree.sweep() {
                self.inotify.remove(watch);
            }
        }
        batch
    }

    fn event(&mut self, event: &Event<'_>, batch: &mut Batch) {
        if event.has(libc::IN_Q_OVERFLOW) {
            batch.overflow();
            self.start_over();
        } else if event.watch == self.tree.root() && (event.name.is_empty() || event.has(libc::IN_IGNORED)) {
            self.of_root(event, batch);
        } else if event.has(libc::IN_IGNORED) {
            self.tree.forget(event.watch);
        } else if !event.name.is_empty()
            && let Some(directory) = self.tree.path(event.watch)
        {
            // What a directory below tells of itself, its parent tells by its name.
            self.of_entry(event, &directory.join(event.name), batch);
        }
    }

    fn of_root(&self, event: &Event<'_>, batch: &mut Batch) {
        let mut over = |kind: Option<EventType>, what: &str| {
            if let Some(kind) = kind {
                batch.push(Path::new(""), kind);
            }
            batch.over = Some(Fault::new(Kind::NotFound, format!("path: {} {what}", self.root.display())));
        };
        if event.has(libc::IN_DELETE_SELF) {
            over(Some(EventType::EVENT_TYPE_REMOVE), "was removed");
        } else if event.has(libc::IN_MOVE_SELF) {
            over(Some(EventType::EVENT_TYPE_RENAME), "was moved");
        } else if event.has(libc::IN_IGNORED | libc::IN_UNMOUNT) {
            over(None, "is there no more");
        } else if event.has(libc::IN_ATTRIB) {
            batch.push(Path::new(""), EventType::EVENT_TYPE_CHMOD);
        }
    }

    fn of_entry(&mut self, event: &Event<'_>, path: &Path, batch: &mut Batch) {
        if let Some(purpose) = Purpose::of(event.name.as_bytes()) {
            if event.has(libc::IN_MOVED_FROM) && self.arriving.len() < MAX_ARRIVING {
                self.arriving.push((event.cookie, purpose));
            }
            return;
        }
        if event.has(libc::IN_CREATE | libc::IN_MOVED_TO) {
            return self.appeared(event, path, batch);
        }
        if event.has(libc::IN_MOVED_FROM | libc::IN_DELETE) {
            self.reported.withdraw(event);
        }
        if event.has(libc::IN_MOVED_FROM) && event.has(libc::IN_ISDIR) {
            self.tree.send_away(event.watch, event.name);
        }
        let kinds = [
            (libc::IN_MOVED_FROM, EventType::EVENT_TYPE_RENAME),
            (libc::IN_DELETE, EventType::EVENT_TYPE_REMOVE),
            (libc::IN_ATTRIB, EventType::EVENT_TYPE_CHMOD),
            (libc::IN_MODIFY, EventType::EVENT_TYPE_WRITE),
        ];
        if let Some((_, kind)) = kinds.into_iter().find(|(bit, _)| event.has(*bit)) {
            batch.push(path, kind);
        }
    }

    fn appeared(&mut self, event: &Event<'_>, path: &Path, batch: &mut Batch) {
        let arrival = self.arriving.iter().position(|(cookie, _)| *cookie == event.cookie && event.cookie != 0);
        let arrival = arrival.map(|index| self.arriving.swap_remove(index).1);
        // A rename may have put another thing in the place of what was reported.
        if self.reported.withdraw(event) && event.has(libc::IN_CREATE) {
            return;
        }
        // A file that was made aside appears by a rename; for the client it is written where it is.
        if arrival != Some(Purpose::Replace) {
            batch.push(path, EventType::EVENT_TYPE_CREATE);
        }
        if matches!(arrival, Some(Purpose::Replace | Purpose::Create)) {
            batch.push(path, EventType::EVENT_TYPE_WRITE);
        }
        if event.has(libc::IN_ISDIR) && self.options.recursive {
            let tell = if event.has(libc::IN_CREATE) { Tell::NamesAndContent } else { Tell::Names };
            self.scan(event.watch, event.name, path, tell, batch);
        }
    }
}

/// What a client is told when a call on inotify fails: a limit of the kernel by its name, all else with the path.
pub fn fault(root: &Path, error: &io::Error) -> Fault {
    match error.raw_os_error() {
        // Not a full disk, as elsewhere.
        Some(libc::ENOSPC) => exhausted("fs.inotify.max_user_watches"),
        Some(libc::EMFILE) => exhausted("fs.inotify.max_user_instances"),
        _ => Fault::io(&format!("path: {}", paths::display(root)), error),
    }
}

fn exhausted(limit: &str) -> Fault {
    Fault::new(Kind::TooMany, format!("path: the kernel watches no more for this user, see {limit}"))
}
