//! The task that owns a process: starts it, bounds its time, reaps it and says that it has ended after all output.
//! It belongs to no client, so a client that leaves changes nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::channel::Channel;
use super::exit::end_event;
use super::flag::Flag;
use super::input::Input;
use super::launch::launch;
use super::output::{Budget, Last, Output, Reader};
use super::parts::{Parts, Reap, Streams};
use super::pump::{discard, pump};
use super::record::Process;
use super::request::Plan;
use super::source::Source;
use super::table::{TERM_GRACE, Table};
use crate::fault::{Fault, Outcome};
use crate::holder::{Kept, Role};
use crate::users::blocking;

/// A started process and the reader that it waits for.
pub type Started = (Arc<Process>, Reader);

/// Starts the process of `make` in a task of its own and answers as soon as it runs. `make` may block.
pub async fn start<F>(table: Arc<Table>, make: F, deadline: Option<Instant>) -> Outcome<Started>
where
    F: FnOnce() -> Outcome<Plan> + Send + 'static,
{
    let (answer, started) = oneshot::channel();
    tokio::spawn(async move {
        let starts = Arc::clone(&table);
        let launched = blocking(move || {
            starts.check_room()?;
            let parts = Parts { deadline, ..launch(make()?)? };
            // At once: until then the process is lost with the agent.
            Ok(starts.hand_over(parts))
        });
        let life = match launched.await {
            Ok(parts) => take_in(parts, &table.budget).await,
            Err(fault) => Err(fault),
        };
        match life {
            Ok(life) => {
                // Before the first read, so that the reader misses nothing; one that is gone already is none.
                let reader = life.process.output.start();
                let key = table.insert(Arc::clone(&life.process));
                drop(answer.send(Ok((Arc::clone(&life.process), reader))));
                table.retire(&key, life.run().await);
            }
            // A caller that is gone needs no error.
            Err(fault) => drop(answer.send(Err(fault))),
        }
    });
    started.await.unwrap_or_else(|_| Err(Fault::internal("process: could not be started")))
}

/// Takes over a process that runs already.
pub async fn adopt(table: Arc<Table>, parts: Parts) -> Outcome<()> {
    let has_ended = parts.has_ended;
    let life = take_in(parts, &table.budget).await?;
    if has_ended {
        life.process.let_go();
    }
    let key = table.insert(Arc::clone(&life.process));
    tokio::spawn(async move {
        table.retire(&key, life.run().await);
    });
    Ok(())
}

/// Everything that ends with the process.
struct Life {
    process: Arc<Process>,
    ended: AsyncFd<OwnedFd>,
    reap: Reap,
    deadline: Option<Instant>,
    outputs: Vec<(Source, Arc<Channel>)>,
    exited: Arc<Flag>,
    kept: Option<Arc<Kept>>,
}

/// Brings the descriptors onto the event loop. A process for which that fails is ended.
async fn take_in(parts: Parts, budget: &Arc<Budget>) -> Outcome<Life> {
    let Parts { pid, pidfd, reap, streams, about, has_ended, deadline, from, progress, kept } = parts;
    let ends = match Ends::register(streams, pidfd, kept.as_ref()) {
        Ok(ends) => ends,
        Err(error) if has_ended => return Err(Fault::io("process descriptors", &error)),
        Err(error) => {
            // SAFETY: the call takes numbers only. The process is not reaped, so the number is that of its group.
            unsafe { libc::kill(-pid.cast_signed(), libc::SIGKILL) };
            let _unused = reap().await;
            return Err(Fault::io("process descriptors", &error));
        }
    };
    let exited = Arc::new(Flag::default());
    let input = Input::new(ends.stdin, ends.terminal.as_ref(), Arc::clone(&exited));
    let output = Arc::new(Output::new(from, progress, Arc::clone(budget)));
    let process = Arc::new(Process::new(pid, about, input, output, Arc::clone(&exited)));
    Ok(Life { process, ended: ends.ended, reap, deadline, outputs: ends.outputs, exited, kept })
}

struct Ends {
    ended: AsyncFd<OwnedFd>,
    stdin: Option<Channel>,
    terminal: Option<Arc<Channel>>,
    outputs: Vec<(Source, Arc<Channel>)>,
}

impl Ends {
    fn register(streams: Streams, pidfd: OwnedFd, kept: Option<&Arc<Kept>>) -> io::Result<Self> {
        let kept = |role| kept.map(|kept| kept.file(role));
        // SAFETY: the AsyncFd owns the only handle of the descriptor, which stays open and the same until its end.
        let ended = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
        match streams {
            Streams::Terminal(master) => {
                let terminal = Arc::new(Channel::both(master, kept(Role::Pty))?);
                let outputs = vec![(Source::Pty, Arc::clone(&terminal))];
                Ok(Self { ended, stdin: None, terminal: Some(terminal), outputs })
            }
            Streams::Pipes { stdin, stdout, stderr } => {
                let stdin = stdin.map(|pipe| Channel::writing(pipe, kept(Role::Stdin))).transpose()?;
                let mut outputs = Vec::new();
                for (source, role, pipe) in
                    [(Source::Stdout, Role::Stdout, stdout), (Source::Stderr, Role::Stderr, stderr)]
                {
                    if let Some(pipe) = pipe {
                        outputs.push((source, Arc::new(Channel::reading(pipe, kept(role))?)));
                    }
                }
                Ok(Self { ended, stdin, terminal: None, outputs })
            }
        }
    }
}

impl Life {
    /// Until the process has ended and all its output has been taken in. What the holder still has of it is returned.
    async fn run(self) -> Option<Arc<Kept>> {
        let Self { process, ended, reap, deadline, outputs, exited, kept } = self;
        let life = async {
            let timed_out = live(&process, &ended, deadline).await;
            process.let_go();
            let status = reap().await;
            let end = status.map(end_event);
            process.set_exited(end.as_ref().ok().cloned());
            process.input.release().await;
            Last { end, timed_out }
        };
        let pumps = outputs.iter().map(|(source, channel)| pump(channel, *source, &process.output, &exited));
        let (last, held) = tokio::join!(life, join_all(pumps));
        for ((_, channel), held) in outputs.into_iter().zip(held) {
            if held {
                tokio::spawn(discard(channel));
            }
        }
        process.output.finish(last);
        kept
    }
}

/// Waits for the process to end, and ends its group when its time is up. True when that was needed. The process
/// is not reaped yet on return, so its group id is still its own.
async fn live(process: &Process, ended: &AsyncFd<OwnedFd>, deadline: Option<Instant>) -> bool {
    let Some(deadline) = deadline else {
        let _ready = ended.readable().await;
        return false;
    };
    if timeout_at(deadline, ended.readable()).await.is_ok() {
        return false;
    }
    let _ended = process.signal(libc::SIGTERM);
    let _elapsed = timeout(TERM_GRACE, ended.readable()).await;
    // Also when the leader is gone: its children may have ignored SIGTERM.
    let _ended = process.signal(libc::SIGKILL);
    let _ready = ended.readable().await;
    true
}
