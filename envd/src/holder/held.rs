//! What the agent is started with.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Makes a holder of the program.
pub const SUPERVISE: &str = "--supervise";
/// Tells an agent what its holder hands to it.
pub const HELD: &str = "--held";

/// Numbers of inherited descriptors: the socket to the holder, and the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub socket: RawFd,
    pub listener: RawFd,
}

impl Held {
    /// `SOCKET,LISTENER`; neither may be one of the standard three.
    pub fn parse(text: &str) -> Option<Self> {
        let (socket, listener) = text.split_once(',')?;
        let held = Self { socket: socket.parse().ok()?, listener: listener.parse().ok()? };
        (held.socket > 2 && held.listener > 2 && held.socket != held.listener).then_some(held)
    }

    /// The agent's argument, `--held=SOCKET,LISTENER`, whose value [`Self::parse`] reads.
    pub fn argument(self) -> String {
        format!("{HELD}={},{}", self.socket, self.listener)
    }

    /// Takes the descriptors over. They must be open, and must not have been taken yet.
    pub fn take(self) -> io::Result<(OwnedFd, TcpListener)> {
        for descriptor in [self.socket, self.listener] {
            // SAFETY: the call takes numbers only.
            if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: both are open and were inherited for this; nothing else in this process knows their numbers.
        Ok(unsafe { (OwnedFd::from_raw_fd(self.socket), TcpListener::from_raw_fd(self.listener)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_descriptors_of_its_own_are_taken_over() {
        let held = Held { socket: 5, listener: 4 };
        assert_eq!(held.argument(), "--held=5,4");
        assert_eq!(Held::parse("5,4"), Some(held));
        for text in ["", "5", "5,", "5,5", "1,4", "4,-1", "a,4", "5,4,3"] {
            assert_eq!(Held::parse(text), None, "{text}");
        }
        assert!(Held { socket: 1 << 20, listener: 1 << 21 }.take().is_err());
    }
}
