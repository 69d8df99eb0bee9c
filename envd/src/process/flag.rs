//! A condition that can be waited for.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Not set at first. Far smaller than a channel, and there are some for every process that is remembered.
#[derive(Default)]
pub struct Flag {
    is_set: AtomicBool,
    changed: Notify,
}

impl Flag {
    /// Wakes all who wait. Stays set until it is unset.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Who waits from here on waits for the next time it is set; so does one that was woken and has not looked yet.
    pub fn unset(&self) {
        self.is_set.store(false, Ordering::Release);
    }

    /// What was done before the flag was set can be seen by whoever finds it set.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Returns at once if it is set.
    pub async fn until_set(&self) {
        loop {
            let mut change = std::pin::pin!(self.changed.notified());
            change.as_mut().enable();
            if self.is_set() {
                return;
            }
            change.await;
        }
    }
}
