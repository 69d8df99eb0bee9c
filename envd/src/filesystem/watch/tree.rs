//! Which directory has which number. Each knows its parent and its own name alone, so one that moves takes everything
//! below it along.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::inotify::Watch;

/// The root, and the directories that are known below it.
pub struct Tree {
    root: Watch,
    places: HashMap<Watch, Place>,
}

struct Place {
    parent: Watch,
    name: OsString,
    /// Whether it was moved from where it was, and has not been seen anywhere else.
    away: bool,
}

impl Tree {
    /// A tree of the root alone.
    pub fn new(root: Watch) -> Self {
        Self { root, places: HashMap::new() }
    }

    /// The number of the watched directory itself, which never changes.
    pub fn root(&self) -> Watch {
        self.root
    }

    /// How many directories are known: the root is one of them, and so is one that is away.
    pub fn len(&self) -> usize {
        self.places.len() + 1
    }

    /// Notes where a directory is; one that was elsewhere is there no more.
    pub fn place(&mut self, watch: Watch, parent: Watch, name: &OsStr) {
        if watch != self.root {
            self.places.insert(watch, Place { parent, name: name.to_owned(), away: false });
        }
    }

    /// Takes one directory out, if it is known; never the root. What is below it has no path from here on.
    pub fn forget(&mut self, watch: Watch) {
        self.places.remove(&watch);
    }

    /// Notes that the directory of this name has left its parent, for somewhere that is yet to be seen.
    pub fn send_away(&mut self, parent: Watch, name: &OsStr) {
        for place in self.places.values_mut().filter(|place| place.parent == parent && place.name == name) {
            place.away = true;
        }
    }

    /// Path below the root, empty for the root itself; nothing for a directory that is away or not known.
    pub fn path(&self, watch: Watch) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut watch = watch;
        while watch != self.root {
            let place = self.places.get(&watch).filter(|place| !place.away)?;
            // Two that move into each other between two looks could be noted as each other's parents.
            if names.len() > self.places.len() {
                return None;
            }
            names.push(place.name.as_os_str());
            watch = place.parent;
        }
        Some(names.iter().rev().collect())
    }

    /// Forgets everything that is away, or below something that is, and answers it.
    pub fn sweep(&mut self) -> Vec<Watch> {
        if !self.places.values().any(|place| place.away) {
            return Vec::new();
        }
        let lost: Vec<_> = self.places.keys().copied().filter(|watch| self.path(*watch).is_none()).collect();
        for watch in &lost {
            self.places.remove(watch);
        }
        lost
    }

    /// Forgets all but the root, and answers it.
    pub fn clear(&mut self) -> Vec<Watch> {
        self.places.drain().map(|(watch, _)| watch).collect()
    }

    /// Whether this is the root or a directory that has been placed, be it away or not.
    pub fn knows(&self, watch: Watch) -> bool {
        watch == self.root || self.places.contains_key(&watch)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// 1 is the root; 2 is `a`, 3 is `a/b`, 4 is `c`.
    fn tree() -> Tree {
        let mut tree = Tree::new(1);
        for (watch, parent, name) in [(2, 1, "a"), (3, 2, "b"), (4, 1, "c")] {
            tree.place(watch, parent, OsStr::new(name));
        }
        tree
    }

    fn path(tree: &Tree, watch: Watch) -> Option<String> {
        tree.path(watch).map(|path| path.to_str().expect("utf-8").to_owned())
    }

    #[test]
    fn a_directory_that_moves_takes_what_is_below_along() {
        let mut tree = tree();
        assert_eq!(tree.path(3).as_deref(), Some(Path::new("a/b")));
        tree.send_away(1, OsStr::new("a"));
        assert_eq!((path(&tree, 2), path(&tree, 3)), (None, None));
        tree.place(2, 4, OsStr::new("d"));
        assert_eq!(path(&tree, 3).as_deref(), Some("c/d/b"));
        assert!(tree.sweep().is_empty());
    }

    #[test]
    fn what_is_away_is_swept_with_what_is_below() {
        let mut tree = tree();
        tree.send_away(1, OsStr::new("a"));
        let mut lost = tree.sweep();
        lost.sort_unstable();
        assert_eq!(lost, [2, 3]);
        assert_eq!((tree.len(), path(&tree, 4).as_deref(), path(&tree, 1).as_deref()), (2, Some("c"), Some("")));
    }

    #[test]
    fn a_circle_has_no_path() {
        let mut tree = tree();
        tree.place(2, 3, OsStr::new("a"));
        assert_eq!(path(&tree, 3), None);
    }
}
