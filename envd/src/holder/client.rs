//! The agent's side of the holder.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::adopted::Adopted;
use super::kept::Kept;
use super::memory;
use super::message::{self, End, Role, ToAgent, ToHolder};
use super::record::Record;
use crate::lock::lock;
use crate::log;
use crate::secret::Secret;

/// The connection to the holder.
pub struct Holder {
    socket: AsyncFd<OwnedFd>,
    /// The id of the next process; those of earlier lives are below.
    next: AtomicU64,
    ends: Mutex<BTreeMap<u64, oneshot::Sender<End>>>,
}

/// What earlier lives of the agent left.
pub struct Legacy {
    pub holder: Arc<Holder>,
    pub processes: Vec<Adopted>,
    /// What the last life gave to [`Holder::save`].
    pub state: Option<Secret>,
}

/// Takes over from the last life. Blocks until the holder has sent everything, so it is for the start only, inside the
/// runtime.
pub fn connect(socket: OwnedFd) -> io::Result<Legacy> {
    let (mut kept, mut state) = (Vec::new(), None);
    loop {
        until(socket.as_fd(), libc::POLLIN)?;
        let (message, files) = match message::receive(socket.as_fd()) {
            Ok(Some(received)) => received,
            Ok(None) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            // What cannot be taken is lost; the rest must not be.
            Err(error) if message::is_skipped(&error) => {
                log::error(&format!("message of the holder: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        match message {
            ToAgent::Kept { id, pid, roles, end } => kept.push((id, pid, end, roles.into_iter().zip(files).collect())),
            ToAgent::State => state = files.into_iter().next(),
            ToAgent::Ready => break,
            // Comes after the last of those that are kept.
            ToAgent::Ended { .. } => return Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }
    let next = kept.iter().map(|(id, ..)| id + 1).max().unwrap_or_default();
    let interest = Interest::READABLE | Interest::WRITABLE;
    // SAFETY: the AsyncFd owns the only handle of the descriptor, which stays open and the same until its end.
    let socket = unsafe { AsyncFd::register_with_interest(socket, interest) }?;
    let holder = Arc::new(Holder { socket, next: next.into(), ends: Mutex::default() });
    let processes = kept.into_iter().filter_map(|(id, pid, end, files)| adopt(&holder, id, pid, end, files)).collect();
    let state = state.map(|file| memory::read(file.as_fd(), 0)).transpose()?.map(Secret::from);
    tokio::spawn(Arc::clone(&holder).listen());
    Ok(Legacy { holder, processes, state })
}

fn adopt(holder: &Arc<Holder>, id: u64, pid: i32, end: Option<End>, files: Vec<(Role, OwnedFd)>) -> Option<Adopted> {
    let (told, later) = oneshot::channel();
    if end.is_none() {
        lock(&holder.ends).insert(id, told);
    }
    match Adopted::new(Arc::clone(holder), id, pid, files, end, later) {
        Ok(adopted) => Some(adopted),
        // One that cannot be taken over must not keep the others from it.
        Err(error) => {
            log::error(&format!("a process of the last agent cannot be adopted: {error}"));
            None
        }
    }
}

/// Waits for the socket, on a thread that may block.
fn until(socket: BorrowedFd<'_>, events: i16) -> io::Result<()> {
    let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // SAFETY: the pointer is to one live pollfd.
    while unsafe { libc::poll(&raw mut polled, 1, -1) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

impl Holder {
    /// Hands a process over, with copies of these descriptors. Blocks while the holder is busy.
    pub fn keep(
        self: &Arc<Self>,
        pid: i32,
        description: &impl Serialize,
        files: &[(Role, BorrowedFd<'_>)],
    ) -> io::Result<(Kept, Record)> {
        let (record, file) = Record::create(&serde_json::to_vec(description)?)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (mut roles, mut descriptors): (Vec<_>, Vec<_>) = files.iter().copied().unzip();
        roles.push(Role::Record);
        descriptors.push(file.as_fd());
        let message = ToHolder::Keep { id, pid, roles };
        let socket = self.socket.get_ref().as_fd();
        loop {
            match message::send(socket, &message, &descriptors) {
                Ok(()) => return Ok((Kept::new(Arc::clone(self), id), record)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => until(socket, libc::POLLOUT)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves this for the next life, in place of what was left before.
    pub async fn save(&self, state: &[u8]) -> io::Result<()> {
        let file = memory::file(c"state", state)?;
        self.send(&ToHolder::State, &[file.as_fd()]).await
    }

    /// Says that the agent serves: from now on it is started again when it dies.
    pub async fn serving(&self) -> io::Result<()> {
        self.send(&ToHolder::Serving, &[]).await
    }

    async fn send(&self, message: &ToHolder, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, |socket| message::send(socket.as_fd(), message, files)).await
    }

    /// Sends at once, or in a task of its own if the holder is busy.
    pub(super) fn tell(self: &Arc<Self>, message: ToHolder) {
        let result = message::send(self.socket.get_ref().as_fd(), &message, &[]);
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let holder = Arc::clone(self);
                // Without a runtime the agent is stopping, and the holder with it.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move { holder.send(&message, &[]).await });
                }
            }
            // Without a holder there is nothing to tell, and this process is about to be stopped.
            Err(error) => log::error(&format!("holder: {error}")),
            Ok(()) => {}
        }
    }

    /// Takes what the holder says, until it is gone. The kernel then tells this process to stop.
    async fn listen(self: Arc<Self>) {
        let next = || self.socket.async_io(Interest::READABLE, |socket| message::receive::<ToAgent>(socket.as_fd()));
        loop {
            match next().await {
                Ok(Some((ToAgent::Ended { id, end }, _))) => {
                    let told = lock(&self.ends).remove(&id);
                    // Nobody waits for one that was forgotten meanwhile.
                    told.map(|told| told.send(end));
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) if message::is_skipped(&error) => log::error(&format!("message of the holder: {error}")),
                Err(error) => return log::error(&format!("holder: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
