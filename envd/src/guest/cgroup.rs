//! Control groups of a capsule: the agent in one whose memory is not reclaimed and that gets the CPU first, users'
//! processes in another that never gets all memory. <https://docs.kernel.org/admin-guide/cgroup-v2.html>

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{io, process};

use crate::log;

/// Where the guest's init mounts the hierarchy.
pub const ROOT: &str = "/sys/fs/cgroup";

/// More than the agent has ever needed, so that all of it stays.
const AGENT_MEMORY: u64 = 32 << 20;
/// Memory that users' processes cannot have: an eighth of all, but at most this.
const MOST_RESERVED: u64 = 128 << 20;

/// Doors to the groups: a process enters one by writing `0` to its door.
pub struct Groups {
    pub commands: File,
    pub terminals: File,
}

impl Groups {
    /// Makes the groups below `root`, or finds them there, and moves this process into the agent's.
    pub fn make(root: &Path) -> io::Result<Self> {
        require_cgroup2(root)?;
        let agent = root.join("agent");
        let users = root.join("users");
        let commands = users.join("commands");
        let terminals = users.join("terminals");
        make_directory(&agent)?;
        make_directory(&users)?;
        // Kernels differ in the controllers they have; each is asked for by itself, so that one is not for all.
        for controller in ["+memory", "+cpu", "+pids"] {
            set(&users.join("cgroup.subtree_control"), controller);
        }
        make_directory(&commands)?;
        make_directory(&terminals)?;
        set(&agent.join("memory.min"), &AGENT_MEMORY.to_string());
        set(&agent.join("cpu.weight"), "1000");
        set(&users.join("memory.max"), &for_users(total_memory()?).to_string());
        // Who types at a terminal waits for it.
        set(&terminals.join("cpu.weight"), "200");
        fs::write(agent.join("cgroup.procs"), process::id().to_string())?;
        Ok(Self { commands: door(&commands)?, terminals: door(&terminals)? })
    }
}

fn require_cgroup2(root: &Path) -> io::Result<()> {
    let path = CString::new(root.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statfs is valid; the kernel overwrites it.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and both pointers are to live values.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let is_cgroup2 = found.f_type == libc::CGROUP2_SUPER_MAGIC as libc::__fsword_t;
    if is_cgroup2 { Ok(()) } else { Err(io::Error::other(format!("{} is no cgroup2 file system", root.display()))) }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A limit that cannot be set is missing, and no reason to be without the others.
fn set(file: &Path, value: &str) {
    if let Err(error) = fs::write(file, value) {
        log::error(&format!("{} = {value}: {error}", file.display()));
    }
}

fn door(group: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(group.join("cgroup.procs"))
}

fn total_memory() -> io::Result<u64> {
    // SAFETY: an all-zero sysinfo is valid; the kernel overwrites it.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live sysinfo.
    if unsafe { libc::sysinfo(&raw mut info) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info.totalram as u64 * u64::from(info.mem_unit))
}

/// Of `total`, what users' processes may have.
fn for_users(total: u64) -> u64 {
    total - (total / 8).min(MOST_RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_never_get_all_memory() {
        assert_eq!(for_users(512 << 20), 448 << 20);
        assert_eq!(for_users(16 << 30), (16 << 30) - MOST_RESERVED);
        assert!(total_memory().expect("sysinfo") > for_users(total_memory().expect("sysinfo")));
    }

    #[test]
    fn an_ordinary_directory_is_no_hierarchy() {
        let root = std::env::temp_dir();
        assert!(Groups::make(&root).is_err());
        assert!(!root.join("agent").exists());
    }
}
