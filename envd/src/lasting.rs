//! A body that holds something for as long as it is being sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::reply::{self, BoxError};

/// Drops what it holds when it has been sent or given up.
pub struct Lasting<T> {
    body: reply::Body,
    _held: T,
}

impl<T> Lasting<T> {
    /// The bytes, length and end of `body` stay as they are.
    pub fn new(body: reply::Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> Body for Lasting<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
