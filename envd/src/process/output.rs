//! What a process writes, handed to those who follow it. Every follower has a bounded queue and the process
//! waits for the slowest: no byte is dropped for a connected reader and no queue grows without limit. With
//! nobody connected the process never waits; the newest [`TAIL_BYTES`] are kept for the next follower.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::fault::Fault;
use crate::lock::lock;
use crate::proto::process::process_event::EndEvent;

/// Pieces of at most [`super::pump::CHUNK_BYTES`] that wait for a follower.
const QUEUE: usize = 8;
const TAIL_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
}

#[derive(Clone, Debug)]
pub enum Event {
    Data(Source, Bytes),
    /// The last event of all.
    End(EndEvent),
    /// Also the last event: there is no regular end to report.
    Failed(Fault),
}

/// One follower's view: first what nobody had seen, then what comes.
pub struct Subscription {
    pub backlog: VecDeque<Event>,
    pub live: mpsc::Receiver<Event>,
}

#[derive(Default)]
pub struct Output(Mutex<State>);

#[derive(Default)]
struct State {
    followers: Vec<mpsc::Sender<Event>>,
    tail: VecDeque<(Source, Bytes)>,
    tail_bytes: usize,
    closed: bool,
}

impl Output {
    /// `None` once the last event is out.
    pub fn subscribe(&self) -> Option<Subscription> {
        let mut state = lock(&self.0);
        if state.closed {
            return None;
        }
        let (sender, live) = mpsc::channel(QUEUE);
        state.followers.push(sender);
        state.tail_bytes = 0;
        let backlog = state.tail.drain(..).map(|(source, bytes)| Event::Data(source, bytes)).collect();
        Some(Subscription { backlog, live })
    }

    /// Waits until every follower has room. At once when there is none.
    pub async fn send(&self, source: Source, bytes: Bytes) {
        let followers = lock(&self.0).followers.clone();
        let mut delivered = 0;
        for follower in &followers {
            if follower.send(Event::Data(source, bytes.clone())).await.is_ok() {
                delivered += 1;
            }
        }
        if delivered == followers.len() && delivered > 0 {
            return;
        }
        let mut state = lock(&self.0);
        state.followers.retain(|follower| !follower.is_closed());
        if delivered == 0 {
            state.keep(source, bytes);
        }
    }

    /// Sends the last event and lets no further follower in. Waits for slow followers.
    pub async fn finish(&self, last: Event) {
        let followers = {
            let mut state = lock(&self.0);
            state.closed = true;
            std::mem::take(&mut state.followers)
        };
        let sends = followers.iter().map(|follower| follower.send(last.clone()));
        // A follower that went away meanwhile misses nothing that it wanted.
        let _gone = join_all(sends).await;
    }
}

impl State {
    fn keep(&mut self, source: Source, bytes: Bytes) {
        self.tail_bytes += bytes.len();
        self.tail.push_back((source, bytes));
        while self.tail_bytes > TAIL_BYTES {
            let Some((_, dropped)) = self.tail.pop_front() else {
                break;
            };
            self.tail_bytes -= dropped.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(event: Option<Event>) -> Bytes {
        match event {
            Some(Event::Data(_, bytes)) => bytes,
            other => panic!("not data: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_follower_gets_the_tail_then_the_live_events_then_the_end() {
        let output = Output::default();
        output.send(Source::Stdout, Bytes::from_static(b"early")).await;
        let mut follower = output.subscribe().expect("open");
        output.send(Source::Stderr, Bytes::from_static(b"late")).await;
        output.finish(Event::Failed(Fault::internal("over"))).await;
        assert_eq!(data(follower.backlog.pop_front()), "early");
        assert_eq!(data(follower.live.recv().await), "late");
        assert!(matches!(follower.live.recv().await, Some(Event::Failed(_))));
        assert!(follower.live.recv().await.is_none());
        assert!(output.subscribe().is_none());
    }

    #[tokio::test]
    async fn the_tail_is_bounded_and_keeps_the_newest() {
        let output = Output::default();
        for number in 0..20_u8 {
            output.send(Source::Stdout, vec![number; 16 << 10].into()).await;
        }
        let kept: Vec<u8> = output.subscribe().expect("open").backlog.into_iter().map(|e| data(Some(e))[0]).collect();
        assert_eq!(kept, [16, 17, 18, 19]);
    }

    #[tokio::test]
    async fn a_slow_follower_holds_the_process_back_and_a_lost_one_does_not() {
        let output = Output::default();
        let follower = output.subscribe().expect("open");
        for _ in 0..QUEUE {
            output.send(Source::Stdout, vec![0].into()).await;
        }
        let mut full = Box::pin(output.send(Source::Stdout, vec![1].into()));
        assert!(futures_util::poll!(&mut full).is_pending());
        drop(follower);
        full.await;
        output.send(Source::Stdout, vec![2].into()).await;
        let kept: Vec<u8> = output.subscribe().expect("open").backlog.into_iter().map(|e| data(Some(e))[0]).collect();
        assert_eq!(kept, [1, 2]);
    }
}
