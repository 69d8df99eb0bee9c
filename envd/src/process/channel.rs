//! envd's end of a pipe or of a terminal, read and written without blocking.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::holder::KeptFile;

/// What is read, and sent on, at once.
pub const CHUNK_BYTES: usize = 32 << 10;

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
    pub fn reading(fd: OwnedFd, kept: Option<KeptFile>) -> io::Result<Self> {
        Self::new(fd, kept, Interest::READABLE)
    }

    pub fn writing(fd: OwnedFd, kept: Option<KeptFile>) -> io::Result<Self> {
        Self::new(fd, kept, Interest::WRITABLE)
    }

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
        self.fd.async_io(Interest::READABLE, |fd| read(fd, sink)).await
    }

    /// `WouldBlock` when there is nothing to read.
    pub fn read_now(&self, sink: &impl Sink) -> io::Result<Read> {
        read(self.fd.get_ref(), sink)
    }

    /// Waits until something can be written, and writes that much.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut guard = self.fd.writable().await?;
            let hung_up = guard.ready().is_write_closed();
            match guard.try_io(|fd| write(fd.get_ref(), bytes)) {
                Ok(result) => return result,
                // A full terminal that no process has open any more: it says that it is ready, for ever, and takes nothing.
                Err(_) if hung_up => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(_) => {}
            }
        }
    }

    /// `WouldBlock` when nothing can be written.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        write(self.fd.get_ref(), bytes)
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
