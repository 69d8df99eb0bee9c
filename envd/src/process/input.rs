//! What is sent to a process: input, resizes and signals, which take effect in the order in which they came. A write
//! waits for the process without holding up anyone but its own request and the writes behind it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::coop::consume_budget;

use super::channel::Channel;
use super::flag::Flag;
use super::terminal::{Size, resize};
use crate::fault::{Fault, Kind, Outcome};
use crate::proto::process::process_input::Input as Bytes;

/// How long the end of a process may take to show after its stdin was closed.
const END_SHOWS: Duration = Duration::from_millis(200);

/// The way into one process. Input that waits here when the process ends fails at once.
pub struct Input {
    /// Of a process that has one; it takes the place of stdin. The process's supervisor holds it open.
    terminal: Option<Weak<Channel>>,
    /// Stdin while it is open. Whoever holds it has its turn. The lock is fair: turns come in the order in which they
    /// were asked for.
    turn: Mutex<Option<Channel>>,
    /// Whether the one whose turn it is waits for the process to take input.
    blocked: Flag,
    exited: Arc<Flag>,
}

impl Input {
    /// `stdin` is nothing when it is closed or was never open. The terminal is not kept open by this. `exited` is set
    /// when the process has ended.
    pub fn new(stdin: Option<Channel>, terminal: Option<&Arc<Channel>>, exited: Arc<Flag>) -> Self {
        let terminal = terminal.map(Arc::downgrade);
        Self { terminal, turn: Mutex::new(stdin), blocked: Flag::default(), exited }
    }

    /// Whether the process was started with a terminal, be that closed by now or not.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// Returns when the process's pipe or terminal has taken all bytes. Dropped before that, some of the first ones may
    /// have been taken, and no more will be.
    pub async fn write(&self, input: &Bytes) -> Outcome<()> {
        self.check_running()?;
        let (terminal, bytes) = match (&self.terminal, input) {
            (None, Bytes::Stdin(bytes)) => (None, bytes),
            (Some(terminal), Bytes::Pty(bytes)) => (Some(terminal.upgrade().ok_or_else(ended)?), bytes),
            (None, Bytes::Pty(_)) => return Err(precondition("input.pty: the process has no terminal")),
            (Some(_), Bytes::Stdin(_)) => return Err(precondition("input.stdin: the process has a terminal instead")),
        };
        self.until_exit(async {
            let mut stdin = self.turn.lock().await;
            let channel = terminal.as_deref().or(stdin.as_ref()).ok_or_else(closed)?;
            if self.write_all(channel, bytes).await.is_ok() {
                return Ok(());
            }
            *stdin = None;
            drop(stdin);
            // The end of a process closes its stdin before it can be seen as ended: this tells the two apart.
            tokio::time::sleep(END_SHOWS).await;
            Err(closed())
        })
        .await
    }

    /// End of file, after the writes before it.
    pub async fn close(&self) -> Outcome<()> {
        self.check_running()?;
        if self.has_terminal() {
            return Err(precondition("process: has a terminal, whose end of file is the byte 4"));
        }
        self.until_exit(async { self.turn.lock().await.take().map(drop).ok_or_else(closed) }).await
    }

    /// Gives the terminal another size, when it is its turn.
    pub async fn resize(&self, size: Size) -> Outcome<()> {
        self.check_running()?;
        let terminal = self.terminal.as_ref().ok_or_else(|| precondition("pty: the process has no terminal"))?;
        let terminal = terminal.upgrade().ok_or_else(ended)?;
        let resize = || resize(&*terminal, size).map_err(|error| Fault::io("pty.size", &error));
        self.until_exit(self.in_turn(resize)).await
    }

    /// Closes stdin of a process that has ended.
    pub async fn release(&self) {
        self.turn.lock().await.take();
    }

    /// Does it after what came before, but does not wait for a process that takes no input: a process that is stuck
    /// can be signalled, and a terminal whose program has stopped reading still changes its size.
    pub async fn in_turn<T>(&self, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let _turn = tokio::select! {
            biased;
            turn = self.turn.lock() => Some(turn),
            () = self.blocked.until_set() => None,
        };
        act()
    }

    fn check_running(&self) -> Outcome<()> {
        if self.exited.is_set() { Err(ended()) } else { Ok(()) }
    }

    async fn write_all(&self, channel: &Channel, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            consume_budget().await;
            let written = match channel.write_now(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let _blocked = Blocked::new(&self.blocked);
                    channel.write(bytes).await?
                }
                written => written?,
            };
            bytes = &bytes[written..];
        }
        Ok(())
    }

    async fn until_exit(&self, work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
        tokio::select! {
            biased;
            () = self.exited.until_set() => Err(ended()),
            outcome = work => outcome,
        }
    }
}

/// Says while it lives that the process takes no input.
struct Blocked<'a>(&'a Flag);

impl<'a> Blocked<'a> {
    fn new(flag: &'a Flag) -> Self {
        flag.set();
        Self(flag)
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.unset();
    }
}

/// What is answered to whoever wants something of a process that has ended: `NotFound`.
pub fn ended() -> Fault {
    Fault::new(Kind::NotFound, "process: has ended")
}

fn closed() -> Fault {
    precondition("process: its input is closed")
}

fn precondition(message: &str) -> Fault {
    Fault::new(Kind::FailedPrecondition, message)
}

#[cfg(test)]
mod tests;
