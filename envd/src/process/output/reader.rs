//! One reader of a process's output: a position in each stream.

use std::sync::Arc;

use super::Output;
use super::state::State;
use crate::fault::{Fault, Kind, Outcome};
use crate::process::channel::CHUNK_BYTES;
use crate::process::source::{Offsets, PerSource, Source};
use crate::proto::process::process_event::EndEvent;

/// What a reader is given next.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Data {
        source: Source,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Bytes that the reader does not get, in their place. Only for a reader that asked to be told so.
    Gap {
        source: Source,
        from: u64,
        to: u64,
        reason: Lost,
    },
    /// The last item of all.
    End(EndEvent),
}

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The reader was too slow, or came too late.
    Overwritten,
    /// They were in the memory of an envd that is dead.
    AgentRestarted,
}

/// Dropping it takes it off the output.
pub struct Reader {
    output: Arc<Output>,
    at: Offsets,
    starts: bool,
    gaps: bool,
}

impl Output {
    /// The reader that started the process. It sees everything, and the process waits for it.
    pub fn start(self: &Arc<Self>) -> Reader {
        let mut state = self.lock();
        let at = PerSource::build(|source| state.rings[source].base());
        state.starter = Some(at);
        state.readers += 1;
        Reader { output: Arc::clone(self), at, starts: true, gaps: false }
    }

    /// A reader that came later. Each stream begins at the position asked for, or else with what no reader has been
    /// given yet. With `gaps` the reader is told what is missing from there on; without, a loss after its beginning
    /// ends it with an error.
    pub fn follow(self: &Arc<Self>, from: &PerSource<Option<u64>>, gaps: bool) -> Outcome<Reader> {
        let mut state = self.lock();
        state.check(from)?;
        let begin = |source| {
            let position = from[source].unwrap_or(state.sent[source]);
            if gaps { position } else { position.max(state.rings[source].base()) }
        };
        let at = PerSource::build(begin);
        state.readers += 1;
        Ok(Reader { output: Arc::clone(self), at, starts: false, gaps })
    }
}

impl Reader {
    /// Waits for the next item. An error is the last thing that a reader is given.
    pub async fn next(&mut self) -> Outcome<Item> {
        let output = Arc::clone(&self.output);
        loop {
            let mut step = std::pin::pin!(output.changed.notified());
            step.as_mut().enable();
            if let Some(item) = self.take() {
                return item;
            }
            step.await;
        }
    }

    /// The next item, if there is one already.
    pub fn take(&mut self) -> Option<Outcome<Item>> {
        let output = Arc::clone(&self.output);
        let mut state = output.lock();
        if let Some((source, to, reason)) = self.missing(&state) {
            let from = self.at[source];
            if !self.gaps {
                let name = source.name();
                return Some(Err(Fault::new(Kind::DataLoss, format!("{name}: bytes {from} to {to} are lost"))));
            }
            self.move_to(&mut state, source, to);
            return Some(Ok(Item::Gap { source, from, to, reason }));
        }
        if let Some(source) = self.earliest(&state) {
            let offset = self.at[source];
            let bytes = state.rings[source].copy(offset, CHUNK_BYTES);
            self.move_to(&mut state, source, offset + bytes.len() as u64);
            return Some(Ok(Item::Data { source, offset, bytes }));
        }
        let last = state.last.as_ref()?;
        if self.starts && last.timed_out {
            return Some(Err(Fault::new(Kind::DeadlineExceeded, "process: ended because its time was up")));
        }
        Some(last.end.clone().map(Item::End))
    }

    /// A stream whose next byte is no longer held, the first position that is, and why.
    fn missing(&self, state: &State) -> Option<(Source, u64, Lost)> {
        let source = Source::ALL.into_iter().find(|source| self.at[*source] < state.rings[*source].base())?;
        let (base, forgotten) = (state.rings[source].base(), state.forgotten[source]);
        Some(match self.at[source] < forgotten {
            true => (source, forgotten.min(base), Lost::AgentRestarted),
            false => (source, base, Lost::Overwritten),
        })
    }

    /// The stream whose next byte came first.
    fn earliest(&self, state: &State) -> Option<Source> {
        let next = |source: Source| Some((state.rings[source].sequence(self.at[source])?, source));
        Source::ALL.into_iter().filter_map(next).min_by_key(|(sequence, _)| *sequence).map(|(_, source)| source)
    }

    fn move_to(&mut self, state: &mut State, source: Source, position: u64) {
        self.at[source] = position;
        if state.sent[source] < position {
            state.sent[source] = position;
            state.report(source);
        }
        if self.starts {
            state.starter = Some(self.at);
            self.output.room.notify_waiters();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.output.lock();
        state.readers -= 1;
        if self.starts {
            state.starter = None;
            self.output.room.notify_waiters();
        }
        state.release();
    }
}
