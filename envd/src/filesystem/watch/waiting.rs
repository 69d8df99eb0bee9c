//! What a client that polls has not been told yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Item, MAX_EVENTS};
use super::stream::overflow;
use super::watcher::News;
use crate::fault::{Fault, Kind, Outcome};
use crate::filesystem::entry::text_bytes;
use crate::proto::filesystem::FilesystemEvent;

/// A watcher that nobody asks for so long is dropped, when something happens or another one is made.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Of the texts in waiting events.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// Begins empty, as if asked when it was made. Bounded in the number of events and in the size of their texts.
pub struct Waiting {
    events: VecDeque<FilesystemEvent>,
    text_bytes: usize,
    overflow: bool,
    over: Option<Fault>,
    asked: Instant,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { events: VecDeque::new(), text_bytes: 0, overflow: false, over: None, asked: Instant::now() }
    }
}

/// What a client that polls is answered.
pub struct Answer {
    pub events: Vec<FilesystemEvent>,
    pub overflow: bool,
}

impl Waiting {
    /// What has happened since the last call. A client without the extensions gets an error, once, when some of it was
    /// lost, and the rest with its next call.
    pub fn take(&mut self, extensions: bool) -> Outcome<Answer> {
        self.asked = Instant::now();
        if self.events.is_empty()
            && !self.overflow
            && let Some(fault) = &self.over
        {
            return Err(fault.clone());
        }
        let was_lost = std::mem::take(&mut self.overflow);
        if was_lost && !extensions {
            return Err(overflow());
        }
        self.text_bytes = 0;
        Ok(Answer { events: std::mem::take(&mut self.events).into(), overflow: was_lost })
    }

    /// Whether no more will come.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether nobody has asked for an hour.
    pub fn is_abandoned(&self) -> bool {
        self.asked.elapsed() >= ABANDONED
    }

    /// Gives the memory back; whoever asks after all gets told.
    fn abandon(&mut self) {
        self.events = VecDeque::new();
        self.overflow = false;
        self.over =
            Some(Fault::new(Kind::NotFound, "watcher_id: nobody asked this watcher for an hour, and it is gone"));
    }

    /// Takes in what one look has found. What does not fit counts as lost. When nobody has asked for an hour
    /// everything is given up, and the watcher is over.
    pub fn add(&mut self, news: News) {
        for item in news.items {
            match item {
                Item::Event(event) => self.push(event),
                Item::Overflow => self.overflow = true,
            }
        }
        self.over = news.over;
        if self.is_abandoned() {
            self.abandon();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn news(count: usize, name: &str) -> News {
        let event = FilesystemEvent { name: name.into(), ..FilesystemEvent::default() };
        News { items: vec![Item::Event(event); count], over: None }
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_size() {
        let mut many = Waiting::default();
        many.add(news(MAX_EVENTS, "name"));
        assert!(!many.overflow);
        many.add(news(1, "name"));
        assert!(many.overflow && many.events.len() == MAX_EVENTS);

        let mut large = Waiting::default();
        large.add(news(3000, &"n".repeat(4000)));
        assert!(large.overflow && large.text_bytes <= MAX_TEXT_BYTES);
    }

    #[test]
    fn a_watcher_that_nobody_asks_is_given_up() {
        let mut waiting = Waiting::default();
        assert!(!waiting.is_abandoned());
        // A machine that has just started has no such time to look back on.
        let Some(long_ago) = Instant::now().checked_sub(ABANDONED) else {
            return;
        };
        waiting.asked = long_ago;
        waiting.add(news(1, "name"));
        assert!(waiting.events.is_empty() && waiting.is_over());
    }
}
