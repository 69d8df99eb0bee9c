//! The task that owns a process: starts it, bounds its time, reaps it, takes it out of the table and sends the
//! one last event after all output. It belongs to no client, so a client that leaves changes nothing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::exit::end_event;
use super::launch::{Launched, launch};
use super::output::{Event, Source, Subscription};
use super::pump::{discard, pump};
use super::record::Process;
use super::request::Plan;
use super::stdin::Stdin;
use super::table::{TERM_GRACE, Table};
use crate::fault::{Fault, Kind, Outcome};
use crate::users::blocking;

/// A started process and its first follower.
pub type Started = (Arc<Process>, Subscription);

/// Starts the process of `make` in a task of its own and answers as soon as it runs. `make` may block.
pub async fn start<F>(table: Arc<Table>, make: F, deadline: Option<Instant>) -> Outcome<Started>
where
    F: FnOnce() -> Outcome<Plan> + Send + 'static,
{
    let (answer, started) = oneshot::channel();
    tokio::spawn(async move {
        match spawn(make).await {
            Ok(spawned) => run(table, spawned, deadline, answer).await,
            // A caller that is gone needs no error.
            Err(fault) => drop(answer.send(Err(fault))),
        }
    });
    started.await.unwrap_or_else(|_| Err(Fault::internal("process: could not be started")))
}

struct Spawned {
    process: Arc<Process>,
    ended: AsyncFd<OwnedFd>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    exited: watch::Receiver<bool>,
}

async fn spawn<F>(make: F) -> Outcome<Spawned>
where
    F: FnOnce() -> Outcome<Plan> + Send + 'static,
{
    let (plan, launched) = blocking(move || {
        let plan = make()?;
        let launched = launch(&plan)?;
        Ok((plan, launched))
    })
    .await?;
    adopt(plan, launched)
}

fn adopt(plan: Plan, launched: Launched) -> Outcome<Spawned> {
    let Launched { mut child, pidfd } = launched;
    let pipes = || -> std::io::Result<_> {
        let missing = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().map(|pipe| pipe::Sender::from_owned_fd(pipe.into())).transpose()?;
        let stdout = pipe::Receiver::from_owned_fd(child.stdout.take().ok_or_else(missing)?.into())?;
        let stderr = pipe::Receiver::from_owned_fd(child.stderr.take().ok_or_else(missing)?.into())?;
        // SAFETY: the AsyncFd owns the only handle of the descriptor, which stays open and the same until its end.
        let ended = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
        Ok((stdin, stdout, stderr, ended))
    };
    let (stdin, stdout, stderr, ended) = match { pipes }() {
        Ok(pipes) => pipes,
        Err(error) => {
            let _dead = child.kill().and_then(|()| child.wait());
            return Err(Fault::io("process pipes", &error));
        }
    };
    let (sender, exited) = watch::channel(false);
    let stdin = Stdin::new(stdin, exited.clone());
    let process = Arc::new(Process::new(child, plan.config, plan.tag, stdin, sender));
    Ok(Spawned { process, ended, stdout, stderr, exited })
}

async fn run(
    table: Arc<Table>,
    spawned: Spawned,
    deadline: Option<Instant>,
    answer: oneshot::Sender<Outcome<Started>>,
) {
    let Spawned { process, ended, stdout, stderr, exited } = spawned;
    let key = table.insert(Arc::clone(&process));
    // Before the first read, so that the follower misses nothing; one that is gone already is no follower.
    if let Some(subscription) = process.output.subscribe() {
        drop(answer.send(Ok((Arc::clone(&process), subscription))));
    }
    let life = async {
        let timed_out = live(&process, &ended, deadline).await;
        (timed_out, process.reap())
    };
    let ((timed_out, status), out, err) = tokio::join!(
        life,
        pump(stdout, Source::Stdout, &process.output, exited.clone()),
        pump(stderr, Source::Stderr, &process.output, exited),
    );
    for pipe in [out, err].into_iter().flatten() {
        tokio::spawn(discard(pipe));
    }
    let last = match status {
        _ if timed_out => Event::Failed(Fault::new(Kind::DeadlineExceeded, "process: ended because its time was up")),
        Ok(status) => Event::End(end_event(status)),
        Err(error) => Event::Failed(Fault::io("wait", &error)),
    };
    table.remove(&key);
    process.output.finish(last).await;
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
