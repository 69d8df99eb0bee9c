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
        until_readable(socket.as_fd())?;
        let Some((message, files)) = message::receive(socket.as_fd())? else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
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
    match end {
        // Nobody waits for what is known.
        Some(end) => drop(told.send(end)),
        None => drop(lock(&holder.ends).insert(id, told)),
    }
    match Adopted::new(Arc::clone(holder), id, pid, files, later) {
        Ok(adopted) => Some(adopted),
        // One that cannot be taken over must not keep the others from it.
        Err(error) => {
            log::error(&format!("a process of the last agent cannot be adopted: {error}"));
            None
        }
    }
}

fn until_readable(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
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
    /// Hands a process over. `files` are copies for the holder; the record's is among them.
    pub async fn keep(
        self: &Arc<Self>,
        pid: i32,
        description: &impl Serialize,
        files: &[(Role, BorrowedFd<'_>)],
    ) -> io::Result<Kept> {
        let (record, file) = Record::create(&serde_json::to_vec(description)?)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (mut roles, mut descriptors): (Vec<_>, Vec<_>) = files.iter().copied().unzip();
        roles.push(Role::Record);
        descriptors.push(file.as_fd());
        self.send(&ToHolder::Keep { id, pid, roles }, &descriptors).await?;
        Ok(Kept { holder: Arc::clone(self), id, record })
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
                Err(error) => {
                    log::error(&format!("holder: {error}"));
                    return;
                }
            }
        }
    }
}

/// A process that the holder keeps.
pub struct Kept {
    holder: Arc<Holder>,
    id: u64,
    record: Record,
}

impl Kept {
    pub(super) fn new(holder: Arc<Holder>, id: u64, record: Record) -> Self {
        Self { holder, id, record }
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Has the holder close its copy of a descriptor, so that the process sees when ours is closed.
    pub async fn close(&self, role: Role) {
        self.tell(&ToHolder::Close { id: self.id, role }).await;
    }

    /// Lets the number of an adopted process go, once its end was noted.
    pub async fn reap(&self) {
        self.tell(&ToHolder::Reap { id: self.id }).await;
    }

    /// Lets go of everything.
    pub async fn forget(&self) {
        self.tell(&ToHolder::Forget { id: self.id }).await;
    }

    async fn tell(&self, message: &ToHolder) {
        // Without a holder there is nothing to tell, and this process is about to be stopped.
        if let Err(error) = self.holder.send(message, &[]).await {
            log::error(&format!("holder: {error}"));
        }
    }
}
