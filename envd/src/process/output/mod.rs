//! What a process writes, held for those who follow it. There is one bounded [`Ring`] for each stream and no queue
//! for each reader: readers are positions. The process waits for the reader that started it, so that one misses
//! nothing; it waits for nobody else, and who falls behind the ring is told what is missing.

mod budget;
mod reader;
mod ring;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

pub use budget::Budget;
pub use reader::{Item, Lost, Reader};
use state::State;

use super::source::{PerSource, Source};
use crate::fault::Outcome;
use crate::lock::lock;
use crate::proto::process::process_event::EndEvent;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes that envd has read.
    pub read: u64,
    /// Bytes that some reader has been given.
    pub sent: u64,
}

/// Is told of every step in the output. Called with the output locked: must not block nor call back.
pub trait Progress: Send + Sync {
    /// Bytes are about to be read, which [`Progress::moved`] will count, or say that there were none.
    fn reads(&self, source: Source);

    /// The read that was announced has ended, or a reader was given more: the stream stands here now.
    fn moved(&self, source: Source, position: Position);
}

/// How it ended: what everyone is told, and whether its time was up, which the reader that started it is told.
#[derive(Clone, Debug)]
pub struct Last {
    pub end: Outcome<EndEvent>,
    pub timed_out: bool,
}

/// The output of one process, shared by those who read its pipes or terminal and those who follow it.
pub struct Output {
    state: Mutex<State>,
    /// There is something new for readers.
    changed: Notify,
    /// The reader that started the process has read on, or is gone.
    room: Notify,
}

impl Output {
    /// Output that begins at `from`, which is zero unless another envd has read some.
    pub fn new(from: PerSource<Position>, progress: Option<Arc<dyn Progress>>, budget: Arc<Budget>) -> Self {
        let state = State::new(from, progress, budget);
        Self { state: Mutex::new(state), changed: Notify::new(), room: Notify::new() }
    }

    /// Waits until the reader that started the process, if it is there, is less than the window behind.
    pub async fn room(&self, source: Source) {
        loop {
            let mut step = std::pin::pin!(self.room.notified());
            step.as_mut().enable();
            if !self.lock().is_full(source) {
                return;
            }
            step.await;
        }
    }

    /// Says that bytes are about to be read, which [`Self::push`] will be given.
    pub fn begin(&self, source: Source) {
        if let Some(progress) = &self.lock().progress {
            progress.reads(source);
        }
    }

    /// Takes what was read, which may be nothing.
    pub fn push(&self, source: Source, bytes: &[u8]) {
        let mut state = self.lock();
        if bytes.is_empty() {
            return state.report(source);
        }
        state.push(source, bytes);
        state.report(source);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes the end: nothing may be pushed after it.
    pub fn finish(&self, last: Last) {
        let mut state = self.lock();
        state.last = Some(last);
        state.progress = None;
        state.release();
        drop(state);
        self.changed.notify_waiters();
    }

    /// What is left of it once it has ended and nobody follows it.
    pub fn tail_bytes(&self) -> usize {
        let state = self.lock();
        Source::ALL.iter().map(|source| state.rings[*source].len().min(state.tail)).sum()
    }

    /// Keeps nothing of it, once it has ended and nobody follows it, but the end.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.tail = 0;
        state.release();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
