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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::output::Last;
    use crate::process::record::sample;
    use crate::process::source::Source;
    use crate::proto::process::process_event::EndEvent;

    fn ended(pid: u32, output: usize) -> Arc<Process> {
        let process = sample(pid, "");
        process.output.push(Source::Stdout, &vec![0; output]);
        process.output.finish(Last { end: Ok(EndEvent::default()), timed_out: false });
        process
    }

    fn pids(retained: &mut Retained, now: Instant) -> Vec<u32> {
        retained.newest_first(now).map(|process| process.pid).collect()
    }

    #[test]
    fn goes_after_ten_minutes() {
        let mut retained = Retained::default();
        let start = Instant::now();
        retained.add(start, ended(1, 0));
        retained.add(start + KEEP / 2, ended(2, 0));
        assert_eq!(pids(&mut retained, start + KEEP - Duration::from_secs(1)), [2, 1]);
        assert_eq!(pids(&mut retained, start + KEEP), [2]);
        assert!(pids(&mut retained, start + KEEP * 2).is_empty());
    }

    #[test]
    fn the_number_is_bounded() {
        let mut retained = Retained::default();
        let now = Instant::now();
        let many = u32::try_from(MAX_RECORDS).expect("small") + 10;
        (0..many).for_each(|pid| retained.add(now, ended(pid, 0)));
        let kept = pids(&mut retained, now);
        assert_eq!((kept.len(), kept[0], kept[MAX_RECORDS - 1]), (MAX_RECORDS, many - 1, 10));
    }

    #[test]
    fn the_oldest_lose_their_output_first_and_are_still_known() {
        let mut retained = Retained::default();
        let now = Instant::now();
        (0..40).for_each(|pid| retained.add(now, ended(pid, 1 << 20)));
        let held: usize = retained.newest_first(now).map(|process| process.output.held()).sum();
        assert_eq!(held, MAX_OUTPUT_BYTES);
        let kept: Vec<_> = retained.newest_first(now).cloned().collect();
        assert_eq!((kept.len(), kept[39].output.held()), (40, 0));
        assert!(kept[0].output.held() > 0);
    }
}
