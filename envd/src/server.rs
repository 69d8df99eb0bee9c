//! HTTP/1.1 and cleartext HTTP/2 on one port.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::connections::Ends;
use crate::log;

/// How long open answers may go on after the order to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause after a failed accept, which is nearly always a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// One connection carries all of a host agent's streams, and each process it follows is one.
const MAX_STREAMS: u32 = 4096;
/// How far a client may be ahead of what becomes of its bytes: in one stream, and in all of a connection. So many fit
/// into the latter that streams which stand still do not hold up the others.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Serves until `stop` resolves, then lets open answers end within [`DRAIN`].
pub async fn serve(listener: TcpListener, app: Arc<App>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => connection(stream, Arc::clone(&app)),
            Err(error) => {
                log::error(&format!("accept: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    app.processes.shut_down().await;
    if tokio::time::timeout(DRAIN, app.connections.close_all()).await.is_err() {
        log::info("stopped with answers still open");
    }
}

fn connection(stream: TcpStream, app: Arc<App>) {
    prepare(&stream);
    let (Some(connection), Some(ends)) = (app.connections.open(), ends(&stream)) else {
        return;
    };
    let requests = connection.requests();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let app = Arc::clone(&app);
        let busy = requests.begin();
        request.extensions_mut().insert(ends);
        async move { Ok::<_, Infallible>(app.handle(request).await.map(|body| busy.with(body))) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No timeout for headers: hyper's also closes idle kept-alive connections, and a client that sends its next
    // request at that moment loses it. Only the host reaches this port; keepalive probes find dead peers.
    builder.http1().header_read_timeout(None);
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    tokio::spawn(async move {
        let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        loop {
            tokio::select! {
                // An error here is a client that went away or does not speak HTTP: nothing to do for us, nothing to log.
                _gone = served.as_mut() => break,
                () = connection.asked_to_close() => served.as_mut().graceful_shutdown(),
            }
        }
    });
}

/// Nothing when the peer has gone already.
fn ends(stream: &TcpStream) -> Option<Ends> {
    Some(Ends { local: stream.local_addr().ok()?, peer: stream.peer_addr().ok()? })
}

/// After a resume the peers of old connections no longer exist and never say so; probes end them.
fn prepare(stream: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    let tuned = SockRef::from(stream).set_tcp_keepalive(&keepalive).and_then(|()| stream.set_nodelay(true));
    if let Err(error) = tuned {
        log::error(&format!("socket options: {error}"));
    }
}
