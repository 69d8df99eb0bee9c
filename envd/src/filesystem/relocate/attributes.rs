//! What a file is besides its content. Links are never followed: a link has an owner and times of its own.

use std::ffi::{CStr, CString};
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::ptr;

use super::content;

/// Gives `to` the owner, mode, extended attributes and times of `from`. Owners and attributes that the user must not
/// set, or the file system does not have, are left out, as `mv` does.
pub fn carry(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    tolerate(lchown(to, Some(metadata.uid()), Some(metadata.gid())))?;
    // After the owner, because a change of owner takes the set-user-id bit away.
    set_mode(to, metadata)?;
    let (from, to) = (c_path(from)?, c_path(to)?);
    for name in attribute_names(&from)? {
        if let Some(value) = attribute(&from, &name)? {
            tolerate(set_attribute(&to, &name, &value))?;
        }
    }
    set_times(&to, metadata)
}

/// A file or directory is opened for it, because a change by name would follow a link that has taken the name.
fn set_mode(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let mode = Permissions::from_mode(metadata.mode() & 0o7777);
    if metadata.is_symlink() {
        return Ok(());
    }
    if metadata.is_file() || metadata.is_dir() {
        return content::open(path)?.set_permissions(mode);
    }
    fs::set_permissions(path, mode)
}

/// Whether the calling thread may add and remove entries of a directory. Asks the kernel, for the rights that the
/// thread has on files.
pub fn may_change_entries(directory: &Path) -> bool {
    let Ok(path) = c_path(directory) else {
        return false;
    };
    // Not libc's function, which may answer from the process's identity.
    let (mode, flags) = (libc::W_OK | libc::X_OK, libc::AT_EACCESS);
    // SAFETY: the path is NUL-terminated and alive; the rest are numbers.
    let result = unsafe { libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), mode, flags) };
    result == 0
}

/// The path as system calls take it. `InvalidInput` when it has a NUL in it.
pub fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn tolerate(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOTSUP)) => Ok(()),
        other => other,
    }
}

fn set_times(path: &CStr, metadata: &Metadata) -> io::Result<()> {
    let times = [
        libc::timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() },
        libc::timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() },
    ];
    // SAFETY: the path is NUL-terminated, the array has the two entries that the call reads; both are alive.
    let result = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn attribute_names(path: &CStr) -> io::Result<Vec<CString>> {
    // SAFETY: the path is NUL-terminated and alive; pointer and length are those of one live buffer.
    let list = sized(|buffer, length| unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), length) })?;
    let names = list.unwrap_or_default();
    Ok(names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| CString::new(name).ok())
        .collect())
}

/// `None` when it is not there, or not for us to read.
fn attribute(path: &CStr, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    // SAFETY: both names are NUL-terminated and alive; pointer and length are those of one live buffer.
    sized(|buffer, length| unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer, length) })
}

fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    // SAFETY: both names are NUL-terminated and alive; pointer and length are those of one live slice.
    let result = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Calls a function that says how much room it needs when it is given none, and again with the room.
fn sized(call: impl Fn(*mut libc::c_void, usize) -> isize) -> io::Result<Option<Vec<u8>>> {
    loop {
        let Ok(needed) = usize::try_from(call(ptr::null_mut(), 0)) else {
            return absent(io::Error::last_os_error());
        };
        // At least one byte: no room at all is the question for the size again.
        let mut buffer = vec![0_u8; needed.max(1)];
        match usize::try_from(call(buffer.as_mut_ptr().cast(), buffer.len())) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            Err(_) => match io::Error::last_os_error() {
                // Grown in between.
                error if error.raw_os_error() == Some(libc::ERANGE) => {}
                error => return absent(error),
            },
        }
    }
}

fn absent(error: io::Error) -> io::Result<Option<Vec<u8>>> {
    match error.raw_os_error() {
        Some(libc::ENODATA | libc::ENOTSUP | libc::EPERM | libc::EACCES) => Ok(None),
        _ => Err(error),
    }
}
