//! What the holder keeps of each process, and which of them it must collect. While the agent that started a process
//! lives, it is that agent's child and ours only to keep; once it has died, the process is our child.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::message::{End, Role};
use super::wait::{self, Who};

/// The kept processes by their ids; none at first.
#[derive(Default)]
pub struct Store {
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    pid: i32,
    files: Vec<(Role, OwnedFd)>,
    /// The agent that started it has died.
    orphaned: bool,
    end: Option<End>,
    /// It has ended and was not collected yet, so no other process has its number.
    zombie: bool,
}

/// What is sent of an entry.
pub struct Kept<'a> {
    pub pid: i32,
    pub end: Option<End>,
    pub roles: Vec<Role>,
    pub files: Vec<BorrowedFd<'a>>,
}

impl Store {
    /// False when the pidfd is missing, without which the end of the process could not be told from another's.
    pub fn keep(&mut self, id: u64, pid: i32, files: Vec<(Role, OwnedFd)>) -> bool {
        let entry = Entry { pid, files, orphaned: false, end: None, zombie: false };
        let complete = entry.pidfd().is_some();
        if complete {
            self.entries.insert(id, entry);
        }
        complete
    }

    /// Closes the holder's copy of one descriptor, if it has it.
    pub fn close(&mut self, id: u64, role: Role) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.files.retain(|(kept, _)| *kept != role);
        }
    }

    /// The ids of all that are kept, in ascending order.
    pub fn ids(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    /// What an agent is to be sent of a process; nothing when it is not kept.
    pub fn get(&self, id: u64) -> Option<Kept<'_>> {
        let entry = self.entries.get(&id)?;
        let (roles, files) = entry.files.iter().map(|(role, file)| (*role, file.as_fd())).unzip();
        Some(Kept { pid: entry.pid, end: entry.end, roles, files })
    }

    /// Lets the number of an ended process go; how it ended is still known.
    pub fn reap(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.zombie) else {
            return;
        };
        if let Some(pidfd) = entry.pidfd() {
            // It has ended and is our child, so this cannot fail; were it otherwise, nothing would be left to do.
            let _collected = wait::collect(Who::Process(pidfd));
        }
        entry.zombie = false;
    }

    /// Collects a process that is known to have ended as our child, and closes all its descriptors. One that runs goes
    /// on.
    pub fn forget(&mut self, id: u64) {
        self.reap(id);
        self.entries.remove(&id);
    }

    /// The agent has died and what it started is our child now.
    pub fn orphan(&mut self) {
        for entry in self.entries.values_mut() {
            entry.orphaned = true;
        }
    }

    /// Finds out which of our kept children have ended since the last look.
    pub fn newly_ended(&mut self) -> Vec<u64> {
        let running = self.entries.iter_mut().filter(|(_, entry)| entry.orphaned && entry.end.is_none());
        running.filter_map(|(id, entry)| entry.has_ended().then_some(*id)).collect()
    }

    /// Whether this child of ours is kept. Asked by the pidfd, because an ended process's number may be another's by now.
    pub fn claims(&self, pid: i32) -> bool {
        let named = self.entries.values().filter(|entry| entry.pid == pid);
        named.filter_map(Entry::pidfd).any(|pidfd| matches!(wait::look(Who::Process(pidfd)), Ok(Some(_))))
    }
}

impl Entry {
    fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.files.iter().find(|(role, _)| *role == Role::Pidfd).map(|(_, file)| file.as_fd())
    }

    fn has_ended(&mut self) -> bool {
        let Some(pidfd) = self.pidfd() else {
            return false;
        };
        self.end = match wait::look(Who::Process(pidfd)) {
            Ok(None) => None,
            Ok(Some(gone)) => {
                self.zombie = true;
                Some(End::Status(gone.status))
            }
            Err(_) => Some(End::Collected),
        };
        self.end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::process::{Child, Command};

    fn child(script: &str) -> (Child, i32, OwnedFd) {
        let child = Command::new("sh").args(["-c", script]).spawn().expect("sh");
        let pid = i32::try_from(child.id()).expect("pid");
        // SAFETY: the call takes numbers only; the child is not collected, so the number is its own.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) };
        // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
        (child, pid, unsafe { OwnedFd::from_raw_fd(i32::try_from(pidfd).expect("pidfd")) })
    }

    fn ended(store: &mut Store) -> Vec<u64> {
        loop {
            let ended = store.newly_ended();
            if !ended.is_empty() {
                return ended;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_orphan_that_has_ended_stays_a_zombie_until_it_is_reaped() {
        let (mut child, pid, pidfd) = child("exit 3");
        let mut store = Store::default();
        assert!(!store.keep(1, pid, Vec::new()));
        assert!(store.keep(7, pid, vec![(Role::Pidfd, pidfd)]));
        // Of an agent that lives it is none of our business.
        assert!(store.newly_ended().is_empty());
        store.orphan();
        assert_eq!(ended(&mut store), [7]);
        assert!(store.newly_ended().is_empty());
        assert_eq!(wait::look(Who::Pid(pid)).expect("zombie").map(|gone| gone.status), Some(3 << 8));
        assert!(store.claims(pid));
        store.reap(7);
        assert!(!store.claims(pid));
        assert!(wait::look(Who::Pid(pid)).is_err());
        assert_eq!(store.get(7).and_then(|kept| kept.end), Some(End::Status(3 << 8)));
        store.forget(7);
        assert!(store.ids().is_empty());
        assert!(child.wait().is_err());
    }

    #[test]
    fn one_that_the_agent_has_collected_says_so() {
        let (mut child, pid, pidfd) = child("exit 3");
        child.wait().expect("collected");
        let mut store = Store::default();
        store.keep(1, pid, vec![(Role::Pidfd, pidfd)]);
        store.orphan();
        assert_eq!(store.newly_ended(), [1]);
        assert_eq!(store.get(1).and_then(|kept| kept.end), Some(End::Collected));
    }

    #[test]
    fn descriptors_are_closed_one_by_one() {
        let (mut child, pid, pidfd) = child("exit 0");
        let (reader, writer) = std::io::pipe().expect("pipe");
        let mut store = Store::default();
        store.keep(1, pid, vec![(Role::Stdin, writer.into()), (Role::Pidfd, pidfd)]);
        assert_eq!(store.get(1).expect("kept").roles, [Role::Stdin, Role::Pidfd]);
        store.close(1, Role::Stdin);
        assert_eq!(store.get(1).expect("kept").roles, [Role::Pidfd]);
        assert_eq!(std::io::Read::read(&mut &reader, &mut [0]).expect("end of file"), 0);
        child.wait().expect("collected");
    }
}
