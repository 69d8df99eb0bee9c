//! The kernel's interface to its table of sockets: `linux/netlink.h`, `linux/sock_diag.h`, `linux/inet_diag.h`.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const FIN_WAIT2: u8 = 5;
/// `TCP_*` numbers of states in which there is something to end: not TIME_WAIT (6), CLOSE (7) and LISTEN (10).
const CONNECTED: [u32; 9] = [1, 2, 3, 4, 5, 8, 9, 11, 12];

const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
/// `struct inet_diag_sockid`: ports, addresses, interface, cookie. It is copied from an answer into a request.
const ID: usize = 48;
/// Requests per send: their answers must fit into the socket's buffer.
const BATCH: usize = 64;
/// No datagram of the kernel's is longer than this and than what it was last read with.
const BUFFER: usize = 8 << 10;

/// A question to the kernel and its answers.
pub struct Diag {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// One TCP connection.
#[derive(Clone)]
pub struct Socket {
    family: u8,
    state: u8,
    id: [u8; ID],
    inode: u32,
}

impl Diag {
    /// Nothing is asked yet, so a kernel that cannot answer about TCP shows only in the first list.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: the call takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_SOCK_DIAG) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { socket, buffer: vec![0; BUFFER] })
    }

    /// The connections of one family.
    pub fn list(&mut self, family: libc::c_int) -> io::Result<Vec<Socket>> {
        let states = CONNECTED.iter().fold(0, |mask, state| mask | 1 << state);
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        self.send(&request(SOCK_DIAG_BY_FAMILY, flags, family as u8, states, &[0; ID]))?;
        let mut found = Vec::new();
        let mut done = false;
        while !done {
            done = self.receive(|answer| match answer {
                Answer::Message(body) => {
                    found.extend(Socket::parse(body));
                    Ok(false)
                }
                Answer::Result(0) => Ok(false),
                Answer::Done(0) => Ok(true),
                Answer::Result(errno) | Answer::Done(errno) => Err(io::Error::from_raw_os_error(errno)),
            })?;
        }
        Ok(found)
    }

    /// Ends connections; both sides see a reset. Answers what the kernel said about one that it did not end. That one
    /// has ended meanwhile is no reason.
    pub fn destroy(&mut self, sockets: &[Socket]) -> io::Result<Option<io::Error>> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let mut refusal = None;
        for batch in sockets.chunks(BATCH) {
            let requests = batch.iter().map(|socket| request(SOCK_DESTROY, flags, socket.family, u32::MAX, &socket.id));
            self.send(&requests.collect::<Vec<_>>().concat())?;
            let mut answered = 0;
            while answered < batch.len() {
                self.receive(|answer| {
                    if let Answer::Result(errno) = answer {
                        answered += 1;
                        if errno != 0 && errno != libc::ENOENT {
                            refusal = Some(explained(errno));
                        }
                    }
                    Ok(true)
                })?;
            }
        }
        Ok(refusal)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length describe one live slice, which the kernel only reads.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for one datagram and gives each message of it to `take`. Answers what that said last.
    fn receive(&mut self, mut take: impl FnMut(Answer<'_>) -> io::Result<bool>) -> io::Result<bool> {
        let (fd, buffer) = (self.socket.as_raw_fd(), &mut self.buffer);
        // SAFETY: pointer and length describe one live buffer, which the kernel writes to.
        let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        let mut last = false;
        while let Some((answer, after)) = Answer::first(rest) {
            last = take(answer)?;
            rest = after;
        }
        Ok(last)
    }
}

impl Socket {
    fn parse(body: &[u8]) -> Option<Self> {
        let message: &[u8; MESSAGE] = body.first_chunk()?;
        Some(Self {
            family: message[0],
            state: message[1],
            id: *message[4..].first_chunk()?,
            inode: u32::from_ne_bytes(*message[68..].first_chunk()?),
        })
    }

    /// This machine's end. IPv4 over a socket of IPv6 shows as an IPv4-mapped address.
    pub fn local(&self) -> SocketAddr {
        self.end(0, 4)
    }

    /// The other end, in the same form as [`Socket::local`].
    pub fn peer(&self) -> SocketAddr {
        self.end(2, 20)
    }

    /// Names the connection for as long as the kernel runs.
    pub fn cookie(&self) -> u64 {
        self.id[40..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// Closed by its program and by its peer's kernel: what is left only waits for its time to pass.
    pub fn is_remnant(&self) -> bool {
        self.state == FIN_WAIT2 && self.inode == 0
    }

    /// Ports and addresses are in network byte order.
    fn end(&self, port: usize, address: usize) -> SocketAddr {
        let port = self.id[port..].first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
        let v6: [u8; 16] = self.id[address..].first_chunk().copied().unwrap_or_default();
        let ip = if libc::c_int::from(self.family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::new(v6[0], v6[1], v6[2], v6[3]))
        } else {
            IpAddr::V6(Ipv6Addr::from(v6))
        };
        SocketAddr::new(ip, port)
    }
}

enum Answer<'a> {
    Message(&'a [u8]),
    /// An error number, 0 for success.
    Result(i32),
    /// The last of a list, with an error number if it is not whole.
    Done(i32),
}

impl<'a> Answer<'a> {
    /// The first message of a datagram, and what comes after it. Nothing at the end, and for what is no message.
    fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
        let body = bytes.get(HEADER..length)?;
        let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let errno = || body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes).wrapping_neg());
        let answer = match libc::c_int::from(kind) {
            libc::NLMSG_DONE => Self::Done(errno()),
            libc::NLMSG_ERROR => Self::Result(errno()),
            _ => Self::Message(body),
        };
        Some((answer, after))
    }
}

/// A header and a `struct inet_diag_req_v2`.
fn request(kind: u16, flags: libc::c_int, family: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags as u16).to_ne_bytes());
    // Sequence number and sender are not needed: there is one question at a time.
    bytes.extend([0; 2 * size_of::<u32>()]);
    bytes.extend([family, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(id);
    bytes
}

fn explained(errno: i32) -> io::Error {
    match errno {
        libc::EOPNOTSUPP => io::Error::other("this kernel cannot end connections (CONFIG_INET_DIAG_DESTROY)"),
        _ => io::Error::from_raw_os_error(errno),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn socket(family: u8, state: u8, inode: u32) -> Socket {
        let mut body = vec![family, state, 0, 0];
        body.extend(443_u16.to_be_bytes());
        body.extend(50_000_u16.to_be_bytes());
        body.extend([10, 0, 0, 1]);
        body.extend([0; 12]);
        body.extend([10, 0, 0, 2]);
        body.extend([0; 12]);
        body.extend([0; 4]);
        body.extend(77_u64.to_ne_bytes());
        body.extend([0; 16]);
        body.extend(inode.to_ne_bytes());
        assert_eq!(body.len(), MESSAGE);
        Socket::parse(&body).expect("socket")
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        let socket = socket(libc::AF_INET as u8, FIN_WAIT2, 0);
        assert_eq!(socket.local().to_string(), "10.0.0.1:443");
        assert_eq!(socket.peer().to_string(), "10.0.0.2:50000");
        assert_eq!(socket.cookie(), 77);
        assert!(socket.is_remnant());
        assert!(Socket::parse(&[0; MESSAGE - 1]).is_none());
    }

    #[test]
    fn a_request_carries_the_id_of_an_answer() {
        let socket = socket(libc::AF_INET6 as u8, 1, 5);
        let bytes = request(SOCK_DESTROY, libc::NLM_F_REQUEST, socket.family, 0, &socket.id);
        assert_eq!(bytes.len(), HEADER + REQUEST);
        assert_eq!(bytes[0..4], 72_u32.to_ne_bytes());
        assert_eq!(bytes[16..18], [libc::AF_INET6 as u8, libc::IPPROTO_TCP as u8]);
        assert_eq!(bytes[24..], socket.id);
    }

    #[test]
    fn a_datagram_that_is_cut_is_no_message() {
        for bytes in [&[][..], &[1, 2, 3], &[0; 16], &[255; 20], &[15, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Answer::first(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_kernel_without_the_function_is_named() {
        assert!(explained(libc::EOPNOTSUPP).to_string().contains("CONFIG_INET_DIAG_DESTROY"));
        assert_eq!(explained(libc::EPERM).raw_os_error(), Some(libc::EPERM));
    }

    proptest! {
        #[test]
        fn every_datagram_comes_to_an_end(mut bytes: Vec<u8>, length: u8) {
            // A length that is nearly right gets further.
            if let Some(first) = bytes.first_chunk_mut() {
                *first = u32::from(length).to_ne_bytes();
            }
            let mut rest = bytes.as_slice();
            while let Some((answer, after)) = Answer::first(rest) {
                prop_assert!(after.len() < rest.len());
                if let Answer::Message(body) = answer
                    && let Some(socket) = Socket::parse(body)
                {
                    let _named = (socket.local(), socket.peer(), socket.cookie());
                }
                rest = after;
            }
        }
    }
}
