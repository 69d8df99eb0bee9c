//! Streams bytes into a staged file: collected to pieces worth a hop to the blocking pool.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::CHUNK_BYTES;
use super::staged::{Attributes, Staged};
use crate::fault::{Fault, Outcome};
use crate::paths;
use crate::users::{User, blocking, run_as};

/// Dropped without `finish`, it leaves nothing behind but the parents that it made.
pub struct Writer {
    path: PathBuf,
    user: Arc<User>,
    file: Arc<File>,
    /// `None` once it is in its place.
    staged: Option<Staged>,
    pending: Vec<u8>,
}

impl Writer {
    /// Begins a file that nobody sees yet. Parents that are missing are made, and belong to the user too.
    pub async fn create(path: PathBuf, attributes: Arc<Attributes>, user: Arc<User>) -> Outcome<Self> {
        let target = path.clone();
        let staged = run_as(&user, move || Staged::create(&target, &attributes)).await?;
        let file = Arc::clone(&staged.file);
        Ok(Self { path, user, file, staged: Some(staged), pending: Vec::new() })
    }

    /// Takes the next bytes. They are collected, so an error may be of those of an earlier call.
    pub async fn write(&mut self, mut bytes: Bytes) -> Outcome<()> {
        while !bytes.is_empty() {
            if self.pending.capacity() == 0 {
                self.pending.reserve_exact(CHUNK_BYTES);
            }
            let room = CHUNK_BYTES - self.pending.len();
            self.pending.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.pending.len() == CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes out what `write` has collected.
    async fn flush(&mut self) -> Outcome<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pending = self.with(move |file| write_all(file, &pending).map(|()| cleared(pending))).await?;
        Ok(())
    }

    /// Puts the file in its place and answers where that is.
    pub async fn finish(mut self) -> Outcome<PathBuf> {
        self.flush().await?;
        let path = self.path.clone();
        if let Some(staged) = self.staged.take() {
            let commit = move || staged.commit().map_err(|error| Fault::io(&paths::display(&path), &error));
            run_as(&self.user, commit).await?;
        }
        Ok(std::mem::take(&mut self.path))
    }

    /// Lets `work` write to the file, where that stands. It may block.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Outcome<T> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(move || work(&file).map_err(|error| Fault::io(&paths::display(&path), &error))).await
    }
}

impl Drop for Writer {
    /// Off the event loop: to remove a large file takes its time.
    fn drop(&mut self) {
        if let (Some(staged), Ok(runtime)) = (self.staged.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(staged));
        }
    }
}

fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

fn cleared(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer
}
