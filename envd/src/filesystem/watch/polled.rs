//! Watchers of clients that poll. Each has a task that takes events from the kernel as they come, because in a tree new
//! directories have to be watched at once; what it tells waits here, bounded.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::waiting::{Answer, Waiting};
use super::watcher::{News, Watcher};
use crate::fault::{Fault, Kind, Outcome};
use crate::lock::lock;
use crate::random;

/// The watchers by their ids. Any client that knows an id may ask or remove its watcher.
#[derive(Default)]
pub struct Polled(Mutex<HashMap<String, Polling>>);

struct Polling {
    waiting: Arc<Mutex<Waiting>>,
    task: JoinHandle<()>,
    _place: OwnedSemaphorePermit,
}

impl Polled {
    /// Makes room where clients have gone without a word.
    pub fn drop_abandoned(&self) {
        lock(&self.0).retain(|_, polling| !lock(&polling.waiting).is_abandoned());
    }

    /// Keeps a watcher, and answers an id that nobody can guess. `place` is given back when it is removed, even if there
    /// is nothing to watch long before: what it has told waits for the client.
    pub fn keep(&self, watcher: Watcher, place: OwnedSemaphorePermit) -> Outcome<String> {
        let random: [u8; 16] = random::bytes().map_err(|error: io::Error| Fault::io("watcher", &error))?;
        let id = format!("w{:032x}", u128::from_ne_bytes(random));
        let waiting = Arc::<Mutex<Waiting>>::default();
        let task = tokio::spawn(collect(watcher, Arc::clone(&waiting)));
        lock(&self.0).insert(id.clone(), Polling { waiting, task, _place: place });
        Ok(id)
    }

    /// What has happened since the last call. A client without the extensions gets an error, once, when some of it was
    /// lost, and the rest with its next call.
    pub fn take(&self, id: &str, extensions: bool) -> Outcome<Answer> {
        let polled = lock(&self.0);
        lock(&polled.get(id).ok_or_else(unknown)?.waiting).take(extensions)
    }

    /// Ends a watcher; what it has not told yet is lost. `NotFound` for an id that is not, or no longer, known.
    pub fn remove(&self, id: &str) -> Outcome<()> {
        lock(&self.0).remove(id).map(drop).ok_or_else(unknown)
    }
}

fn unknown() -> Fault {
    Fault::new(Kind::NotFound, "watcher_id: there is no such watcher")
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends when there is nothing to watch any more, or nobody who asks; what it has told so far stays.
async fn collect(mut watcher: Watcher, waiting: Arc<Mutex<Waiting>>) {
    loop {
        let news = match watcher.ready().await {
            Ok(()) => watcher.take().await,
            Err(fault) => Err(fault),
        };
        let mut waiting = lock(&waiting);
        waiting.add(news.unwrap_or_else(|fault| News { items: Vec::new(), over: Some(fault) }));
        if waiting.is_over() {
            return;
        }
    }
}
