//! Taking on a user's identity, for a new process or for one thread. Raw system calls on purpose: libc's
//! wrappers apply an identity to every thread of the process, and take locks that a forked child must not.

use std::io;

use super::User;

/// Whether work for `user` needs no change of identity.
pub fn is_self(user: &User) -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    user.uid == unsafe { libc::geteuid() }
}

/// Gives up the process's identity for good: groups first, then group, then user, because each step needs the
/// rights that the later ones drop. Async-signal-safe, for use between fork and exec.
pub fn assume_process(user: &User) -> io::Result<()> {
    set_groups(&user.groups)?;
    let (uid, gid) = (libc::c_long::from(user.uid), libc::c_long::from(user.gid));
    // SAFETY: these calls take numbers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

/// Gives the calling thread the user's rights on files. The kernel drops the capabilities that override file
/// permissions when the file system uid leaves 0. The thread must end after its work.
pub fn assume_thread(user: &User) -> io::Result<()> {
    set_groups(&user.groups)?;
    set_fs_id(libc::SYS_setfsgid, user.gid)?;
    set_fs_id(libc::SYS_setfsuid, user.uid)
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and the count describe one live slice; the kernel only reads it.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
}

/// These calls report the former id and never an error, so success is seen by asking again with an invalid id.
fn set_fs_id(call: libc::c_long, id: u32) -> io::Result<()> {
    // SAFETY: the call takes one number.
    let _former = unsafe { libc::syscall(call, libc::c_long::from(id)) };
    // SAFETY: as above; -1 changes nothing.
    let now = unsafe { libc::syscall(call, -1 as libc::c_long) };
    if now == libc::c_long::from(id) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
