//! Files that exist in memory only. They are handed over as descriptors, and live as long as somebody has one.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Makes a file of these bytes, whose size nobody can change any more: a mapping of it can always be read.
pub fn file(name: &CStr, bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is NUL-terminated and alive.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all_at(bytes, 0)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the call takes numbers only.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// All bytes from `offset` on. The position of the descriptor, which others share, stays as it is.
pub fn read(file: BorrowedFd<'_>, offset: u64) -> io::Result<Vec<u8>> {
    let file = File::from(file.try_clone_to_owned()?);
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Overwrites a file that held secrets, whoever else may still have it.
pub fn wipe(file: BorrowedFd<'_>) -> io::Result<()> {
    let file = File::from(file.try_clone_to_owned()?);
    let zeros = [0; 4096];
    let length = file.metadata()?.len();
    let mut done = 0;
    while done < length {
        let part = (length - done).min(zeros.len() as u64);
        file.write_all_at(&zeros[..part as usize], done)?;
        done += part;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_file_keeps_its_size_and_can_be_wiped() {
        let file = file(c"test", &[7; 5000]).expect("file");
        assert_eq!(read(file.as_fd(), 4998).expect("read"), [7, 7]);
        assert!(read(file.as_fd(), 9000).expect("read").is_empty());
        assert!(file.set_len(10).is_err());
        assert!(file.write_at(b"more", 4999).map_or(true, |written| written <= 1));
        wipe(file.as_fd()).expect("wipe");
        assert_eq!(read(file.as_fd(), 0).expect("read"), [0; 5000]);
    }
}
