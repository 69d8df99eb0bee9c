//! The body of an upload. When the upload fails early the answer goes out at once, and what the client is still
//! sending is read to nowhere: closing on it would reset the connection and could lose the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A client that has not noticed the answer by then does not read it.
const LINGER: Duration = Duration::from_secs(5);

/// The pieces of a body, without its trailers. Dropped before the end, it reads the rest for [`LINGER`] at most.
pub struct Intake(Option<Incoming>);

impl Intake {
    /// Reads nothing yet. Must be dropped within the runtime.
    pub fn new(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Stream for Intake {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = &mut self.0 else {
                return Poll::Ready(None);
            };
            match std::task::ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // Trailers say nothing here.
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.0 = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.0 = None,
            }
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        tokio::spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
}
