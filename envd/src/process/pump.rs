//! Reads one output pipe of a process until its end.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

use super::output::{Output, Source};

pub const CHUNK_BYTES: usize = 32 << 10;

/// How long after the exit of the process a descendant may still hold its output open before `end` is sent.
/// Long enough for the other half of a pipeline to flush, short enough that starting a daemon returns.
pub const GRACE: Duration = Duration::from_millis(500);

/// Forwards the pipe until it is closed, or until [`GRACE`] after the process has exited: then the pipe is given
/// back, because something else still holds it. What the process itself wrote is forwarded in either case.
pub async fn pump(
    pipe: pipe::Receiver,
    source: Source,
    output: &Output,
    mut exited: watch::Receiver<bool>,
) -> Option<pipe::Receiver> {
    loop {
        tokio::select! {
            ready = pipe.readable() => match ready.and_then(|()| read(&pipe)) {
                Ok(Read::Data(bytes)) => output.send(source, bytes).await,
                Ok(Read::Nothing) => {}
                Ok(Read::Closed) | Err(_) => return None,
            },
            () = until_set(&mut exited) => break,
        }
    }
    drain(pipe, source, output).await
}

/// A supervisor that is gone counts as an exit.
pub async fn until_set(flag: &mut watch::Receiver<bool>) {
    // The value's guard must not outlive this statement: it cannot cross an await.
    let _gone = flag.wait_for(|set| *set).await.is_err();
}

/// A pipe keeps order, so what the process wrote is in front of whatever its descendants write now.
async fn drain(pipe: pipe::Receiver, source: Source, output: &Output) -> Option<pipe::Receiver> {
    let mut owed = queued(&pipe);
    let deadline = Instant::now() + GRACE;
    loop {
        if owed == 0 && tokio::time::timeout_at(deadline, pipe.readable()).await.is_err() {
            return Some(pipe);
        }
        match read(&pipe) {
            Ok(Read::Data(bytes)) => {
                owed = owed.saturating_sub(bytes.len());
                output.send(source, bytes).await;
                if owed == 0 && Instant::now() >= deadline {
                    return Some(pipe);
                }
            }
            Ok(Read::Nothing) => owed = 0,
            Ok(Read::Closed) | Err(_) => return None,
        }
    }
}

/// Reads to nowhere, so that a descendant which outlives its process is not killed by its own output.
pub async fn discard(pipe: pipe::Receiver) {
    while pipe.readable().await.is_ok() {
        if matches!(read(&pipe), Ok(Read::Closed) | Err(_)) {
            return;
        }
    }
}

enum Read {
    Data(Bytes),
    Nothing,
    Closed,
}

/// One read into a buffer on the stack: a process that writes nothing costs no buffer.
fn read(pipe: &pipe::Receiver) -> io::Result<Read> {
    let mut buffer = [0; CHUNK_BYTES];
    match pipe.try_read(&mut buffer) {
        Ok(0) => Ok(Read::Closed),
        Ok(length) => Ok(Read::Data(Bytes::copy_from_slice(&buffer[..length]))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Read::Nothing),
        Err(error) => Err(error),
    }
}

fn queued(pipe: &pipe::Receiver) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, and `bytes` is one that lives.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}
