//! A process that an earlier life of the agent started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::client::Holder;
use super::kept::Kept;
use super::message::{End, Role};
use super::record::Record;

/// What the holder handed over of it. If this is dropped the holder forgets the process too, which runs on if it runs.
pub struct Adopted {
    pub pid: i32,
    /// What was given to [`Holder::keep`], as JSON.
    pub description: Vec<u8>,
    pub record: Record,
    pub kept: Kept,
    pub end: AdoptedEnd,
    /// It had ended before the agent came.
    pub has_ended: bool,
    files: Vec<(Role, OwnedFd)>,
}

impl Adopted {
    /// `end` says how it ended, if it has; otherwise `later` is told.
    pub(super) fn new(
        holder: Arc<Holder>,
        id: u64,
        pid: i32,
        mut files: Vec<(Role, OwnedFd)>,
        end: Option<End>,
        later: oneshot::Receiver<End>,
    ) -> io::Result<Self> {
        // First, so that one that makes no sense is forgotten.
        let kept = Kept::new(holder, id);
        let record = take(&mut files, Role::Record).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let (record, description) = Record::open(record)?;
        let has_ended = end.is_some();
        Ok(Self { pid, description, record, kept, end: AdoptedEnd { known: end, later }, has_ended, files })
    }

    /// One of its descriptors, once.
    pub fn take(&mut self, role: Role) -> Option<OwnedFd> {
        take(&mut self.files, role)
    }
}

fn take(files: &mut Vec<(Role, OwnedFd)>, role: Role) -> Option<OwnedFd> {
    let index = files.iter().position(|(kept, _)| *kept == role)?;
    Some(files.swap_remove(index).1)
}

/// The end of an adopted process, which its parent, the holder, tells.
pub struct AdoptedEnd {
    known: Option<End>,
    later: oneshot::Receiver<End>,
}

impl AdoptedEnd {
    /// Waits for the end. Nothing when an agent collected the status and died before it was noted.
    pub async fn wait(self, record: &Record) -> Option<ExitStatus> {
        let end = match self.known {
            Some(end) => Ok(end),
            None => self.later.await,
        };
        let status = match end {
            Ok(End::Status(status)) => Some(status),
            Ok(End::Collected) | Err(_) => record.status(),
        };
        status.map(ExitStatus::from_raw)
    }
}
