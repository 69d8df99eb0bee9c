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

/// Counts as it goes, and never looks through all records: that would touch memory that envd shares with each process
/// between fork and exec, and the kernel would copy it.
#[derive(Default)]
pub struct Retained {
    /// The newest is the last.
    records: VecDeque<Record>,
    record_bytes: usize,
    output_bytes: usize,
    /// How many of the oldest have lost their output.
    without_output: usize,
}

struct Record {
    ended: Instant,
    process: Arc<Process>,
    record_bytes: usize,
    output_bytes: usize,
}

impl Retained {
    /// Keeps a process that has ended `now` and whose output is finished. The oldest go, or lose their output, where
    /// it is too much.
    pub fn add(&mut self, now: Instant, process: Arc<Process>) {
        let (record_bytes, output_bytes) = (process.record_bytes(), process.output.tail_bytes());
        self.record_bytes += record_bytes;
        self.output_bytes += output_bytes;
        self.records.push_back(Record { ended: now, process, record_bytes, output_bytes });
        while self.records.len() > MAX_RECORDS || self.record_bytes > MAX_RECORD_BYTES {
            self.drop_oldest();
        }
        while self.output_bytes > MAX_OUTPUT_BYTES {
            let record = &self.records[self.without_output];
            record.process.output.forget();
            self.output_bytes -= record.output_bytes;
            self.without_output += 1;
        }
        self.expire(now);
    }

    /// Those that are kept, the newest first.
    pub fn newest_first(&mut self, now: Instant) -> impl Iterator<Item = &Arc<Process>> {
        self.expire(now);
        self.records.iter().rev().map(|record| &record.process)
    }

    fn expire(&mut self, now: Instant) {
        while self.records.front().is_some_and(|record| now.duration_since(record.ended) >= KEEP) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.record_bytes -= record.record_bytes;
            match self.without_output.checked_sub(1) {
                Some(rest) => self.without_output = rest,
                None => self.output_bytes -= record.output_bytes,
            }
        }
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
        let kept: Vec<_> = retained.newest_first(now).map(|process| process.output.tail_bytes()).collect();
        assert_eq!((kept.len(), kept.iter().sum::<usize>(), kept[39]), (40, MAX_OUTPUT_BYTES, 0));
        assert_eq!(retained.output_bytes, MAX_OUTPUT_BYTES);
        let later = now + KEEP;
        assert!(pids(&mut retained, later).is_empty());
        assert_eq!((retained.record_bytes, retained.output_bytes, retained.without_output), (0, 0, 0));
    }
}
