//! Pseudo-terminals, see pty(7): envd has the master, the process the slave as its controlling terminal.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::fault::{Fault, Outcome};
use crate::proto::process::PTY;
use crate::users::User;

/// What programs may expect of a terminal whose kind nobody has said.
pub const ENVIRONMENT: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("LANG", "C.UTF-8")];

const DEFAULT_SIZE: Size = Size { cols: 80, rows: 24 };

/// In characters. Neither is zero when it comes from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
}

impl Size {
    /// The size in a request; without one, that of the oldest terminals.
    pub fn requested(pty: &PTY) -> Outcome<Self> {
        let Some(size) = pty.size.as_option() else {
            return Ok(DEFAULT_SIZE);
        };
        Ok(Self { cols: dimension("pty.size.cols", size.cols)?, rows: dimension("pty.size.rows", size.rows)? })
    }
}

fn dimension(field: &str, value: u32) -> Outcome<u16> {
    u16::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .ok_or_else(|| Fault::invalid(format!("{field}: must be from 1 to 65535")))
}

/// Opens a new terminal: the master, and the slave, which belongs to the user. Both are closed on exec, and
/// neither becomes envd's own controlling terminal.
pub fn open(size: Size, user: &User) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated and alive.
    let master = owned(unsafe { libc::open(c"/dev/ptmx".as_ptr(), flags) })?;
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, and `unlocked` is one that lives.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
    resize(&master, size)?;
    // By the master, so that no path can lead to another mount of devpts.
    // SAFETY: TIOCGPTPEER takes numbers only.
    let slave = owned(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // So that the user's programs can open it again by its name. The group is that of the devpts mount.
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::fchown(slave.as_raw_fd(), user.uid, u32::MAX) })?;
    Ok((master, slave))
}

/// Sets the size; the kernel tells the foreground process group with SIGWINCH if it has changed.
pub fn resize(master: &impl AsRawFd, size: Size) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, and `size` is one that lives.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })
}

/// Makes the terminal at descriptor 0 the controlling one of the calling session. Async-signal-safe, for use between
/// fork and exec.
pub fn control() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes numbers only.
    check(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) })
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::process::pty;

    fn pty(cols: u32, rows: u32) -> PTY {
        PTY { size: pty::Size { cols, rows, ..pty::Size::default() }.into(), ..PTY::default() }
    }

    #[test]
    fn a_size_is_asked_for_or_the_usual_one() {
        assert_eq!(Size::requested(&pty(1, 65_535)).expect("size"), Size { cols: 1, rows: 65_535 });
        assert_eq!(Size::requested(&PTY::default()).expect("size"), DEFAULT_SIZE);
    }

    #[test]
    fn a_size_that_no_terminal_has_is_refused_by_name() {
        for (cols, rows, field) in [(0, 24, "pty.size.cols"), (80, 0, "pty.size.rows"), (65_536, 24, "pty.size.cols")] {
            let fault = Size::requested(&pty(cols, rows)).expect_err(field);
            assert!(fault.message.starts_with(field), "{}", fault.message);
        }
    }
}
