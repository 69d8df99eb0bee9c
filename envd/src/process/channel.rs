//! envd's end of a pipe or of a terminal, read and written without blocking.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

use crate::holder::KeptFile;

/// What is read, and sent on, at once.
pub const CHUNK_BYTES: usize = 32 << 10;

/// Owns the descriptor. Dropping it closes that, and has the holder's copy closed, if there is one.
pub struct Channel {
    fd: AsyncFd<OwnedFd>,
    _kept: Option<KeptFile>,
}

/// Where what is read goes.
pub trait Sink {
    /// A read begins. What it takes out of the pipe exists nowhere else until [`Sink::take`] has it.
    fn begin(&self);

    /// What the read took, which may be nothing.
    fn take(&self, bytes: &[u8]);
}

/// What a read found.
pub enum Read {
    Bytes(usize),
    /// The other side writes no more.
    Closed,
}

impl Channel {
    /// A channel that is waited on for reading only. Makes the descriptor non-blocking. `kept` is the holder's copy of
    /// it. Like its siblings to be called on the event loop.
    pub fn reading(fd: OwnedFd, kept: Option<KeptFile>) -> io::Result<Self> {
        Self::new(fd, kept, Interest::READABLE)
    }

    /// A channel that is waited on for writing only; otherwise like [`Self::reading`].
    pub fn writing(fd: OwnedFd, kept: Option<KeptFile>) -> io::Result<Self> {
        Self::new(fd, kept, Interest::WRITABLE)
    }

    /// A channel for both directions, as a terminal has them; otherwise like [`Self::reading`].
    pub fn both(fd: OwnedFd, kept: Option<KeptFile>) -> io::Result<Self> {
        Self::new(fd, kept, Interest::READABLE | Interest::WRITABLE)
    }

    fn new(fd: OwnedFd, kept: Option<KeptFile>, interest: Interest) -> io::Result<Self> {
        set_nonblocking(&fd)?;
        // SAFETY: the AsyncFd owns the only handle of the descriptor, which stays open and the same until its end.
        Ok(Self { fd: unsafe { AsyncFd::register_with_interest(fd, interest) }?, _kept: kept })
    }

    /// Waits for something to read, which `sink` is given.
    pub async fn read(&self, sink: &impl Sink) -> io::Result<Read> {
        self.when_ready(Interest::READABLE, |fd| read(fd, sink)).await
    }

    /// `WouldBlock` when there is nothing to read.
    pub fn read_now(&self, sink: &impl Sink) -> io::Result<Read> {
        read(self.fd.get_ref(), sink)
    }

    /// Waits until something can be written, and writes that much.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(Interest::WRITABLE, |fd| write(fd, bytes)).await
    }

    /// `WouldBlock` when nothing can be written.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        write(self.fd.get_ref(), bytes)
    }

    /// A channel whose other side is closed counts as ready for ever. A terminal then takes no more than it has room for,
    /// so a call that would still block fails: waiting would be a loop without end.
    async fn when_ready<T>(
        &self,
        interest: Interest,
        mut call: impl FnMut(&OwnedFd) -> io::Result<T>,
    ) -> io::Result<T> {
        // One that is always ready must leave others their turn.
        consume_budget().await;
        loop {
            let mut guard = self.fd.ready(interest).await?;
            let ready = guard.ready();
            match guard.try_io(|fd| call(fd.get_ref())) {
                Ok(result) => return result,
                Err(_) if ready.is_read_closed() || ready.is_write_closed() => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(_) => {}
            }
        }
    }

    /// How much there is to read in a pipe.
    pub fn queued(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int, and `bytes` is one that lives.
        let result = unsafe { libc::ioctl(self.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> i32 {
        self.fd.get_ref().as_raw_fd()
    }
}

/// The descriptions are envd's alone: a process has the other end.
fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: the calls take numbers only, and the descriptor is open.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Into a buffer on the stack: a process that writes nothing costs no buffer.
fn read(fd: &OwnedFd, sink: &impl Sink) -> io::Result<Read> {
    let mut buffer = [0; CHUNK_BYTES];
    sink.begin();
    let length = retrying(|| {
        // SAFETY: the pointer and the length describe one live buffer that the kernel may fill.
        unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    sink.take(&buffer[..*length.as_ref().unwrap_or(&0)]);
    match length {
        Ok(0) => Ok(Read::Closed),
        // A terminal that no process has open.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Read::Closed),
        Ok(length) => Ok(Read::Bytes(length)),
        Err(error) => Err(error),
    }
}

fn write(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    retrying(|| {
        // SAFETY: the pointer and the length describe one live slice; the kernel only reads it.
        unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) }
    })
}

fn retrying(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()).map_err(|_| io::Error::last_os_error()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::terminal::{self, Size};

    #[tokio::test]
    async fn writing_to_a_terminal_that_nobody_has_open_ends() {
        let user = crate::users::find("root").expect("/etc/passwd").expect("root");
        let (master, slave) = terminal::open(Size { cols: 80, rows: 24 }, &user).expect("terminal");
        let channel = Channel::both(master, None).expect("channel");
        drop(slave);
        // Far more than a terminal holds.
        for _ in 0..1000 {
            if let Err(error) = channel.write(&[b'x'; 4096]).await {
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                return;
            }
        }
        panic!("it takes everything");
    }
}
