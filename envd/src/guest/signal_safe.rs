//! Writing to files of the kernel between fork and exec, where only async-signal-safe calls are allowed.

use std::ffi::CStr;
use std::io;
use std::os::fd::RawFd;

/// Writes to a file of the kernel's. Async-signal-safe.
pub fn write_once(path: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated and alive.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let written = write_all(fd, value);
    // SAFETY: the descriptor was opened above and nobody else has it.
    unsafe { libc::close(fd) };
    written
}

/// Writes to an open file of the kernel's, which takes such a value whole or not at all. Async-signal-safe.
pub fn write_all(fd: RawFd, value: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length describe one live slice, which the kernel only reads.
    let written = unsafe { libc::write(fd, value.as_ptr().cast(), value.len()) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_when_nothing_was_written() {
        assert!(write_once(c"/proc/self/no-such-file", b"0").is_err());
        write_once(c"/dev/null", b"0").expect("written");
    }
}
