//! What must be known of a process after the death of its agent: a memory file that holder and agents share. It begins
//! with numbers that the agent changes as it goes on, through a mapping and so without a system call, and goes on with
//! a description in JSON, which never changes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::memory;
use super::wait::{self, Who};

const MAGIC: u32 = 0x5752_4e31;
const HEADER_BYTES: usize = size_of::<Header>();

/// One output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
    Pty,
}

/// Every bit pattern is valid: what is mapped may come from an agent that died at any point.
#[repr(C)]
struct Header {
    magic: AtomicU32,
    ended: AtomicU32,
    status: AtomicI32,
    unused: AtomicU32,
    streams: [Counters; 3],
}

#[repr(C)]
struct Counters {
    /// Bytes that an agent has read from the process.
    read: AtomicU64,
    /// Those of them that some reader was given.
    sent: AtomicU64,
    /// A read is under way, so `read` may be too low by what it takes.
    reading: AtomicU64,
}

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub read: u64,
    pub sent: u64,
    /// An agent died within a read: some bytes after `read` may be lost as well, and are not counted.
    pub uncertain: bool,
}

/// The mapped record of one process. Its file is the holder's to keep.
pub struct Record {
    header: NonNull<Header>,
}

// SAFETY: the mapping stays until the record is dropped, its size is sealed, and all access goes through atomics.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    /// A new record with this description, and its file.
    pub fn create(description: &[u8]) -> io::Result<(Self, OwnedFd)> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + description.len());
        bytes.extend_from_slice(&MAGIC.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(description);
        let file = memory::file(c"process", &bytes)?;
        Ok((Self::map(&file)?, file.into()))
    }

    /// The record that an earlier agent made, with its description.
    pub fn open(file: OwnedFd) -> io::Result<(Self, Vec<u8>)> {
        let file = File::from(file);
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        if file.metadata()?.len() < HEADER_BYTES as u64 {
            return Err(invalid());
        }
        let description = memory::read(file.as_fd(), HEADER_BYTES as u64)?;
        let record = Self::map(&file)?;
        if record.header().magic.load(Ordering::SeqCst) != MAGIC {
            return Err(invalid());
        }
        Ok((record, description))
    }

    fn map(file: &File) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping, at an address of the kernel's choice, of a file that is at least this long and
        // is sealed against shrinking.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), HEADER_BYTES, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let header = NonNull::new(address.cast()).ok_or(io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { header })
    }

    fn header(&self) -> &Header {
        // SAFETY: mapped until the drop, at a page's start and so aligned, and any bytes make a valid Header.
        unsafe { self.header.as_ref() }
    }

    fn counters(&self, stream: Stream) -> &Counters {
        &self.header().streams[stream as usize]
    }

    /// Says that a read begins. What it takes out of the pipe is lost if the agent dies before [`Self::has_read`].
    pub fn reads(&self, stream: Stream) {
        self.counters(stream).reading.store(1, Ordering::SeqCst);
    }

    /// Says that the read has ended, and how many bytes have now been read in all.
    pub fn has_read(&self, stream: Stream, total: u64) {
        let counters = self.counters(stream);
        counters.read.store(total, Ordering::SeqCst);
        counters.reading.store(0, Ordering::SeqCst);
    }

    /// Says that readers have been sent all bytes before this one.
    pub fn has_sent(&self, stream: Stream, total: u64) {
        self.counters(stream).sent.fetch_max(total, Ordering::SeqCst);
    }

    /// How far an output has come, by what agents have noted. `sent` is never more than `read`.
    pub fn position(&self, stream: Stream) -> Position {
        let counters = self.counters(stream);
        let read = counters.read.load(Ordering::SeqCst);
        let sent = counters.sent.load(Ordering::SeqCst).min(read);
        Position { read, sent, uncertain: counters.reading.load(Ordering::SeqCst) != 0 }
    }

    /// Notes how a child of ours has ended, before it is reaped: from then on the kernel no longer knows.
    pub fn note_end(&self, pid: i32) {
        // Nothing to note is a process that has not ended, or is not ours; then there is nothing to lose either.
        if let Ok(Some(gone)) = wait::look(Who::Pid(pid)) {
            self.has_ended(gone.status);
        }
    }

    fn has_ended(&self, status: i32) {
        self.header().status.store(status, Ordering::SeqCst);
        self.header().ended.store(1, Ordering::SeqCst);
    }

    /// The wait status, if one was noted.
    pub fn status(&self) -> Option<i32> {
        let header = self.header();
        (header.ended.load(Ordering::SeqCst) != 0).then(|| header.status.load(Ordering::SeqCst))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this size, and nobody can use it any more.
        unsafe { libc::munmap(self.header.as_ptr().cast(), HEADER_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_agent_notes_the_next_one_reads() {
        let (record, file) = Record::create(b"{\"cmd\":\"sh\"}").expect("record");
        record.reads(Stream::Stderr);
        record.has_read(Stream::Stderr, 1 << 33);
        record.has_sent(Stream::Stderr, 5);
        record.has_sent(Stream::Stderr, 3);
        record.reads(Stream::Pty);
        record.has_ended(9);
        drop(record);

        let (record, description) = Record::open(file).expect("open");
        assert_eq!(description, b"{\"cmd\":\"sh\"}");
        assert_eq!(record.position(Stream::Stdout), Position::default());
        assert_eq!(record.position(Stream::Stderr), Position { read: 1 << 33, sent: 5, uncertain: false });
        assert_eq!(record.position(Stream::Pty), Position { uncertain: true, ..Position::default() });
        assert_eq!(record.status(), Some(9));
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [vec![], vec![0; HEADER_BYTES - 1], vec![0; 500]] {
            let file = memory::file(c"other", &bytes).expect("file");
            assert!(Record::open(file.into()).is_err(), "{}", bytes.len());
        }
    }
}
