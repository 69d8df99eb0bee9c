//! Reads one output stream of a process until its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::channel::{Channel, Read, Sink};
use super::flag::Flag;
use super::output::Output;
use super::source::Source;

/// How long after the exit of the process a descendant may still hold its output open before `end` is sent.
/// Long enough for the other half of a pipeline to flush, short enough that starting a daemon returns.
pub const GRACE: Duration = Duration::from_millis(500);

/// More than the kernel holds of a terminal's output.
const TERMINAL_HOLDS: usize = 1 << 20;

/// Takes in the stream until it is closed, or until [`GRACE`] after the process has exited: then something else still
/// holds it, which is answered with true. What the process itself wrote is taken in either case.
pub async fn pump(channel: &Channel, source: Source, output: &Output, exited: &Flag) -> bool {
    let intake = Intake { output, source };
    loop {
        output.room(source).await;
        tokio::select! {
            biased;
            () = exited.until_set() => break,
            read = channel.read(&intake) => match read {
                Ok(Read::Bytes(_)) => {}
                Ok(Read::Closed) | Err(_) => return false,
            },
        }
    }
    drain(channel, source, output).await
}

/// Pipes and terminals keep order, so what the process wrote is in front of whatever its descendants write now.
async fn drain(channel: &Channel, source: Source, output: &Output) -> bool {
    let intake = Intake { output, source };
    let deadline = Instant::now() + GRACE;
    let mut owed = if source == Source::Pty { TERMINAL_HOLDS } else { channel.queued() };
    while owed > 0 {
        output.room(source).await;
        match channel.read_now(&intake) {
            Ok(Read::Bytes(length)) => owed = owed.saturating_sub(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => owed = 0,
            Ok(Read::Closed) | Err(_) => return false,
        }
    }
    while Instant::now() < deadline {
        output.room(source).await;
        match timeout_at(deadline, channel.read(&intake)).await {
            Ok(Ok(Read::Bytes(_))) => {}
            Ok(Ok(Read::Closed) | Err(_)) => return false,
            Err(_) => break,
        }
    }
    true
}

/// Reads to nowhere, so that a descendant which outlives its process is not killed by its own output.
pub async fn discard(channel: Arc<Channel>) {
    while let Ok(Read::Bytes(_)) = channel.read(&Nowhere).await {}
}

struct Intake<'a> {
    output: &'a Output,
    source: Source,
}

impl Sink for Intake<'_> {
    fn begin(&self) {
        self.output.begin(self.source);
    }

    fn take(&self, bytes: &[u8]) {
        self.output.push(self.source, bytes);
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn begin(&self) {}

    fn take(&self, _: &[u8]) {}
}
