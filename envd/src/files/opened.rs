//! A file opened for a download.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::CHUNK_BYTES;
use crate::fault::{Fault, Outcome};
use crate::paths;

/// A regular file, open for reading. The metadata is of the moment it was opened.
pub struct Opened {
    pub metadata: Metadata,
    pub content: Content,
}

/// The bytes of the file, or the way to them.
pub enum Content {
    /// All of a small file: taken at once, it saves a hop and is of one moment.
    Small(Bytes),
    Large {
        file: Arc<File>,
        length: u64,
    },
    /// A file of the kernel, which says 0 and goes on after these bytes.
    Endless {
        file: Arc<File>,
        first: Bytes,
    },
}

impl Opened {
    /// Blocks; runs with the rights of the user who asks.
    pub fn open(path: &Path) -> Outcome<Self> {
        let fault = |error: io::Error| Fault::io(&paths::display(path), &error);
        let file = open_regular("path", path)?;
        let metadata = file.metadata().map_err(fault)?;
        let content = content(file, metadata.len()).map_err(fault)?;
        Ok(Self { metadata, content })
    }

    /// Whether the file has the length that it says it has. Those of the kernel do not, and their times say
    /// nothing about their content either.
    pub fn is_ordinary(&self) -> bool {
        match &self.content {
            Content::Small(bytes) => bytes.len() as u64 == self.metadata.len(),
            Content::Large { .. } => true,
            Content::Endless { .. } => false,
        }
    }
}

fn content(file: File, length: u64) -> io::Result<Content> {
    if length > CHUNK_BYTES as u64 {
        return Ok(Content::Large { file: Arc::new(file), length });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    (&file).take(CHUNK_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if length == 0 && bytes.len() > CHUNK_BYTES {
        return Ok(Content::Endless { file: Arc::new(file), first: bytes.into() });
    }
    if length > 0 {
        // What was added since belongs to another state of the file.
        bytes.truncate(usize::try_from(length).unwrap_or(CHUNK_BYTES));
    }
    Ok(Content::Small(bytes.into()))
}

/// Opens a file to read it; `field` is what an error names. Blocks.
pub fn open_regular(field: &str, path: &Path) -> Outcome<File> {
    let fault = |error: io::Error| Fault::io(&format!("{field}: {}", path.display()), &error);
    // Looked at before it is opened: opening a device or a pipe can have effects or wait.
    check_regular(field, path, &fs::metadata(path).map_err(fault)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fault)?;
    check_regular(field, path, &file.metadata().map_err(fault)?)?;
    Ok(file)
}

/// An error for all but a regular file; `field` is what it names. `metadata` is of what a link leads to.
pub fn check_regular(field: &str, path: &Path, metadata: &Metadata) -> Outcome<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "is a directory" } else { "is not a regular file" };
    Err(Fault::invalid(format!("{field}: {} {what}", path.display())))
}
