//! File systems that inotify is blind to.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Changes that another machine, or a program in the place of one, makes are not told to our kernel.
const NETWORK: [i64; 8] = [
    0x6969,      // NFS
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB 2
    0x517B,      // SMB
    0x6573_5546, // FUSE
    0x0102_1997, // 9p
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
];
/// Not files, but views of the kernel: large, and silent.
const VIEWS: [i64; 4] = [
    0x9FA0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
];

/// What inotify can tell of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Local,
    Network,
    View,
}

/// The kind of file system that `path` is on, by the magic number of statfs(2). Follows links, and may block.
pub fn kind_of(path: &Path) -> io::Result<Kind> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is NUL-terminated and alive; the kernel fills the structure that the pointer leads to.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the structure is filled.
    let magic = unsafe { found.assume_init() }.f_type;
    Ok(match magic {
        magic if NETWORK.contains(&magic) => Kind::Network,
        magic if VIEWS.contains(&magic) => Kind::View,
        _ => Kind::Local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_views_are_known_from_files() {
        for (path, kind) in [("/proc", Kind::View), ("/proc/self/fd", Kind::View), ("/", Kind::Local)] {
            assert_eq!(kind_of(Path::new(path)).expect("statfs"), kind, "{path}");
        }
        assert!(kind_of(Path::new("/nowhere")).is_err());
    }
}
