//! Whom the kernel ends when memory runs out. <https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html>

use std::{fs, io};

use super::signal_safe::write_once;

const FILE: &str = "/proc/self/oom_score_adj";

/// The kernel never chooses this process, nor what it starts until that says otherwise.
pub fn exempt_self() -> io::Result<()> {
    fs::write(FILE, "-1000")
}

/// Makes the calling process a likelier victim than the machine's own. Async-signal-safe, for use between fork and
/// exec, with envd's own rights: a process may only raise its value, and what root sets is how low it may go again.
pub fn offer_self() -> io::Result<()> {
    write_once(c"/proc/self/oom_score_adj", b"100")
}
