//! What a process writes, held for those who follow it. There is one bounded [`Ring`] for each stream and no queue
//! for each reader: readers are positions. The process waits for the reader that started it, so that one misses
//! nothing; it waits for nobody else, and who falls behind the ring is told what is missing.

mod reader;
mod ring;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

pub use reader::{Item, Lost, Reader};
use ring::Ring;

use super::source::{Offsets, PerSource, Source};
use crate::fault::{Fault, Outcome};
use crate::lock::lock;
use crate::proto::process::process_event::EndEvent;

/// How far the process may be ahead of the reader that started it.
const WINDOW_BYTES: u64 = 256 << 10;
/// The same in turns of the streams, so that their order stays exact for that reader.
const WINDOW_TURNS: usize = 1024;
/// What is held of each stream once the process has ended and nobody follows it.
const TAIL_BYTES: usize = 64 << 10;

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

    fn moved(&self, source: Source, position: Position);
}

/// How it ended: what everyone is told, and whether its time was up, which the reader that started it is told.
#[derive(Clone, Debug)]
pub struct Last {
    pub end: Outcome<EndEvent>,
    pub timed_out: bool,
}

pub struct Output {
    state: Mutex<State>,
    /// There is something new for readers.
    changed: Notify,
    /// The reader that started the process has read on, or is gone.
    room: Notify,
}

struct State {
    /// `None` once the process has ended.
    progress: Option<Arc<dyn Progress>>,
    rings: PerSource<Ring>,
    /// Bytes that no longer exist anywhere because the envd that had read them is dead.
    forgotten: Offsets,
    sent: Offsets,
    starter: Option<Offsets>,
    readers: usize,
    /// What is to be left of each stream at the end.
    tail: usize,
    sequence: u64,
    writer: Option<Source>,
    last: Option<Last>,
}

impl Output {
    /// Output that begins at `from`, which is zero unless another envd has read some.
    pub fn new(from: PerSource<Position>, progress: Option<Arc<dyn Progress>>) -> Self {
        let state = State {
            progress,
            rings: PerSource::build(|source| Ring::new(from[source].read)),
            forgotten: PerSource::build(|source| from[source].read),
            sent: PerSource::build(|source| from[source].sent),
            starter: None,
            readers: 0,
            tail: TAIL_BYTES,
            sequence: 0,
            writer: None,
            last: None,
        };
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
        if state.writer != Some(source) {
            state.writer = Some(source);
            state.sequence += 1;
        }
        let sequence = state.sequence;
        state.rings[source].push(sequence, bytes);
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

impl State {
    fn report(&self, source: Source) {
        if let Some(progress) = &self.progress {
            progress.moved(source, Position { read: self.rings[source].end(), sent: self.sent[source] });
        }
    }

    fn is_full(&self, source: Source) -> bool {
        let ring = &self.rings[source];
        self.starter.is_some_and(|starter| {
            ring.end() - starter[source] >= WINDOW_BYTES || ring.turns(starter[source]) >= WINDOW_TURNS
        })
    }

    /// What has ended and is not followed needs no more than its tail.
    fn release(&mut self) {
        if self.last.is_some() && self.readers == 0 {
            for source in Source::ALL {
                self.rings[source].keep_newest(self.tail);
                self.rings[source].shrink();
            }
        }
    }

    /// Refuses positions that the process has not reached; `from` is their field.
    fn check(&self, from: &PerSource<Option<u64>>) -> Outcome<()> {
        for source in Source::ALL {
            let end = self.rings[source].end();
            if from[source].is_some_and(|position| position > end) {
                let name = source.name();
                return Err(Fault::invalid(format!("from.{name}: is beyond the end of the output, {end}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
