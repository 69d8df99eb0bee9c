//! Connections from before a snapshot: in the restored machine their peers are gone, or talk to the machine that the
//! snapshot is of. The kernel lists and ends them: <https://man7.org/linux/man-pages/man7/sock_diag.7.html>

mod diag;

use std::collections::HashSet;
use std::io;

use diag::{Diag, Socket};

use crate::connections::Ends;

/// One that ends by itself while it is being ended is there once more, as a remnant; more rounds than that mean that
/// the kernel does not do what it is asked for.
const ROUNDS: usize = 3;

/// Ends every connection that leaves the machine, but for the one that the request came on. Answers when they are gone;
/// those that are made meanwhile stay.
pub fn drop_outside(spared: Option<Ends>) -> io::Result<()> {
    let mut diag = Diag::open()?;
    let mut old: Vec<Socket> =
        connections(&mut diag)?.into_iter().filter(|socket| !is_spared(socket, spared)).collect();
    let mut refusal = None;
    for _ in 0..ROUNDS {
        if old.is_empty() {
            return Ok(());
        }
        refusal = diag.destroy(&old)?.or(refusal);
        let left: HashSet<u64> = connections(&mut diag)?.iter().map(Socket::cookie).collect();
        old.retain(|socket| left.contains(&socket.cookie()));
    }
    if old.is_empty() {
        return Ok(());
    }
    Err(refusal.unwrap_or_else(|| io::Error::other(format!("{} of them would not end", old.len()))))
}

fn connections(diag: &mut Diag) -> io::Result<Vec<Socket>> {
    let mut found = diag.list(libc::AF_INET)?;
    found.extend(diag.list(libc::AF_INET6)?);
    found.retain(|socket| !stays(socket));
    Ok(found)
}

/// Between two programs of this machine, so both ends are in the snapshot; or closed already, with nobody to tell.
fn stays(socket: &Socket) -> bool {
    let (local, peer) = (socket.local().ip().to_canonical(), socket.peer().ip().to_canonical());
    local.is_loopback() || peer.is_loopback() || local == peer || socket.is_remnant()
}

fn is_spared(socket: &Socket, spared: Option<Ends>) -> bool {
    let same = |left: std::net::SocketAddr, right: std::net::SocketAddr| {
        left.port() == right.port() && left.ip().to_canonical() == right.ip().to_canonical()
    };
    spared.is_some_and(|ends| same(ends.local, socket.local()) && same(ends.peer, socket.peer()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_of_the_machine_with_itself_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let client = TcpStream::connect(listener.local_addr().expect("address")).expect("connected");
        let ends = Ends { local: client.local_addr().expect("local"), peer: client.peer_addr().expect("peer") };
        let mut diag = Diag::open().expect("netlink");
        let listed = diag.list(libc::AF_INET).expect("list");
        let own = listed.iter().find(|socket| is_spared(socket, Some(ends))).expect("listed");
        assert!(stays(own) && !own.is_remnant());
        assert!(!is_spared(own, None));
        assert!(!connections(&mut diag).expect("list").iter().any(|socket| is_spared(socket, Some(ends))));
    }
}
