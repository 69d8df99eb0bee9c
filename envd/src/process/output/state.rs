//! What an [`Output`](super::Output) holds under its lock.

use std::sync::Arc;

use super::budget::{Budget, Share};
use super::ring::Ring;
use super::{Last, Position, Progress};
use crate::fault::{Fault, Outcome};
use crate::process::source::{Offsets, PerSource, Source};

/// How often the streams may take turns before the reader that started the process has read that: so their order stays
/// exact for it.
pub const WINDOW_TURNS: usize = 1024;
/// What is held of each stream once the process has ended and nobody follows it.
pub const TAIL_BYTES: usize = 64 << 10;

/// The rings of a process's streams, how far readers have come, and how the process ended, if it has.
pub struct State {
    /// `None` once the process has ended.
    pub progress: Option<Arc<dyn Progress>>,
    pub rings: PerSource<Ring>,
    /// Bytes that no longer exist anywhere because the envd that had read them is dead.
    pub forgotten: Offsets,
    pub sent: Offsets,
    pub starter: Option<Offsets>,
    pub readers: usize,
    /// What is to be left of each stream at the end.
    pub tail: usize,
    share: Share,
    /// Counts the turns of the streams.
    sequence: u64,
    writer: Option<Source>,
    pub last: Option<Last>,
}

impl State {
    /// Holds nothing and has no readers; each stream goes on at its position in `from`.
    pub fn new(from: PerSource<Position>, progress: Option<Arc<dyn Progress>>, budget: Arc<Budget>) -> Self {
        Self {
            rings: PerSource::build(|source| Ring::new(from[source].read)),
            forgotten: PerSource::build(|source| from[source].read),
            sent: PerSource::build(|source| from[source].sent),
            starter: None,
            readers: 0,
            tail: TAIL_BYTES,
            share: Share::new(budget),
            sequence: 0,
            writer: None,
            last: None,
            progress,
        }
    }

    /// Adds the newest bytes of a stream. The oldest go where there are too many, but none that the reader that
    /// started the process has not read.
    pub fn push(&mut self, source: Source, bytes: &[u8]) {
        if self.writer != Some(source) {
            self.writer = Some(source);
            self.sequence += 1;
        }
        // Whatever the budget says: what the reader that started the process has not read stays.
        let owed = self.starter.map_or(0, |_| self.unread(source) + bytes.len());
        let limit = self.share.ring_bytes().max(owed);
        self.rings[source].push(self.sequence, bytes, limit);
        self.share.set(self.held());
    }

    /// Tells where the stream stands now, if somebody keeps account of it.
    pub fn report(&self, source: Source) {
        if let Some(progress) = &self.progress {
            progress.moved(source, Position { read: self.rings[source].end(), sent: self.sent[source] });
        }
    }

    /// Whether the process is as far ahead of the reader that started it as it may be.
    pub fn is_full(&self, source: Source) -> bool {
        let turns = self.starter.map_or(0, |starter| self.rings[source].turns(starter[source]));
        self.unread(source) >= self.share.window_bytes() || turns >= WINDOW_TURNS
    }

    /// What the reader that started the process has not read.
    fn unread(&self, source: Source) -> usize {
        let ring = &self.rings[source];
        let bytes = self.starter.map_or(0, |starter| ring.end() - starter[source]);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn held(&self) -> usize {
        Source::ALL.iter().map(|source| self.rings[*source].len()).sum()
    }

    /// What has ended and is not followed needs no more than its tail.
    pub fn release(&mut self) {
        if self.last.is_some() && self.readers == 0 {
            for source in Source::ALL {
                self.rings[source].keep_newest(self.tail);
                self.rings[source].shrink();
            }
            self.share.set(self.held());
        }
    }

    /// Refuses positions that the process has not reached; `from` is their field.
    pub fn check(&self, from: &PerSource<Option<u64>>) -> Outcome<()> {
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
