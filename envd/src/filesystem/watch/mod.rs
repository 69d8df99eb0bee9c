//! `WatchDir` and the watchers that clients poll: what happens in a directory, and below it. See inotify(7).
//!
//! The kernel queues events for each watcher. A stream takes them when its client has taken the ones before, so a slow
//! client costs no memory here; when the kernel's queue is full, the client is told that it has missed something.

mod batch;
mod inotify;
mod mounts;
mod polled;
#[cfg(test)]
mod replay;
mod reported;
mod scan;
mod stream;
mod tree;
mod waiting;
mod watched;
mod watcher;

pub use polled::Polled;
pub use stream::{Reader, events};
pub use watched::Options;
pub use watcher::Watcher;

/// Each watcher has an inotify instance, of which Linux gives root, whose programs need some too, 128.
pub const MAX_STREAMS: usize = 64;
/// Of the watchers that clients poll, besides the streams.
pub const MAX_POLLED: usize = 32;
