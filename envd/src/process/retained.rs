//! Processes that have ended, kept for those who come late: how they ended, and the end of their output. Bounded in
//! time, in number and in memory. Nothing happens by itself: what is too old goes when the next one comes, or when
//! somebody looks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::record::Process;

/// How long one is kept. A capsule that is paused does not age.
const KEEP: Duration = Duration::from_secs(600);
const MAX_RECORDS: usize = 1024;
/// Of all records without their output. The oldest go first.
const MAX_RECORD_BYTES: usize = 2 << 20;
/// Of the output of all. The oldest lose it first, and are still told how they ended.
const MAX_OUTPUT_BYTES: usize = 2 << 20;

/// The newest is the last.
#[derive(Default)]
pub struct Retained(VecDeque<(Instant, Arc<Process>)>);

impl Retained {
    pub fn add(&mut self, now: Instant, process: Arc<Process>) {
        self.0.push_back((now, process));
        self.limit();
        self.expire(now);
    }

    /// Those that are kept, the newest first.
    pub fn newest_first(&mut self, now: Instant) -> impl Iterator<Item = &Arc<Process>> {
        self.expire(now);
        self.0.iter().rev().map(|(_, process)| process)
    }

    fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(ended, _)| now.duration_since(*ended) >= KEEP) {
            self.0.pop_front();
        }
    }

    fn limit(&mut self) {
        let (mut records, mut output, mut kept) = (0, 0, 0);
        for (_, process) in self.0.iter().rev() {
            records += process.record_bytes();
            if kept == MAX_RECORDS || records > MAX_RECORD_BYTES {
                break;
            }
            kept += 1;
            // Measured anew each time: output that someone still reads is let go of when they are done.
            output += process.output.held();
            if output > MAX_OUTPUT_BYTES {
                process.output.forget();
            }
        }
        self.0.drain(..self.0.len() - kept);
    }
}
