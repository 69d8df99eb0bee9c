//! The newest bytes of one output stream, and when they came relative to the other streams.

use std::collections::VecDeque;

/// What is held of a stream while its process runs.
pub const RING_BYTES: usize = 1 << 20;

/// How often the streams may take turns before the oldest turns are put together: then all bytes are still there,
/// but their order relative to the other stream is no longer exact.
const MAX_RUNS: usize = 4096;

/// Bytes that came without any of another stream in between: the unit of order between streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    sequence: u64,
    start: u64,
}

/// Positions count from the start of the process. Those before [`Ring::base`] are no longer held.
pub struct Ring {
    bytes: VecDeque<u8>,
    base: u64,
    runs: VecDeque<Run>,
}

impl Ring {
    /// An empty ring whose first byte will be at `base`.
    pub fn new(base: u64) -> Self {
        Self { bytes: VecDeque::new(), base, runs: VecDeque::new() }
    }

    /// The position of the oldest byte that is held; of the next one when none is.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The position of the next byte that comes.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// How many bytes are held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the newest bytes, in place of the oldest where they would be more than `limit` together.
    pub fn push(&mut self, sequence: u64, bytes: &[u8], limit: usize) {
        if bytes.is_empty() {
            return;
        }
        if self.runs.back().is_none_or(|run| run.sequence != sequence) {
            if self.runs.len() == MAX_RUNS {
                self.runs.remove(1);
            }
            self.runs.push_back(Run { sequence, start: self.end() });
        }
        // Callers read in pieces far smaller than the ring; were one larger, its end would be kept.
        let surplus = bytes.len().saturating_sub(limit);
        self.keep_newest(limit.saturating_sub(bytes.len()));
        self.base += surplus as u64;
        self.reserve(bytes.len() - surplus, limit);
        self.bytes.extend(&bytes[surplus..]);
    }

    /// Lets go of all but the last `limit` bytes.
    pub fn keep_newest(&mut self, limit: usize) {
        let surplus = self.bytes.len().saturating_sub(limit);
        self.bytes.drain(..surplus);
        self.base += surplus as u64;
        while self.runs.get(1).is_some_and(|next| next.start <= self.base) {
            self.runs.pop_front();
        }
    }

    /// Gives back the memory that nothing is kept in.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.runs.shrink_to_fit();
    }

    /// The turn that the byte at `from` belongs to. `None` at the end.
    pub fn sequence(&self, from: u64) -> Option<u64> {
        (from < self.end()).then(|| self.runs.get(self.run(from)).map_or(0, |run| run.sequence))
    }

    /// How many turns begin after `from`.
    pub fn turns(&self, from: u64) -> usize {
        self.runs.len().saturating_sub(self.run(from) + 1)
    }

    /// A copy of at most `limit` bytes of one turn, beginning at `from`, which must be held.
    pub fn copy(&self, from: u64, limit: usize) -> Vec<u8> {
        let run_end = self.runs.get(self.run(from) + 1).map_or(self.end(), |next| next.start);
        let start = self.index(from);
        let end = self.index(run_end).min(start + limit);
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        let mut copy = Vec::with_capacity(end - start);
        copy.extend_from_slice(&front[start.min(split)..end.min(split)]);
        copy.extend_from_slice(&back[start.saturating_sub(split)..end.saturating_sub(split)]);
        copy
    }

    /// By powers of two up to the limit, which the growth of a `VecDeque` would overshoot.
    fn reserve(&mut self, more: usize, limit: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let capacity = needed.next_power_of_two().min(limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        } else if self.bytes.capacity() / 2 > limit {
            self.bytes.shrink_to(limit);
        }
    }

    /// Index of the run that holds the position.
    fn run(&self, position: u64) -> usize {
        self.runs.partition_point(|run| run.start <= position).saturating_sub(1)
    }

    fn index(&self, position: u64) -> usize {
        let distance = position.saturating_sub(self.base);
        usize::try_from(distance).map_or(self.bytes.len(), |index| index.min(self.bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_newest_and_counts_from_the_start() {
        let mut ring = Ring::new(0);
        for number in 0..40_u8 {
            ring.push(1, &[number; 32 << 10], RING_BYTES);
        }
        assert_eq!((ring.base(), ring.end(), ring.len()), (8 << 15, 40 << 15, RING_BYTES));
        assert!(ring.bytes.capacity() <= RING_BYTES);
        // Across the seam of the circular buffer too.
        for number in 8..40_u64 {
            assert_eq!(ring.copy(number << 15, 32 << 10), [u8::try_from(number).expect("small"); 32 << 10]);
        }
        ring.push(1, &[40; 10], 100_000);
        assert_eq!((ring.len(), ring.copy(ring.end() - 10, 100)), (100_000, vec![40; 10]));
        assert!(ring.bytes.capacity() < 200_000);
        ring.keep_newest(10);
        ring.shrink();
        assert_eq!(ring.copy(ring.base(), 100), [40; 10]);
        assert!(ring.bytes.capacity() < 100);
    }

    #[test]
    fn a_piece_larger_than_the_ring_leaves_its_end() {
        let mut ring = Ring::new(5);
        let mut piece = vec![0; RING_BYTES + 3];
        piece.push(9);
        ring.push(1, &piece, RING_BYTES);
        assert_eq!((ring.base(), ring.len()), (9, RING_BYTES));
        assert_eq!(ring.copy(ring.end() - 1, 10), [9]);
    }

    #[test]
    fn a_copy_ends_where_another_stream_had_its_turn() {
        let mut ring = Ring::new(100);
        ring.push(1, b"ab", 100);
        ring.push(1, b"cd", 100);
        ring.push(3, b"ef", 100);
        assert_eq!(ring.sequence(100), Some(1));
        assert_eq!(ring.sequence(103), Some(1));
        assert_eq!(ring.sequence(104), Some(3));
        assert_eq!(ring.sequence(106), None);
        assert_eq!(ring.copy(101, 100), b"bcd");
        assert_eq!(ring.copy(101, 1), b"b");
        assert_eq!((ring.turns(100), ring.turns(104)), (1, 0));
        ring.keep_newest(1);
        assert_eq!((ring.sequence(105), ring.copy(105, 100)), (Some(3), b"f".to_vec()));
    }

    #[test]
    fn very_many_turns_are_put_together_without_a_loss() {
        let mut ring = Ring::new(0);
        for number in 0..10_000_u64 {
            ring.push(number, b"x", RING_BYTES);
        }
        assert_eq!((ring.runs.len(), ring.len()), (MAX_RUNS, 10_000));
        assert_eq!(ring.copy(0, 100_000).len(), 10_000 - MAX_RUNS + 1);
        assert_eq!(ring.sequence(9_999), Some(9_999));
    }
}
