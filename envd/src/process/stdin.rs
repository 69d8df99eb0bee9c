//! Input of a process. A write waits for the process without holding up anyone but its own request.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, watch};

use super::pump::until_set;
use crate::fault::{Fault, Kind, Outcome};

/// How long the end of a process may take to show after its stdin was closed.
const END_SHOWS: Duration = Duration::from_millis(200);

/// The writing end; writes are in the order of their requests.
pub struct Stdin {
    pipe: Mutex<Option<pipe::Sender>>,
    exited: watch::Receiver<bool>,
}

impl Stdin {
    pub fn new(pipe: Option<pipe::Sender>, exited: watch::Receiver<bool>) -> Self {
        Self { pipe: Mutex::new(pipe), exited }
    }

    /// Returns when the process's pipe has taken all bytes.
    pub async fn write(&self, bytes: &[u8]) -> Outcome<()> {
        self.until_exit(async {
            let mut pipe = self.pipe.lock().await;
            let open = pipe.as_mut().ok_or_else(closed)?;
            if open.write_all(bytes).await.is_ok() {
                return Ok(());
            }
            *pipe = None;
            // The end of a process closes its stdin before it can be seen as ended: this tells the two apart.
            tokio::time::sleep(END_SHOWS).await;
            Err(closed())
        })
        .await
    }

    /// End of file, after the writes before it.
    pub async fn close(&self) -> Outcome<()> {
        self.until_exit(async { self.pipe.lock().await.take().map(drop).ok_or_else(closed) }).await
    }

    async fn until_exit(&self, work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
        let mut exited = self.exited.clone();
        tokio::select! {
            outcome = work => outcome,
            () = until_set(&mut exited) => Err(ended()),
        }
    }
}

pub fn ended() -> Fault {
    Fault::new(Kind::NotFound, "process: has ended")
}

fn closed() -> Fault {
    Fault::new(Kind::FailedPrecondition, "process: stdin is closed")
}
