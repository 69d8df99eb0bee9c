//! Memory for the output of all processes together. While it lasts every stream has a large ring; after that a ring
//! that grows has a small one, so that many processes that write much do not take the guest's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ring::RING_BYTES;

const ALL_BYTES: usize = 32 << 20;
const SMALL_RING_BYTES: usize = 64 << 10;
/// How far a process may be ahead of the reader that started it.
const WINDOW_BYTES: usize = 256 << 10;
const SMALL_WINDOW_BYTES: usize = 32 << 10;

/// How many bytes are held, none at first. It refuses nothing: when it is spent, limits are lower.
#[derive(Default)]
pub struct Budget(AtomicUsize);

impl Budget {
    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > ALL_BYTES
    }
}

/// What one process takes of it.
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// A share of no bytes. Dropped, it gives back what it takes.
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Takes this many bytes, in place of what it took before.
    pub fn set(&mut self, bytes: usize) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    /// How many bytes a ring that grows now may hold: 1 MiB, or 64 KiB when the budget is spent.
    pub fn ring_bytes(&self) -> usize {
        if self.budget.is_spent() { SMALL_RING_BYTES } else { RING_BYTES }
    }

    /// How many bytes of a stream the process may now be ahead of the reader that started it: 256 KiB, or 32 KiB when
    /// the budget is spent.
    pub fn window_bytes(&self) -> usize {
        if self.budget.is_spent() { SMALL_WINDOW_BYTES } else { WINDOW_BYTES }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
