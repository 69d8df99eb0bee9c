//! The events of one process for one client.

use std::time::Duration;

use connectrpc::ConnectError;
use futures_util::Stream;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::output::{Item, Lost, Reader};
use super::source::Source;
use crate::extensions;
use crate::fault::{Fault, Kind as FaultKind, Outcome};
use crate::keepalive;
use crate::proto::process::process_event::data_event::Output as Piece;
use crate::proto::process::process_event::gap_event::Reason;
use crate::proto::process::process_event::{DataEvent, EndEvent, Event as Kind, GapEvent, KeepAlive, StartEvent};
use crate::proto::process::{OutputStream, ProcessEvent};

/// What the client asked of its stream.
pub struct View {
    /// Whether it understands what is not E2B's.
    pub extensions: bool,
    pub keepalive: Duration,
    /// When the stream ends, whatever the process does.
    pub deadline: Option<Instant>,
}

impl View {
    /// What the headers ask for. Without a deadline: whether the request's own counts is for the caller to say.
    pub fn requested(headers: &HeaderMap) -> Self {
        Self { extensions: extensions::wanted(headers), keepalive: keepalive::interval(headers), deadline: None }
    }
}

struct Following {
    pid: u32,
    phase: Phase,
    reader: Reader,
    view: View,
}

enum Phase {
    Starting,
    Running,
    Over,
}

/// `start` first, then the output, then the one last event.
pub fn events(
    pid: u32,
    reader: Reader,
    view: View,
) -> impl Stream<Item = Result<ProcessEvent, ConnectError>> + Send + 'static {
    let following = Following { pid, phase: Phase::Starting, reader, view };
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
                Some(Ok(event(StartEvent { pid: self.pid, ..StartEvent::default() })))
            }
            Phase::Running => Some(self.running().await.map_err(ConnectError::from)),
            Phase::Over => None,
        }
    }

    async fn running(&mut self) -> Outcome<ProcessEvent> {
        let silence = Instant::now() + self.view.keepalive;
        let deadline = self.view.deadline.filter(|deadline| *deadline < silence);
        let item = timeout_at(deadline.unwrap_or(silence), self.reader.next()).await;
        if !matches!(item, Ok(Ok(Item::Data { .. } | Item::Gap { .. }))) {
            self.phase = Phase::Over;
        }
        match item {
            Ok(item) => Ok(self.tell(item?)),
            Err(_) if deadline.is_some() => Err(Fault::new(FaultKind::DeadlineExceeded, "the stream's time was up")),
            Err(_) => {
                self.phase = Phase::Running;
                Ok(event(KeepAlive::default()))
            }
        }
    }

    fn tell(&self, item: Item) -> ProcessEvent {
        match item {
            Item::Data { source, offset, bytes } => {
                let output = Some(match source {
                    Source::Stdout => Piece::Stdout(bytes),
                    Source::Stderr => Piece::Stderr(bytes),
                    Source::Pty => Piece::Pty(bytes),
                });
                let offset = self.view.extensions.then_some(offset);
                event(DataEvent { output, offset, ..DataEvent::default() })
            }
            Item::Gap { source, from, to, reason } => gap(source, from, to, reason),
            Item::End(end) => {
                let signal = end.signal.filter(|_| self.view.extensions);
                event(EndEvent { signal, ..end })
            }
        }
    }
}

fn gap(source: Source, from: u64, to: u64, reason: Lost) -> ProcessEvent {
    let stream = match source {
        Source::Stdout => OutputStream::Stdout,
        Source::Stderr => OutputStream::Stderr,
        Source::Pty => OutputStream::Pty,
    };
    let reason = match reason {
        Lost::Overwritten => Reason::Overwritten,
        Lost::AgentRestarted => Reason::AgentRestarted,
    };
    event(GapEvent { stream: stream.into(), from, to, reason: reason.into(), ..GapEvent::default() })
}

fn event(kind: impl Into<Kind>) -> ProcessEvent {
    ProcessEvent { event: Some(kind.into()), ..ProcessEvent::default() }
}
