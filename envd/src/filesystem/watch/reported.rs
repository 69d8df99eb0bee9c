//! What a scan has reported, and the kernel tells as well, because it happened after the directory was watched and before
//! it was scanned: such events are in the queue when the scan ends, and are not told twice.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use super::batch::MAX_EVENTS;
use super::inotify::{Event, Watch};

/// The reports that may yet be repeated, as directory and name; none at first.
#[derive(Default)]
pub struct Reported {
    names: HashSet<(Watch, OsString)>,
    /// Places are bytes of all that is ever read from the queue.
    valid_to: usize,
    read: usize,
    buffered: usize,
}

impl Reported {
    /// So much has been read from the queue.
    pub fn begin(&mut self, length: usize) {
        self.buffered = self.read + length;
    }

    /// The event that ends here, in what was read last, is next.
    pub fn advance(&mut self, end: usize) {
        if self.read + end > self.valid_to {
            self.names.clear();
        }
    }

    /// All of what was read last has been looked at; `length` is what [`Self::begin`] was given.
    pub fn end(&mut self, length: usize) {
        self.read += length;
    }

    /// A scan has reported this name in this directory. Of very many the last are not noted: those may be told twice.
    pub fn add(&mut self, watch: Watch, name: &OsStr) {
        if self.names.len() < MAX_EVENTS {
            self.names.insert((watch, name.to_owned()));
        }
    }

    /// A scan has ended, and so much is waiting in the kernel's queue.
    pub fn extend_to(&mut self, waiting: usize) {
        self.valid_to = self.buffered + waiting;
    }

    /// Whether the event only repeats a report. If it does, or contradicts it, the next one counts.
    pub fn withdraw(&mut self, event: &Event<'_>) -> bool {
        !self.names.is_empty() && self.names.remove(&(event.watch, event.name.to_owned()))
    }
}
