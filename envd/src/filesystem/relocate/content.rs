//! The bytes of one file, holes left out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for copying. Whatever has taken its place meanwhile does not lead or hold us up.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Copies to the new file `to`. The kernel moves the bytes where it can, without passing them through us.
pub fn copy(mut source: &File, to: &Path) -> io::Result<()> {
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut offset = 0;
    while let Some(start) = seek(source, offset, libc::SEEK_DATA)? {
        // The end of the file counts as a hole, so there is one behind all data, unless the file shrinks meanwhile.
        let Some(end) = seek(source, start, libc::SEEK_HOLE)? else {
            break;
        };
        source.seek(SeekFrom::Start(start))?;
        target.seek(SeekFrom::Start(start))?;
        io::copy(&mut source.take(end - start), &mut target)?;
        offset = end;
    }
    // A hole at the end is only a length.
    target.set_len(source.metadata()?.len())
}

/// The next place of this kind from `offset` on; `None` when there is no more.
fn seek(file: &File, offset: u64, whence: i32) -> io::Result<Option<u64>> {
    let from = i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: the descriptor is open; the call takes numbers only.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, whence) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            error => Err(error),
        },
    }
}
