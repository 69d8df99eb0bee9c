//! The events of one process for one client.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use connectrpc::ConnectError;
use futures_util::Stream;
use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::output::{Event, Source, Subscription};
use crate::proto::process::ProcessEvent;
use crate::proto::process::process_event::data_event::Output as Piece;
use crate::proto::process::process_event::{DataEvent, Event as Kind, KeepAlive, StartEvent};

const KEEPALIVE_HEADER: &str = "keepalive-ping-interval";
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(90);
const MAX_KEEPALIVE: Duration = Duration::from_secs(3600);

/// The pause after which a silent stream says that it lives: whole seconds in a header, 90 when there is none.
pub fn keepalive(headers: &HeaderMap) -> Duration {
    let asked = headers.get(KEEPALIVE_HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match asked {
        None | Some(0) => DEFAULT_KEEPALIVE,
        Some(seconds) => Duration::from_secs(seconds).min(MAX_KEEPALIVE),
    }
}

struct Following {
    pid: u32,
    phase: Phase,
    backlog: VecDeque<Event>,
    live: mpsc::Receiver<Event>,
    keepalive: Duration,
}

enum Phase {
    Starting,
    Running,
    Over,
}

/// `start` first, then the output, then the one last event.
pub fn events(
    pid: u32,
    subscription: Subscription,
    keepalive: Duration,
) -> impl Stream<Item = Result<ProcessEvent, ConnectError>> + Send + 'static {
    let following =
        Following { pid, phase: Phase::Starting, backlog: subscription.backlog, live: subscription.live, keepalive };
    futures_util::stream::unfold(following, |mut following| async move {
        let item = following.next().await?;
        Some((item, following))
    })
}

impl Following {
    async fn next(&mut self) -> Option<Result<ProcessEvent, ConnectError>> {
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Running;
                let start = StartEvent { pid: self.pid, ..StartEvent::default() };
                Some(Ok(event(start)))
            }
            Phase::Running => Some(self.running().await),
            Phase::Over => None,
        }
    }

    async fn running(&mut self) -> Result<ProcessEvent, ConnectError> {
        let next = match self.backlog.pop_front() {
            Some(event) => Some(event),
            None => match timeout(self.keepalive, self.live.recv()).await {
                Ok(next) => next,
                Err(_) => return Ok(event(KeepAlive::default())),
            },
        };
        match next {
            Some(Event::Data(source, bytes)) => Ok(data(source, bytes)),
            Some(Event::End(end)) => {
                self.phase = Phase::Over;
                Ok(event(end))
            }
            Some(Event::Failed(fault)) => {
                self.phase = Phase::Over;
                Err(fault.into())
            }
            None => {
                self.phase = Phase::Over;
                Err(ConnectError::internal("process: its events broke off"))
            }
        }
    }
}

fn event(kind: impl Into<Kind>) -> ProcessEvent {
    ProcessEvent { event: Some(kind.into()), ..ProcessEvent::default() }
}

fn data(source: Source, bytes: Bytes) -> ProcessEvent {
    // Without a copy when no other follower holds the same bytes.
    let bytes = Vec::from(bytes);
    let piece = match source {
        Source::Stdout => Piece::Stdout(bytes),
        Source::Stderr => Piece::Stderr(bytes),
    };
    event(DataEvent { output: Some(piece), ..DataEvent::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keepalive_interval_is_the_clients_within_reason() {
        let ask = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(KEEPALIVE_HEADER, http::HeaderValue::from_static(value));
            keepalive(&headers).as_secs()
        };
        assert_eq!(keepalive(&HeaderMap::new()), DEFAULT_KEEPALIVE);
        assert_eq!((ask("50"), ask("0"), ask("soon"), ask("99999999")), (50, 90, 90, 3600));
    }
}
