//! `POST /snapshot/prepare`: what the host asks for before it takes a picture of the machine.

use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode, Version};

use crate::connections::Connections;
use crate::fault::Outcome;
use crate::reply::{self, Reply};
use crate::users;

/// A client that does not let go of an idle connection must not hold up the snapshot.
const CLOSING: Duration = Duration::from_secs(1);

/// Writes back what is dirty, on every file system, and closes the connections that nothing is in progress on: in the
/// picture they would be dead, and nobody would say so to either side.
pub async fn prepare<B>(request: &Request<B>, connections: &Connections) -> Outcome<Reply> {
    let flush = users::blocking(|| {
        // SAFETY: sync has no preconditions and cannot fail.
        unsafe { libc::sync() };
        Ok(())
    });
    let (flushed, _late) = tokio::join!(flush, tokio::time::timeout(CLOSING, connections.close_idle()));
    flushed?;
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    // The connection of this very request, once it is answered. HTTP/2 has no such header.
    if request.version() < Version::HTTP_2 {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply)
}
