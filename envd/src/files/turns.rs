//! How many transfers there may be at a time: each holds some memory. Others wait for their turn.

use std::sync::Arc;

use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::signature::Operation;
use crate::fault::{Fault, Outcome};
use crate::lasting::Lasting;
use crate::reply::Reply;

const MAX_TRANSFERS: usize = 32;

/// Downloads and uploads have turns of their own: a client that makes one from the other would wait for itself.
pub struct Turns {
    down: Arc<Semaphore>,
    up: Arc<Semaphore>,
}

/// One transfer; its place is free again when this is dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        let semaphore = || Arc::new(Semaphore::new(MAX_TRANSFERS));
        Self { down: semaphore(), up: semaphore() }
    }
}

impl Turns {
    /// Waits until there is a place for the operation. Whoever waits longest is next.
    pub async fn take(&self, operation: Operation) -> Outcome<Turn> {
        let semaphore = match operation {
            Operation::Read => &self.down,
            Operation::Write => &self.up,
        };
        let permit = Arc::clone(semaphore).acquire_owned().await;
        permit.map(|permit| Turn { _permit: permit }).map_err(|_| Fault::internal("no transfers are taken any more"))
    }
}

impl Turn {
    /// Lasts until the answer has been sent or dropped.
    pub fn last_for(self, reply: Reply) -> Reply {
        reply.map(|body| Lasting::new(body, self).boxed_unsync())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http::StatusCode;

    use super::*;
    use crate::reply;

    #[test]
    fn a_turn_lasts_as_long_as_its_answer_and_each_way_has_its_own() {
        let turns = Turns::default();
        let take = |operation| turns.take(operation).now_or_never().map(|turn| turn.expect("open"));
        let taken: Vec<_> = std::iter::from_fn(|| take(Operation::Read)).collect();
        assert_eq!(taken.len(), MAX_TRANSFERS);
        assert!(take(Operation::Write).is_some());
        let mut answers: Vec<_> = taken.into_iter().map(|turn| turn.last_for(reply::empty(StatusCode::OK))).collect();
        assert!(take(Operation::Read).is_none());
        answers.pop();
        assert!(take(Operation::Read).is_some());
    }
}
