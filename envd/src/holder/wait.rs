//! Looking at children that have ended, with and without collecting them. A child that is only looked at stays a
//! zombie, and its number stays its own.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Which children to look at.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    Any,
    Pid(i32),
    Process(BorrowedFd<'a>),
}

/// A child that has ended, with its wait status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub pid: i32,
    pub status: i32,
}

/// A child that has ended, left as it is. `ECHILD` when there is no such child.
pub fn look(who: Who<'_>) -> io::Result<Option<Gone>> {
    wait(who, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// A child that has ended, collected.
pub fn collect(who: Who<'_>) -> io::Result<Option<Gone>> {
    wait(who, libc::WEXITED | libc::WNOHANG)
}

fn wait(who: Who<'_>, options: i32) -> io::Result<Option<Gone>> {
    let (kind, id) = match who {
        Who::Any => (libc::P_ALL, 0),
        Who::Pid(pid) => (libc::P_PID, pid.cast_unsigned()),
        Who::Process(pidfd) => (libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: an all-zero siginfo is valid, and means that nothing has ended.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live siginfo, which the kernel writes.
    if unsafe { libc::waitid(kind, id, &raw mut info, options) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid fills the fields of SIGCHLD, or none.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then(|| Gone { pid, status: wait_status(info.si_code, status) }))
}

/// The number that wait(2) would have reported.
fn wait_status(code: i32, status: i32) -> i32 {
    match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_is_looked_at_as_often_as_wanted_and_collected_once() {
        for (script, status) in [("exit 3", 3 << 8), ("kill -KILL $$", 9)] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().expect("sh");
            let pid = i32::try_from(child.id()).expect("pid");
            let gone = loop {
                if let Some(gone) = look(Who::Pid(pid)).expect("look") {
                    break gone;
                }
                std::thread::yield_now();
            };
            assert_eq!(gone, Gone { pid, status });
            assert_eq!(look(Who::Pid(pid)).expect("again"), Some(gone));
            assert_eq!(collect(Who::Pid(pid)).expect("collect"), Some(gone));
            assert_eq!(look(Who::Pid(pid)).expect_err("none").raw_os_error(), Some(libc::ECHILD));
            assert!(child.wait().is_err());
        }
    }
}
