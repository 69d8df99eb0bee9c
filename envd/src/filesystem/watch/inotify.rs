//! One inotify instance: its calls, and the events as they come from it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Number of a watched directory within its instance.
pub type Watch = i32;

const HEADER: usize = size_of::<libc::inotify_event>();
const EVENTS: u32 = libc::IN_CREATE
    | libc::IN_MODIFY
    | libc::IN_ATTRIB
    | libc::IN_DELETE
    | libc::IN_DELETE_SELF
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_MOVE_SELF;
/// What a file that has lost its last name goes through is no business of its former directory.
const MANNER: u32 = libc::IN_ONLYDIR | libc::IN_EXCL_UNLINK;

/// An instance with its watches and its queue, see inotify(7). Dropping it ends them.
pub struct Inotify(OwnedFd);

impl Inotify {
    /// Watches nothing yet. Does not block, and is closed on exec. `EMFILE` when the user has as many instances as
    /// fs.inotify.max_user_instances allows.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes a number only.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a directory, which the calling thread must be allowed to read. One that is watched already keeps its
    /// number.
    pub fn add(&self, path: &Path, follow: bool) -> io::Result<Watch> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mask = EVENTS | MANNER | if follow { 0 } else { libc::IN_DONT_FOLLOW };
        // SAFETY: the path is NUL-terminated and alive, the descriptor is open.
        check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) })
    }

    /// A directory that is gone is watched no more already, so a failure means nothing.
    pub fn remove(&self, watch: Watch) {
        // SAFETY: the descriptor is open; the call takes numbers only.
        unsafe { libc::inotify_rm_watch(self.0.as_raw_fd(), watch) };
    }

    /// Reads whole events, as many as fit.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: pointer and length describe one live buffer, the descriptor is open.
        let length = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }

    /// How many bytes of events wait to be read.
    pub fn waiting(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the kernel writes one integer to a live place of that size, the descriptor is open.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }
}

impl AsRawFd for Inotify {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// One event, as a view of the buffer that it was read into.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub watch: Watch,
    pub mask: u32,
    /// Joins the two halves of a rename.
    pub cookie: u32,
    /// Empty when it happened to the watched directory itself.
    pub name: &'a OsStr,
    /// Of the events before this one and of itself.
    pub end: usize,
}

impl Event<'_> {
    /// Whether any of these bits is in the mask.
    pub fn has(&self, bits: u32) -> bool {
        self.mask & bits != 0
    }
}

/// The events in what was read. Ends at the first that is not whole, which the kernel never gives.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let header = bytes.get(start..start + HEADER)?;
        let number = |index: usize| -> Option<[u8; 4]> { header.get(4 * index..4 * index + 4)?.try_into().ok() };
        let length = usize::try_from(u32::from_ne_bytes(number(3)?)).ok()?;
        let end = (start + HEADER).checked_add(length)?;
        let padded = bytes.get(start + HEADER..end)?;
        start = end;
        Some(Event {
            watch: i32::from_ne_bytes(number(0)?),
            mask: u32::from_ne_bytes(number(1)?),
            cookie: u32::from_ne_bytes(number(2)?),
            name: OsStr::from_bytes(padded.split(|byte| *byte == 0).next().unwrap_or_default()),
            end,
        })
    })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(watch: i32, mask: u32, cookie: u32, padded: &[u8]) -> Vec<u8> {
        let length = u32::try_from(padded.len()).expect("length");
        let numbers = [watch.to_ne_bytes(), mask.to_ne_bytes(), cookie.to_ne_bytes(), length.to_ne_bytes()];
        [numbers.concat(), padded.to_vec()].concat()
    }

    #[test]
    fn events_are_parsed_and_what_is_cut_off_is_not() {
        let bytes = [raw(1, libc::IN_CREATE, 0, b"name\0\0\0\0"), raw(2, libc::IN_MOVE_SELF, 7, b"")].concat();
        let events: Vec<_> = parse(&bytes).collect();
        let seen: Vec<_> = events.iter().map(|event| (event.watch, event.name.as_bytes(), event.end)).collect();
        assert_eq!(seen, [(1, &b"name"[..], 24), (2, b"", 40)]);
        assert!(events.iter().all(|event| event.has(libc::IN_CREATE | libc::IN_MOVE_SELF)));
        assert_eq!((0..bytes.len()).map(|length| parse(&bytes[..length]).count()).max(), Some(1));
    }

    proptest! {
        #[test]
        fn every_event_comes_out_as_it_went_in(
            events in prop::collection::vec((any::<[u32; 2]>(), any::<i32>(), "[^\0/]{0,20}", 0_usize..16), 0..5),
        ) {
            let written = events.iter().flat_map(|([mask, cookie], watch, name, zeros)| {
                raw(*watch, *mask, *cookie, &[name.as_bytes(), &vec![0; *zeros]].concat())
            });
            let bytes: Vec<u8> = written.collect();
            let read: Vec<_> = parse(&bytes).collect();
            prop_assert_eq!(read.len(), events.len());
            for (event, ([mask, cookie], watch, name, _)) in read.iter().zip(&events) {
                prop_assert_eq!((event.watch, event.mask, event.cookie), (*watch, *mask, *cookie));
                prop_assert_eq!(event.name, OsStr::new(name));
            }
        }

        #[test]
        fn what_the_kernel_never_gives_comes_to_an_end(bytes: Vec<u8>) {
            let ends: Vec<usize> = parse(&bytes).map(|event| event.end).collect();
            prop_assert!(ends.is_sorted_by(|one, next| one < next) && ends.iter().all(|end| *end <= bytes.len()));
        }
    }
}
