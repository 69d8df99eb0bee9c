//! A process that an earlier life of the agent started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::client::{Holder, Kept};
use super::message::{End, Role};
use super::record::Record;

pub struct Adopted {
    pub pid: i32,
    /// What was given to [`Holder::keep`], as JSON.
    pub description: Vec<u8>,
    pub kept: Kept,
    pub end: AdoptedEnd,
    files: Vec<(Role, OwnedFd)>,
}

impl Adopted {
    /// `end` is told how the process ended.
    pub(super) fn new(
        holder: Arc<Holder>,
        id: u64,
        pid: i32,
        files: Vec<(Role, OwnedFd)>,
        end: oneshot::Receiver<End>,
    ) -> io::Result<Self> {
        let mut files = files;
        let record = take(&mut files, Role::Record).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let (record, description) = Record::open(record)?;
        Ok(Self { pid, description, kept: Kept::new(holder, id, record), end: AdoptedEnd(end), files })
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
pub struct AdoptedEnd(oneshot::Receiver<End>);

impl AdoptedEnd {
    /// Waits for the end. Nothing when the status was lost with an agent that collected it and died.
    pub async fn wait(self, record: &Record) -> Option<ExitStatus> {
        let status = match self.0.await {
            Ok(End::Status(status)) => Some(status),
            Ok(End::Collected) | Err(_) => record.status(),
        };
        status.map(ExitStatus::from_raw)
    }
}
