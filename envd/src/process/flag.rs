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
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub fn unset(&self) {
        self.is_set.store(false, Ordering::Release);
    }

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
