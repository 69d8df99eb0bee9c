//! Locks that survive a panic: a handler that dies fails its own request, never the ones after it. Every
//! critical section here leaves its value whole at each step, so a poisoned lock is safe to reuse.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the lock, and takes it even if it is poisoned.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
