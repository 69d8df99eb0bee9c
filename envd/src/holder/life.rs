//! One life of the agent: the child that runs it, the socket to it, and what waits to be sent.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use super::held::Held;
use super::message::{self, ToAgent, ToHolder};
use super::store::Store;
use super::{channel, signals};

/// What the agent is started from: a path that works also when the program's file was replaced or removed.
const PROGRAM: &str = "/proc/self/exe";

/// Deaths in a row that cost no pause, as one who ends the agent on purpose may try again.
const FREE_DEATHS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// An agent that cannot live costs little of the CPU, and one that can is never missed for a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A life of this length ends a row of deaths.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// Dropping it closes the socket, and neither ends nor collects the child.
pub struct Life {
    pub pid: i32,
    pub served: bool,
    born: Instant,
    socket: Option<OwnedFd>,
    outgoing: VecDeque<Outgoing>,
}

#[derive(Clone, Copy)]
enum Outgoing {
    Kept(u64),
    State,
    Ready,
    Ended(u64),
}

impl Life {
    /// Starts the agent; it is given all that `store` holds.
    pub fn begin(args: &[String], listener: &TcpListener, store: &Store) -> io::Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let (socket, port) = (theirs.as_raw_fd(), listener.as_raw_fd());
        let mut command = Command::new(PROGRAM);
        command.arg0("envd").args(args).arg(Held { socket, listener: port }.argument());
        let parent = std::process::id();
        let in_child = move || {
            signals::unblock()?;
            inherit(socket)?;
            inherit(port)?;
            end_with_parent(parent)
        };
        // SAFETY: the closure makes system calls on numbers only; it neither allocates nor locks.
        unsafe { command.pre_exec(in_child) };
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut outgoing: VecDeque<_> = store.ids().into_iter().map(Outgoing::Kept).collect();
        outgoing.extend([Outgoing::State, Outgoing::Ready]);
        Ok(Self { pid, served: false, born: Instant::now(), socket: Some(ours), outgoing })
    }

    /// Whether this life was long enough to show that the agent can live.
    pub fn was_good(&self) -> bool {
        self.served && self.born.elapsed() >= GOOD_LIFE
    }

    /// What to poll for, if anything.
    pub fn interest(&self) -> Option<libc::pollfd> {
        let socket = self.socket.as_ref()?;
        let writable = if self.outgoing.is_empty() { 0 } else { libc::POLLOUT };
        Some(libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN | writable, revents: 0 })
    }

    /// The next message of the agent, with its descriptors; nothing when there is none yet or never will be.
    pub fn receive(&mut self) -> Option<io::Result<(ToHolder, Vec<OwnedFd>)>> {
        match message::receive(self.socket.as_ref()?.as_fd()) {
            Ok(Some(received)) => Some(Ok(received)),
            Ok(None) => {
                self.socket = None;
                None
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                // Anything else will not pass by itself.
                if !message::is_skipped(&error) {
                    self.socket = None;
                }
                Some(Err(error))
            }
        }
    }

    /// Has [`Self::flush`] tell the agent how these processes ended; not of one that is forgotten by then.
    pub fn tell_ended(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.outgoing.extend(ids.into_iter().map(Outgoing::Ended));
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self, store: &Store, state: Option<BorrowedFd<'_>>) -> io::Result<()> {
        while let (Some(socket), Some(next)) = (&self.socket, self.outgoing.front()) {
            match send(socket.as_fd(), *next, store, state) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    self.socket = None;
                    return Err(error);
                }
            }
            self.outgoing.pop_front();
        }
        Ok(())
    }
}

fn send(to: BorrowedFd<'_>, what: Outgoing, store: &Store, state: Option<BorrowedFd<'_>>) -> io::Result<()> {
    match what {
        Outgoing::Ready => message::send(to, &ToAgent::Ready, &[]),
        Outgoing::State => state.map_or(Ok(()), |state| message::send(to, &ToAgent::State, &[state])),
        // One that was forgotten meanwhile needs no word.
        Outgoing::Kept(id) => store.get(id).map_or(Ok(()), |kept| {
            let message = ToAgent::Kept { id, pid: kept.pid, roles: kept.roles, end: kept.end };
            message::send(to, &message, &kept.files)
        }),
        Outgoing::Ended(id) => match store.get(id).and_then(|kept| kept.end) {
            Some(end) => message::send(to, &ToAgent::Ended { id, end }, &[]),
            None => Ok(()),
        },
    }
}

/// Pause before the next life, after so many deaths in a row.
pub fn pause(deaths: u32) -> Duration {
    match deaths.checked_sub(FREE_DEATHS + 1) {
        None => Duration::ZERO,
        Some(more) => FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
    }
}

/// Lets this descriptor outlive the exec.
fn inherit(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Without its holder nobody would start the agent again, or collect its orphans: it stops as if told to.
fn end_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have died before that.
    if std::os::unix::process::parent_id() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_deaths_cost_no_pause_and_no_pause_grows_without_bound() {
        let pauses: Vec<u128> = [1, 3, 4, 5, 8, 9, 20, u32::MAX].map(|deaths| pause(deaths).as_millis()).into();
        assert_eq!(pauses, [0, 0, 10, 20, 160, 250, 250, 250]);
    }
}
