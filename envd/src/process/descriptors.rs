//! How many descriptors may be open.

use std::io;

/// What the agent, and whoever asks for more than the usual, may have.
const MANY: libc::rlim_t = 1 << 19;
/// The kernel's own default, which programs expect: select(2) cannot name more, and some close them all one by one.
const USUAL: libc::rlim_t = 1024;

/// Lets this process have as many descriptors as the system allows. Each process it starts needs a few.
pub fn raise() -> io::Result<()> {
    let limit = get()?;
    let many = libc::rlimit { rlim_cur: limit.rlim_max.max(MANY), rlim_max: limit.rlim_max.max(MANY) };
    // Only root may go beyond the hard limit.
    set(many).or_else(|_| set(libc::rlimit { rlim_cur: limit.rlim_max, ..limit }))
}

/// Gives the calling process the usual limit, which it may raise. Async-signal-safe, for use before exec.
pub fn limit() -> io::Result<()> {
    let limit = get()?;
    set(libc::rlimit { rlim_cur: limit.rlim_max.min(USUAL), ..limit })
}

fn get() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

fn set(limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: as above.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
