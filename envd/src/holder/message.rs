//! What holder and agent say to each other: one JSON object per packet. An id names one process over all lives of the
//! agent, as its pid does not.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::channel::{self, Packet};

/// From the agent to the holder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHolder {
    /// A process has started; its descriptors come along, one for each role.
    Keep { id: u64, pid: i32, roles: Vec<Role> },
    /// One descriptor of a process is to be closed.
    Close { id: u64, role: Role },
    /// The end of a process that is the holder's child has been noted: its number may be used again.
    Reap { id: u64 },
    /// Nothing of a process is needed any more.
    Forget { id: u64 },
    /// The agent's own state, in a memory file, in place of the last one.
    State,
    /// The agent serves.
    Serving,
}

/// From the holder to the agent.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// A process that an earlier agent started, with its descriptors.
    Kept { id: u64, pid: i32, roles: Vec<Role>, end: Option<End> },
    /// The state that an earlier agent left, in a memory file.
    State,
    /// All that was kept has been sent.
    Ready,
    /// A kept process has ended.
    Ended { id: u64, end: End },
}

/// What a descriptor of a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Pidfd,
    /// The memory file of [`super::record`].
    Record,
    Stdin,
    Stdout,
    Stderr,
    Pty,
}

/// How a kept process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its wait status.
    Status(i32),
    /// An agent that died collected the status; it is in the record, if anywhere.
    Collected,
}

/// Sends one message with its descriptors.
pub fn send(socket: BorrowedFd<'_>, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    channel::send(socket, &serde_json::to_vec(message)?, descriptors)
}

/// Whether an error of [`receive`] is that of one message only, which was taken off the socket.
pub fn is_skipped(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || error.raw_os_error() == Some(libc::EMFILE)
}

/// Receives one message with its descriptors; nothing when the other end is closed.
pub fn receive<M: for<'a> Deserialize<'a>>(socket: BorrowedFd<'_>) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let Some(Packet { bytes, descriptors, incomplete }) = channel::receive(socket)? else {
        return Ok(None);
    };
    if incomplete {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    Ok(Some((serde_json::from_slice(&bytes).map_err(|_| io::ErrorKind::InvalidData)?, descriptors)))
}
