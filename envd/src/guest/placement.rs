//! The place of a user's process, taken between fork and exec.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::cgroup::Groups;
use super::oom;
use super::signal_safe::write_all;

/// Where processes of users go. Open for as long as the agent runs, because each start goes through it.
pub struct Placement {
    groups: Option<Groups>,
    /// Whether the agent is exempt from the kernel's choice of victims, which its children inherit.
    exempt: bool,
}

impl Placement {
    /// Into the control groups, and likelier victims of the kernel's than the machine's own processes.
    pub fn new(groups: Groups) -> Self {
        Self { groups: Some(groups), exempt: true }
    }

    /// Likelier victims than the machine's own processes, but with no limit of memory.
    pub fn without_groups() -> Self {
        Self { groups: None, exempt: true }
    }

    /// Where the agent is, with all that holds for it.
    pub fn nowhere() -> Self {
        Self { groups: None, exempt: false }
    }

    /// The place of one process: with a terminal or without.
    pub fn entry(&self, terminal: bool) -> Entry {
        let door = self.groups.as_ref().map(|groups| if terminal { &groups.terminals } else { &groups.commands });
        Entry { door: door.map(AsRawFd::as_raw_fd), exempt: self.exempt }
    }
}

/// What a forked child needs to go to its place.
#[derive(Clone, Copy)]
pub struct Entry {
    door: Option<RawFd>,
    exempt: bool,
}

impl Entry {
    /// Moves the calling process. Async-signal-safe, for use between fork and exec; with envd's own rights, so before
    /// those of the user are taken on.
    pub fn enter(self) -> io::Result<()> {
        if let Some(door) = self.door {
            match write_all(door, b"0") {
                // Root in the guest has removed the group, which is its choice.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                result => result?,
            }
        }
        if self.exempt { oom::offer_self() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nowhere_is_where_a_process_is() {
        Placement::nowhere().entry(true).enter().expect("stays");
    }

    #[test]
    fn a_place_that_cannot_be_taken_is_an_error() {
        let entry = Entry { door: Some(-1), exempt: false };
        assert_eq!(entry.enter().expect_err("no door").raw_os_error(), Some(libc::EBADF));
    }
}
