//! The events of one watcher for one client, as a stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use connectrpc::ConnectError;
use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::batch::Item;
use super::watcher::Watcher;
use crate::fault::{Fault, Kind, Outcome};
use crate::proto::filesystem::WatchDirResponse;
use crate::proto::filesystem::watch_dir_response::{Event, KeepAlive, OverflowEvent, StartEvent};

/// How a client reads.
pub struct Reader {
    /// Whether it understands that events were lost, and goes on.
    pub extensions: bool,
    pub keepalive: Duration,
    pub deadline: Option<Instant>,
}

struct Following {
    watcher: Watcher,
    reader: Reader,
    phase: Phase,
    pending: VecDeque<Item>,
    over: Option<Fault>,
    _place: OwnedSemaphorePermit,
}

enum Phase {
    Starting,
    Running,
    Over,
}

/// `start` first, then what happens. `place` is given back when the stream goes.
pub fn events(
    watcher: Watcher,
    reader: Reader,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<WatchDirResponse, ConnectError>> + Send + 'static {
    let following =
        Following { watcher, reader, phase: Phase::Starting, pending: VecDeque::new(), over: None, _place: place };
    futures_util::stream::unfold(following, |mut following| async move {
        let event = match following.phase {
            Phase::Starting => Ok(StartEvent::default().into()),
            Phase::Running => following.next().await,
            Phase::Over => return None,
        };
        following.phase = if event.is_ok() { Phase::Running } else { Phase::Over };
        let response = event.map(|event| WatchDirResponse { event: Some(event), ..WatchDirResponse::default() });
        Some((response.map_err(ConnectError::from), following))
    })
}

impl Following {
    async fn next(&mut self) -> Outcome<Event> {
        loop {
            // Asked each time, because where enough happens there is never anything to wait for.
            let left = self.reader.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Fault::new(Kind::DeadlineExceeded, "the time for watching is over"));
            }
            match self.pending.pop_front() {
                Some(Item::Event(event)) => return Ok(event.into()),
                Some(Item::Overflow) if self.reader.extensions => return Ok(OverflowEvent::default().into()),
                Some(Item::Overflow) => return Err(overflow()),
                None => {}
            }
            if let Some(fault) = self.over.take() {
                return Err(fault);
            }
            let pause = left.map_or(self.reader.keepalive, |left| left.min(self.reader.keepalive));
            match timeout(pause, self.watcher.ready()).await {
                Ok(ready) => ready?,
                Err(_) if left == Some(pause) => continue,
                Err(_) => return Ok(KeepAlive::default().into()),
            }
            let news = self.watcher.take().await?;
            self.pending.extend(news.items);
            self.over = news.over;
        }
    }
}

/// What a client gets that would not understand the event.
pub fn overflow() -> Fault {
    Fault::new(Kind::DataLoss, "path: more happened than could be told; list the directory to see what it is now")
}
