//! What came of one look at the kernel's queue.

use std::path::{Path, PathBuf};

use crate::fault::Fault;
use crate::filesystem::entry::entry;
use crate::paths;
use crate::proto::filesystem::{EventType, FilesystemEvent};
use crate::users::Names;

/// More than this from one look, or waiting for a client that polls, is too much to tell one by one.
pub const MAX_EVENTS: usize = 4096;

/// One thing that a client is told.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub enum Item {
    Event(FilesystemEvent),
    /// Something happened that is not told.
    Overflow,
}

/// Events in their order, bounded; and why there will be no more, if so.
#[derive(Default)]
pub struct Batch {
    items: Vec<(PathBuf, EventType)>,
    /// How many of the items were before the first that was lost.
    lost_after: Option<usize>,
    pub over: Option<Fault>,
}

impl Batch {
    /// Something happened to this path below the watched directory, or to that one itself where it is empty.
    pub fn push(&mut self, path: &Path, kind: EventType) {
        if self.items.len() < MAX_EVENTS {
            self.items.push((path.to_owned(), kind));
        } else {
            self.overflow();
        }
    }

    /// Something that came after the items so far is lost. The client is told once, in the place of the first loss.
    pub fn overflow(&mut self) {
        self.lost_after.get_or_insert(self.items.len());
    }

    /// Whether anything was lost.
    pub fn has_overflown(&self) -> bool {
        self.lost_after.is_some()
    }

    /// As the client gets them. With `root`, what is still there is described.
    pub fn into_items(self, root: Option<&Path>) -> Vec<Item> {
        let names = root.filter(|_| !self.items.is_empty()).map(|root| (root, Names::load()));
        let total = self.items.len();
        let mut items = Vec::with_capacity(total + 1);
        for (index, (path, kind)) in self.items.into_iter().enumerate() {
            if self.lost_after == Some(index) {
                items.push(Item::Overflow);
            }
            let is_there = !matches!(kind, EventType::EVENT_TYPE_REMOVE | EventType::EVENT_TYPE_RENAME);
            // It may have gone since, or not be for the user to see.
            let entry =
                names.as_ref().filter(|_| is_there).and_then(|(root, names)| entry(&join(root, &path), names).ok());
            let name = if path.as_os_str().is_empty() { ".".into() } else { paths::display(&path) };
            items.push(Item::Event(FilesystemEvent {
                name,
                r#type: kind.into(),
                entry: entry.into(),
                ..FilesystemEvent::default()
            }));
        }
        if self.lost_after.is_some_and(|index| index >= total) {
            items.push(Item::Overflow);
        }
        items
    }
}

/// `Path::join` would put a slash behind the root for an empty rest.
fn join(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}
