//! Streams bytes into a staged file: collected to pieces worth a hop to the blocking pool.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::CHUNK_BYTES;
use super::staged::{Attributes, Staged};
use crate::fault::{Fault, Outcome};
use crate::paths;
use crate::users::{User, blocking, run_as};

/// Dropped without `finish`, it leaves nothing behind.
pub struct Writer {
    path: PathBuf,
    user: Arc<User>,
    staged: Staged,
    pending: Vec<u8>,
}

impl Writer {
    pub async fn create(path: PathBuf, attributes: Arc<Attributes>, user: Arc<User>) -> Outcome<Self> {
        let target = path.clone();
        let staged = run_as(&user, move || Staged::create(&target, &attributes)).await?;
        Ok(Self { path, user, staged, pending: Vec::with_capacity(CHUNK_BYTES) })
    }

    pub async fn write(&mut self, mut bytes: Bytes) -> Outcome<()> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.pending.len();
            self.pending.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.pending.len() == CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Puts the file in its place and answers where that is.
    pub async fn finish(mut self) -> Outcome<PathBuf> {
        self.flush().await?;
        let (staged, path) = (self.staged, self.path.clone());
        let commit = move || staged.commit().map_err(|error| Fault::io(&paths::display(&path), &error));
        run_as(&self.user, commit).await?;
        Ok(self.path)
    }

    async fn flush(&mut self) -> Outcome<()> {
        let file = Arc::clone(&self.staged.file);
        let pending = std::mem::take(&mut self.pending);
        let path = self.path.clone();
        self.pending = blocking(move || match write_all(&file, &pending) {
            Ok(()) => Ok(cleared(pending)),
            Err(error) => Err(Fault::io(&paths::display(&path), &error)),
        })
        .await?;
        Ok(())
    }
}

fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

fn cleared(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer
}
