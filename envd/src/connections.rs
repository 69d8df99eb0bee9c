//! The open connections: how many there are, which of them have nothing to do, and how one is asked to close. A
//! connection that closes gracefully finishes what it has begun and takes nothing new.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::lasting::Lasting;
use crate::lock::lock;
use crate::reply;

/// Far more than one host agent needs; each costs a descriptor and some memory.
const MOST: usize = 1024;

/// Both ends of a request's connection, among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// The open connections of this agent, at most [`MOST`] at a time.
#[derive(Default)]
pub struct Connections {
    open: Mutex<Open>,
    ended: Notify,
}

#[derive(Default)]
struct Open {
    last: u64,
    by_number: HashMap<u64, Arc<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Requests whose answers have not been given to their end.
    busy: AtomicUsize,
    close: Notify,
}

impl Connections {
    /// A new connection, unless there are too many.
    pub fn open(self: &Arc<Self>) -> Option<Connection> {
        let mut open = lock(&self.open);
        if open.by_number.len() >= MOST {
            return None;
        }
        open.last += 1;
        let shared = Arc::<Shared>::default();
        let number = open.last;
        open.by_number.insert(number, Arc::clone(&shared));
        Some(Connection { all: Arc::clone(self), number, shared })
    }

    /// Closes the connections that no request is in progress on, and answers when they are closed.
    pub async fn close_idle(&self) {
        self.close(|shared| shared.busy.load(Ordering::Relaxed) == 0).await;
    }

    /// Lets every connection finish what it has begun, and answers when all are closed.
    pub async fn close_all(&self) {
        self.close(|_| true).await;
    }

    async fn close(&self, chosen: impl Fn(&Shared) -> bool) {
        let numbers: Vec<u64> = {
            let open = lock(&self.open);
            let closing = open.by_number.iter().filter(|(_, shared)| chosen(shared));
            closing.inspect(|(_, shared)| shared.close.notify_one()).map(|(number, _)| *number).collect()
        };
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // Before looking, so that none that ends meanwhile is missed.
            ended.as_mut().enable();
            if !numbers.iter().any(|number| lock(&self.open).by_number.contains_key(number)) {
                return;
            }
            ended.await;
        }
    }
}

/// One open connection, for as long as this lives.
pub struct Connection {
    all: Arc<Connections>,
    number: u64,
    shared: Arc<Shared>,
}

impl Connection {
    /// Resolves once for each time that the connection is asked to close.
    pub async fn asked_to_close(&self) {
        self.shared.close.notified().await;
    }

    /// Counts the requests of this connection.
    pub fn requests(&self) -> Requests {
        Requests(Arc::clone(&self.shared))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.all.open).by_number.remove(&self.number);
        self.all.ended.notify_waiters();
    }
}

/// Counts the requests of one connection. Does not keep it open.
pub struct Requests(Arc<Shared>);

impl Requests {
    /// The connection is busy until what this answers is gone.
    pub fn begin(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.0))
    }
}

/// One request in progress: until it is dropped, its connection is not idle.
pub struct Busy(Arc<Shared>);

impl Busy {
    /// Keeps the connection busy until the answer's body has been sent or given up.
    pub fn with(self, body: reply::Body) -> Lasting<Self> {
        Lasting::new(body, self)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_idle_connections_are_asked_to_close() {
        let all = Arc::<Connections>::default();
        let idle = all.open().expect("room");
        let busy = all.open().expect("room");
        let request = busy.requests().begin();
        let closing = tokio::spawn({
            let all = Arc::clone(&all);
            async move { all.close_idle().await }
        });
        idle.asked_to_close().await;
        assert!(!closing.is_finished());
        drop(idle);
        closing.await.expect("closed");
        assert_eq!(lock(&all.open).by_number.len(), 1);
        drop(request);
        let closing = all.close_idle();
        let end = async move {
            busy.asked_to_close().await;
            drop(busy);
        };
        tokio::join!(closing, end);
    }

    #[tokio::test]
    async fn there_is_a_bound_and_room_comes_back() {
        let all = Arc::<Connections>::default();
        let mut open: Vec<Connection> = (0..MOST).map(|_| all.open().expect("room")).collect();
        assert!(all.open().is_none());
        open.pop();
        assert!(all.open().is_some());
        drop(open);
        all.close_all().await;
    }
}
