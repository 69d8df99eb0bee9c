//! One end of the socket between holder and agent. Each packet is one message with the descriptors that belong to
//! it; the kernel keeps packets whole and in order, and those sent by an agent that has died can still be read.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The longest message. What may be longer than that travels as a memory file.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// The most descriptors with one message.
pub const MAX_DESCRIPTORS: usize = 8;

/// Room for one control message with all descriptors, aligned as its header wants.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; 64],
}

// SAFETY: it only computes a length.
const _: () = assert!(unsafe { libc::CMSG_SPACE((MAX_DESCRIPTORS * size_of::<RawFd>()) as u32) } <= 64);

/// A connected pair: close-on-exec, and non-blocking on both sides.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: the pointer is to two integers, which the kernel writes.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us both descriptors, and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Sends one message, whole or not at all. The receiver gets copies of the descriptors.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > MAX_MESSAGE_BYTES || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; 64] };
    let mut message = header(&mut part);
    if !descriptors.is_empty() {
        attach(&mut message, &mut control, descriptors);
    }
    // SAFETY: the header points to the bytes and to the control message, both alive; the kernel only reads them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One received message.
pub struct Packet {
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
    /// Some descriptors did not arrive, because this process may have no more.
    pub incomplete: bool,
}

/// The next message, or nothing when the other end is closed. `WouldBlock` when there is none yet.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0; MAX_MESSAGE_BYTES];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = Control { bytes: [0; 64] };
    let mut message = header(&mut part);
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    // Never interrupted, as the socket does not block.
    // SAFETY: the header points to buffers of the sizes it says, which the kernel fills.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let descriptors = detach(&message);
    // No message is empty, so this is the end of the socket.
    if length == 0 {
        return Ok(None);
    }
    bytes.truncate(length);
    Ok(Some(Packet { bytes, descriptors, incomplete: message.msg_flags & libc::MSG_CTRUNC != 0 }))
}

fn header(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid: no address, no control message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message
}

fn attach(message: &mut libc::msghdr, control: &mut Control, descriptors: &[BorrowedFd<'_>]) {
    let length = size_of_val(descriptors) as u32;
    message.msg_control = (&raw mut *control).cast();
    // SAFETY: both only compute lengths.
    let (space, stated) = unsafe { (libc::CMSG_SPACE(length), libc::CMSG_LEN(length)) };
    message.msg_controllen = space as _;
    // SAFETY: the control buffer has room for the header and MAX_DESCRIPTORS descriptors, which the caller keeps to,
    // and a BorrowedFd is one integer.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(message);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = stated as _;
        let data = libc::CMSG_DATA(first).cast::<RawFd>();
        for (index, descriptor) in descriptors.iter().enumerate() {
            data.add(index).write_unaligned(descriptor.as_raw_fd());
        }
    }
}

fn detach(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has written the control messages and their total length, which CMSG_FIRSTHDR and CMSG_NXTHDR
    // keep to. Each descriptor in SCM_RIGHTS was opened for us and has no other owner.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(message);
        while !next.is_null() {
            if (*next).cmsg_level == libc::SOL_SOCKET && (*next).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*next).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(next).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            next = libc::CMSG_NXTHDR(message, next);
        }
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (left, right) = pair().expect("pair");
        let (reader, writer) = io::pipe().expect("pipe");
        let many = [reader.as_fd(); MAX_DESCRIPTORS];
        send(left.as_fd(), b"one", &[writer.as_fd()]).expect("send");
        send(left.as_fd(), &[b'x'; MAX_MESSAGE_BYTES], &many).expect("send");
        drop((writer, left));

        let first = receive(right.as_fd()).expect("receive").expect("packet");
        assert_eq!((first.bytes.as_slice(), first.incomplete), (b"one".as_slice(), false));
        let mut sent = File::from(first.descriptors.into_iter().next().expect("descriptor"));
        io::Write::write_all(&mut sent, b"through").expect("write");
        drop(sent);
        let mut text = String::new();
        (&reader).read_to_string(&mut text).expect("read");
        assert_eq!(text, "through");

        let second = receive(right.as_fd()).expect("receive").expect("packet");
        assert_eq!((second.bytes.len(), second.descriptors.len()), (MAX_MESSAGE_BYTES, MAX_DESCRIPTORS));
        assert!(receive(right.as_fd()).expect("end").is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_an_empty_socket_does_not_block() {
        let (left, right) = pair().expect("pair");
        assert!(send(left.as_fd(), &[0; MAX_MESSAGE_BYTES + 1], &[]).is_err());
        assert!(send(left.as_fd(), b"x", &[left.as_fd(); MAX_DESCRIPTORS + 1]).is_err());
        assert_eq!(receive(right.as_fd()).map(|_| ()).expect_err("nothing").kind(), io::ErrorKind::WouldBlock);
    }
}
