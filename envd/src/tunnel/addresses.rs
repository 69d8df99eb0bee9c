//! The guest's own addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

/// Where a service of this port listens in all likelihood.
pub fn loopback(port: u16) -> [SocketAddr; 2] {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|address| SocketAddr::new(address, port))
}

/// Where else it can listen: at the guest's other addresses. Blocks for a moment, because the kernel is asked.
pub fn others(port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut others = own(port)?;
    others.retain(|address| !loopback(port).contains(address));
    Ok(others)
}

fn own(port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the call writes one pointer to a live place; what it leads to is freed below, once.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: the list is the one from above, whose entries stay valid until it is freed; its last `ifa_next` is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: an entry's address is null or a socket address of the length that its family has.
        found.extend(unsafe { address(entry.ifa_addr, port) });
        next = entry.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// # Safety
///
/// `raw` is null or leads to a socket address that is as long as its family says.
unsafe fn address(raw: *const libc::sockaddr, port: u16) -> Option<SocketAddr> {
    // SAFETY: by the caller's promise there is at least the family to read.
    let family = i32::from(unsafe { raw.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: of this family, by the caller's promise; read without a demand on its alignment.
            let address = unsafe { raw.cast::<libc::sockaddr_in>().read_unaligned() };
            let octets = address.sin_addr.s_addr.to_ne_bytes();
            Some(SocketAddr::new(IpAddr::from(octets), port))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { raw.cast::<libc::sockaddr_in6>().read_unaligned() };
            let octets = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(octets, port, 0, address.sin6_scope_id)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listened_on_is_found() {
        assert_eq!(loopback(80).map(|address| address.to_string()), ["127.0.0.1:80", "[::1]:80"]);
        assert!(own(80).expect("addresses").contains(&loopback(80)[0]));
        assert!(
            others(80).expect("addresses").iter().all(|address| address.port() == 80 && !address.ip().is_loopback())
        );
    }
}
