//! The holder's signals, as a descriptor to poll.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const WANTED: [i32; 3] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT];

/// SIGCHLD, SIGTERM and SIGINT, by signalfd(2). Several of one kind may come as one.
pub struct Signals(File);

impl Signals {
    /// Blocks the signals for this process and takes them from the descriptor instead.
    pub fn take() -> io::Result<Self> {
        let set = set(&WANTED);
        mask(&set)?;
        // SAFETY: the pointer is to a live set, which the kernel reads.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// The next signal that came, if one did.
    pub fn next(&self) -> Option<i32> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        (&self.0).read_exact(&mut info).ok()?;
        // The number is the first field.
        i32::try_from(u32::from_ne_bytes([info[0], info[1], info[2], info[3]])).ok()
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Undoes the blocking in a child, which would inherit it. Async-signal-safe.
pub fn unblock() -> io::Result<()> {
    mask(&set(&[]))
}

fn set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is to a set, which sigemptyset makes valid before anything reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the pointer is to a live set; no former one is asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}
