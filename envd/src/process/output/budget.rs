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
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    pub fn set(&mut self, bytes: usize) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    pub fn ring_bytes(&self) -> usize {
        if self.budget.is_spent() { SMALL_RING_BYTES } else { RING_BYTES }
    }

    pub fn window_bytes(&self) -> usize {
        if self.budget.is_spent() { SMALL_WINDOW_BYTES } else { WINDOW_BYTES }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
