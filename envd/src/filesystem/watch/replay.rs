//! Random changes of a real tree: whoever replays what is told of them has the same tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::batch::Item;
use super::inotify::Inotify;
use super::watched::{Options, Watched};
use crate::proto::filesystem::EventType;

#[derive(Clone, Debug)]
enum Step {
    MakeDirs(PathBuf),
    Write(PathBuf),
    Remove(PathBuf),
    Move(PathBuf, PathBuf),
    MoveOut(PathBuf),
    MoveIn(PathBuf),
    /// Below what has been moved out.
    WriteOutside(PathBuf),
    /// The watcher looks at what has happened since it last did.
    Look,
}

/// Few names, so that the same ones come again.
fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => path().prop_map(Step::MakeDirs),
        3 => path().prop_map(Step::Write),
        2 => path().prop_map(Step::Remove),
        4 => (path(), path()).prop_map(|(from, to)| Step::Move(from, to)),
        1 => path().prop_map(Step::MoveOut),
        1 => path().prop_map(Step::MoveIn),
        1 => path().prop_map(Step::WriteOutside),
        2 => Just(Step::Look),
    ]
}

/// What cannot be done is not done: then nothing happens, and nothing is to be told.
fn apply(step: &Step, root: &Path, outside: &Path) {
    let aside = outside.join("aside");
    let _impossible = match step {
        Step::MakeDirs(path) => fs::create_dir_all(root.join(path)),
        Step::Write(path) => fs::write(root.join(path), b"content"),
        Step::WriteOutside(path) => fs::write(aside.join(path), b"content"),
        Step::Remove(path) => fs::remove_dir_all(root.join(path)).or_else(|_| fs::remove_file(root.join(path))),
        Step::Move(from, to) => fs::rename(root.join(from), root.join(to)),
        Step::MoveOut(path) => {
            let _absent = fs::remove_dir_all(&aside);
            fs::rename(root.join(path), aside)
        }
        Step::MoveIn(path) => fs::rename(aside, root.join(path)),
        Step::Look => Ok(()),
    };
}

/// A watched directory, one outside it, and the tree as the events tell it.
struct World {
    root: PathBuf,
    outside: PathBuf,
    inotify: Arc<Inotify>,
    watched: Watched,
    told: BTreeSet<PathBuf>,
}

impl World {
    fn new() -> Self {
        let base = std::env::temp_dir().join(format!("envd-replay-{:?}", thread::current().id()));
        let (root, outside) = (base.join("watched"), base.join("outside"));
        let _absent = fs::remove_dir_all(&base);
        for directory in [&root, &outside] {
            fs::create_dir_all(directory).expect("directory");
        }
        let inotify = Arc::new(Inotify::new().expect("inotify"));
        let options = Options { recursive: true, include_entry: false, allow_network_mounts: false };
        let watched = Watched::open(Arc::clone(&inotify), root.clone(), options);
        let watched = watched.map_err(|fault| fault.message).expect("watched");
        Self { root, outside, inotify, watched, told: BTreeSet::new() }
    }

    fn look(&mut self) {
        let mut buffer = vec![0; 512];
        while let Ok(length) = self.inotify.read(&mut buffer) {
            let batch = self.watched.take(&buffer[..length]);
            assert!(batch.over.is_none());
            for item in batch.into_items(None) {
                let Item::Event(event) = item else {
                    panic!("overflow");
                };
                self.replay(Path::new(&event.name), event.r#type.as_known());
            }
        }
    }

    fn replay(&mut self, path: &Path, kind: Option<EventType>) {
        match kind {
            Some(EventType::EVENT_TYPE_CREATE) => {
                self.told.insert(path.to_owned());
            }
            Some(EventType::EVENT_TYPE_REMOVE | EventType::EVENT_TYPE_RENAME) => {
                self.told.retain(|other| !other.starts_with(path));
            }
            _ => {}
        }
    }

    fn really(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("list").flatten() {
                found.insert(entry.path().strip_prefix(&self.root).expect("below").to_owned());
                if entry.path().is_dir() {
                    open.push(entry.path());
                }
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(base) = self.root.parent() {
            fs::remove_dir_all(base).expect("removed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_replays_the_events_has_the_same_tree(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            apply(step, &world.root, &world.outside);
            if matches!(step, Step::Look) {
                world.look();
            }
        }
        world.look();
        prop_assert_eq!(&world.told, &world.really());
    }

    #[test]
    fn who_replays_them_while_it_happens_has_it_too(steps in prop::collection::vec(step(), 20..80)) {
        let mut world = World::new();
        let (root, outside) = (world.root.clone(), world.outside.clone());
        let changing = thread::spawn(move || steps.iter().for_each(|step| apply(step, &root, &outside)));
        while !changing.is_finished() {
            world.look();
        }
        changing.join().expect("changed");
        world.look();
        prop_assert_eq!(&world.told, &world.really());
    }
}
