//! Watchers of clients that poll. Each has a task that takes events from the kernel as they come, because in a tree new
//! directories have to be watched at once; what it tells waits here, bounded.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::batch::{Item, MAX_EVENTS};
use super::stream::overflow;
use super::watcher::{News, Watcher};
use crate::fault::{Fault, Kind, Outcome};
use crate::filesystem::entry::text_bytes;
use crate::lock::lock;
use crate::proto::filesystem::FilesystemEvent;
use crate::random;

/// A watcher that nobody asks for so long is dropped, when something happens or another one is made.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Of the texts in waiting events.
const MAX_TEXT_BYTES: usize = 4 << 20;

#[derive(Default)]
pub struct Polled(Mutex<HashMap<String, Polling>>);

struct Polling {
    waiting: Arc<Mutex<Waiting>>,
    task: JoinHandle<()>,
}

struct Waiting {
    events: VecDeque<FilesystemEvent>,
    text_bytes: usize,
    overflow: bool,
    over: Option<Fault>,
    asked: Instant,
}

/// What a client that polls is answered.
pub struct Answer {
    pub events: Vec<FilesystemEvent>,
    pub overflow: bool,
}

impl Polled {
    /// Makes room where clients have gone without a word.
    pub fn drop_abandoned(&self) {
        lock(&self.0).retain(|_, polling| !lock(&polling.waiting).is_abandoned());
    }

    /// Keeps a watcher, and answers an id that nobody can guess.
    pub fn keep(&self, watcher: Watcher) -> Outcome<String> {
        let random: [u8; 16] = random::bytes().map_err(|error: io::Error| Fault::io("watcher", &error))?;
        let id = format!("w{:032x}", u128::from_ne_bytes(random));
        let waiting = Arc::new(Mutex::new(Waiting {
            events: VecDeque::new(),
            text_bytes: 0,
            overflow: false,
            over: None,
            asked: Instant::now(),
        }));
        let task = tokio::spawn(collect(watcher, Arc::clone(&waiting)));
        lock(&self.0).insert(id.clone(), Polling { waiting, task });
        Ok(id)
    }

    /// What has happened since the last call. A client without the extensions gets an error, once, when some of it was
    /// lost, and the rest with its next call.
    pub fn take(&self, id: &str, extensions: bool) -> Outcome<Answer> {
        let polled = lock(&self.0);
        let mut waiting = lock(&polled.get(id).ok_or_else(unknown)?.waiting);
        waiting.asked = Instant::now();
        if waiting.events.is_empty()
            && !waiting.overflow
            && let Some(fault) = &waiting.over
        {
            return Err(fault.clone());
        }
        let was_lost = std::mem::take(&mut waiting.overflow);
        if was_lost && !extensions {
            return Err(overflow());
        }
        waiting.text_bytes = 0;
        Ok(Answer { events: std::mem::take(&mut waiting.events).into(), overflow: was_lost })
    }

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
        if waiting.is_abandoned() {
            waiting.abandon();
        }
        if waiting.over.is_some() {
            return;
        }
    }
}

impl Waiting {
    fn is_abandoned(&self) -> bool {
        self.asked.elapsed() >= ABANDONED
    }

    /// Gives the memory back; whoever asks after all gets told.
    fn abandon(&mut self) {
        self.events = VecDeque::new();
        self.overflow = false;
        self.over =
            Some(Fault::new(Kind::NotFound, "watcher_id: nobody asked this watcher for an hour, and it is gone"));
    }

    fn add(&mut self, news: News) {
        for item in news.items {
            match item {
                Item::Event(event) => self.push(event),
                Item::Overflow => self.overflow = true,
            }
        }
        self.over = news.over;
    }

    fn push(&mut self, event: FilesystemEvent) {
        let bytes = event.name.len() + event.entry.as_option().map_or(0, text_bytes);
        if self.events.len() >= MAX_EVENTS || self.text_bytes + bytes > MAX_TEXT_BYTES {
            self.overflow = true;
            return;
        }
        self.text_bytes += bytes;
        self.events.push_back(event);
    }
}
