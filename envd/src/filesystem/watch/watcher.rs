//! One watcher on the event loop: waits for the kernel's queue, and has what is in it looked at where blocking is allowed.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::batch::{Batch, Item};
use super::inotify::Inotify;
use super::watched::{Options, Watched, fault};
use crate::fault::{Fault, Outcome};
use crate::users::{self, User};

/// Some hundred events at a time, and at least one with the longest name.
const READ_BYTES: usize = 16 << 10;

/// Watches until it is dropped. What nobody takes waits in the kernel's queue, which is bounded.
pub struct Watcher {
    queue: AsyncFd<Arc<Inotify>>,
    user: Arc<User>,
    root: PathBuf,
    options: Options,
    /// Elsewhere while it is looked at.
    watched: Option<Box<Watched>>,
}

/// What has happened, and why there will be no more, if so.
#[derive(Default)]
pub struct News {
    pub items: Vec<Item>,
    pub over: Option<Fault>,
}

impl Watcher {
    /// Watches a directory with the rights of `user`.
    pub async fn open(root: PathBuf, options: Options, user: Arc<User>) -> Outcome<Self> {
        let inotify = Arc::new(Inotify::new().map_err(|error| fault(&root, &error))?);
        let (for_work, path) = (Arc::clone(&inotify), root.clone());
        let watched = users::run_as(&user, move || Watched::open(for_work, path, options)).await?;
        // SAFETY: an `Inotify` keeps one descriptor open for as long as it lives, and the AsyncFd keeps it alive.
        let queue = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
        let queue = queue.map_err(|error| fault(&root, &error.into()))?;
        Ok(Self { queue, user, root, options, watched: Some(Box::new(watched)) })
    }

    /// Resolves when something may have happened. Can be given up and asked again.
    pub async fn ready(&self) -> Outcome<()> {
        // Readiness stays as it is until the queue is found empty.
        let ready = poll_fn(|context| self.queue.poll_read_ready(context).map_ok(|_still_ready| ()));
        ready.await.map_err(|error| fault(&self.root, &error))
    }

    /// What has happened so far, or a part of it. Must not be given up.
    pub async fn take(&mut self) -> Outcome<News> {
        let mut buffer = vec![0; READ_BYTES];
        let read = self.queue.try_io(Interest::READABLE, |queue| queue.read(&mut buffer));
        match read {
            Ok(length) => buffer.truncate(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(News::default()),
            Err(error) => return Err(fault(&self.root, &error)),
        }
        let Some(mut watched) = self.watched.take() else {
            return Err(Fault::internal("path: the watcher failed before"));
        };
        let root = self.options.include_entry.then(|| self.root.clone());
        let work = move || {
            let batch = watched.take(&buffer);
            Ok((watched, news(batch, root)))
        };
        let blocks = self.options.recursive || self.options.include_entry;
        let (watched, news) = if blocks { users::run_as(&self.user, work).await? } else { work()? };
        self.watched = Some(watched);
        Ok(news)
    }
}

fn news(mut batch: Batch, root: Option<PathBuf>) -> News {
    let over = batch.over.take();
    News { items: batch.into_items(root.as_deref()), over }
}
