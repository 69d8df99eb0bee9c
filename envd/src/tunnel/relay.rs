//! Bytes in both directions. The end of one direction ends that direction on the other side; a failure on one side is a
//! reset on the other, so that what was cut off never looks complete.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Version;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use crate::reply::{Body, BoxError};

/// How much is read from the service at a time.
const PIECE: usize = 32 << 10;

/// The connection to the service; closed, and its place given back, when both directions are over.
pub struct Service {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// Starts both directions; the answer's body is the one that comes from the service.
pub fn relay(client: Incoming, version: Version, stream: TcpStream, place: OwnedSemaphorePermit) -> Body {
    let service = Arc::new(Service { stream, _place: place });
    // A task of its own: a client that does not read must not keep us from taking what it writes.
    let upload = tokio::spawn(upload(client, version, Arc::clone(&service)));
    let download = Download { service, upload, over: false };
    let frames = futures_util::stream::try_unfold(download, |mut download| async move {
        let bytes = download.service.read().await?;
        download.over = bytes.is_empty();
        Ok::<_, BoxError>((!bytes.is_empty()).then(|| (Frame::data(bytes), download)))
    });
    StreamBody::new(frames).boxed_unsync()
}

async fn upload(mut client: Incoming, version: Version, service: Arc<Service>) {
    while let Some(frame) = client.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => {
                // The other direction fails as well, and tells the client.
                if service.write(bytes).await.is_err() {
                    return;
                }
            }
            Ok(Err(_trailers)) => {}
            Err(_gone) => return service.reset(),
        }
    }
    // A reset of HTTP/2 can say that there is no error, which the library takes for an end.
    if version == Version::HTTP_2 && !client.is_end_stream() {
        return service.reset();
    }
    service.end();
}

/// The direction from the service to the client. Dropped before its end, it takes the other one along: the client has
/// gone, or the service has failed.
struct Download {
    service: Arc<Service>,
    upload: JoinHandle<()>,
    over: bool,
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.over {
            self.service.reset();
            self.upload.abort();
        }
    }
}

impl Service {
    /// Some bytes; none at the end.
    async fn read(&self) -> io::Result<Bytes> {
        loop {
            self.stream.readable().await?;
            // Not before, so that a silent tunnel holds no buffer.
            let mut buffer = BytesMut::with_capacity(PIECE);
            match self.stream.try_read_buf(&mut buffer) {
                // Little bytes must not hold large buffers while they wait to be sent.
                Ok(length) if length < PIECE / 2 => return Ok(Bytes::copy_from_slice(&buffer)),
                Ok(_) => return Ok(buffer.freeze()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn write(&self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(&bytes) {
                Ok(length) => bytes.advance(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the service that nothing more comes. One that has gone needs no telling.
    fn end(&self) {
        let _gone = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }

    /// Has the connection end with a reset, as soon as both directions let go of it.
    fn reset(&self) {
        let _gone = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
