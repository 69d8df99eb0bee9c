//! The holder's loop: one thread that sleeps until a signal or a message comes.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Instant;

use super::life::{Life, pause};
use super::memory;
use super::message::{Role, ToHolder};
use super::signals::Signals;
use super::store::Store;
use super::wait::{self, Who};
use crate::log;

/// Keeps an agent running behind this listener, with these arguments, until told to stop.
pub fn supervise(listener: TcpListener, args: Vec<String>) -> io::Result<ExitCode> {
    let signals = Signals::take()?;
    become_init()?;
    let mut supervisor = Supervisor {
        args,
        listener,
        signals,
        store: Store::default(),
        state: None,
        life: None,
        deaths: 0,
        restart: None,
        stopping: false,
    };
    supervisor.life = Some(Life::begin(&supervisor.args, &supervisor.listener, &supervisor.store)?);
    Ok(supervisor.run())
}

/// Orphans come to us also when we are not PID 1, and the name tells us from the agent, whose program is the same.
fn become_init() -> io::Result<()> {
    // SAFETY: these calls take numbers, and a string that is NUL-terminated and alive.
    let results =
        unsafe { [libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1), libc::prctl(libc::PR_SET_NAME, c"holder".as_ptr())] };
    if results == [0, 0] { Ok(()) } else { Err(io::Error::last_os_error()) }
}

struct Supervisor {
    args: Vec<String>,
    listener: TcpListener,
    signals: Signals,
    store: Store,
    /// What the agent would have the next one know.
    state: Option<OwnedFd>,
    life: Option<Life>,
    /// Lives in a row that were short.
    deaths: u32,
    /// When the next life begins, while there is none.
    restart: Option<Instant>,
    stopping: bool,
}

impl Supervisor {
    fn run(&mut self) -> ExitCode {
        loop {
            self.sleep();
            while let Some(signal) = self.signals.next() {
                match signal {
                    libc::SIGCHLD => {}
                    _ if self.stop() => return ExitCode::SUCCESS,
                    _ => {}
                }
            }
            self.hear();
            if let Some(last) = self.children() {
                return last;
            }
            if self.restart.is_some_and(|at| at <= Instant::now()) {
                self.restart = None;
                self.begin();
            }
            self.speak();
        }
    }

    /// Sleeps until there is something to do.
    fn sleep(&self) {
        let signals = libc::pollfd { fd: self.signals.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let nothing = libc::pollfd { fd: -1, events: 0, revents: 0 };
        let mut polled = [signals, self.life.as_ref().and_then(Life::interest).unwrap_or(nothing)];
        let timeout = self.restart.map_or(-1, |at| {
            // Up to the next millisecond: a wake too early would only sleep again.
            let left = at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            i32::try_from(left).unwrap_or(i32::MAX)
        });
        // A failure is a lack of memory for the moment: looking without sleeping is right then too.
        // SAFETY: the pointer and the count describe one live array.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    }

    /// Passes the order to stop on. True when nobody is there to obey it.
    fn stop(&mut self) -> bool {
        self.stopping = true;
        let Some(life) = &self.life else {
            return true;
        };
        // SAFETY: the call takes numbers only. The agent is our child and not collected, so the number is its own.
        unsafe { libc::kill(life.pid, libc::SIGTERM) };
        false
    }

    fn begin(&mut self) {
        match Life::begin(&self.args, &self.listener, &self.store) {
            Ok(life) => self.life = Some(life),
            Err(error) => {
                log::error(&format!("the agent cannot be started: {error}"));
                self.plan_restart(false);
            }
        }
    }

    fn plan_restart(&mut self, was_good: bool) {
        self.deaths = if was_good { 1 } else { self.deaths.saturating_add(1) };
        self.restart = Some(Instant::now() + pause(self.deaths));
    }

    /// Takes what the agent says.
    fn hear(&mut self) {
        while let Some(received) = self.life.as_mut().and_then(Life::receive) {
            match received {
                Ok((message, files)) => self.obey(message, files),
                Err(error) => log::error(&format!("message of the agent: {error}")),
            }
        }
    }

    fn obey(&mut self, message: ToHolder, files: Vec<OwnedFd>) {
        match message {
            ToHolder::Keep { id, pid, roles } => self.keep(id, pid, roles, files),
            ToHolder::Close { id, role } => self.store.close(id, role),
            ToHolder::Reap { id } => self.store.reap(id),
            ToHolder::Forget { id } => self.store.forget(id),
            ToHolder::State => self.replace_state(files),
            ToHolder::Serving => {
                if let Some(life) = &mut self.life {
                    life.served = true;
                }
            }
        }
    }

    fn keep(&mut self, id: u64, pid: i32, roles: Vec<Role>, files: Vec<OwnedFd>) {
        if roles.len() != files.len() || !self.store.keep(id, pid, roles.into_iter().zip(files).collect()) {
            log::error("a process was handed over without its descriptors");
        }
    }

    /// The old state held the old token.
    fn replace_state(&mut self, files: Vec<OwnedFd>) {
        let old = std::mem::replace(&mut self.state, files.into_iter().next());
        if let Some(Err(error)) = old.map(|old| memory::wipe(old.as_fd())) {
            log::error(&format!("the agent's former state cannot be wiped: {error}"));
        }
    }

    /// Looks after children that have ended. Some when the agent was the last one.
    fn children(&mut self) -> Option<ExitCode> {
        let pid = self.life.as_ref().map(|life| life.pid);
        if let Some(Ok(Some(gone))) = pid.map(|pid| wait::collect(Who::Pid(pid)))
            && let Some(last) = self.bury(ExitStatus::from_raw(gone.status))
        {
            return Some(last);
        }
        let ended = self.store.newly_ended();
        if let Some(life) = &mut self.life {
            life.tell_ended(ended);
        }
        self.sweep();
        None
    }

    /// Collects children that nobody keeps: orphans of ended processes, and what an agent started and could not hand
    /// over. Ends at the first child that must stay a zombie, because the kernel shows no child behind it.
    fn sweep(&mut self) {
        while let Ok(Some(gone)) = wait::look(Who::Any) {
            // A dying agent's processes come to us one by one, some before its own end can be seen, and the last that it
            // handed over may not have been heard of yet.
            self.hear();
            let is_agent = self.life.as_ref().is_some_and(|life| life.pid == gone.pid);
            if is_agent || self.store.claims(gone.pid) || wait::collect(Who::Pid(gone.pid)).is_err() {
                return;
            }
        }
    }

    /// The agent has died: its processes are ours now, and a new one comes. Some when it was told to stop, or never
    /// began to serve: then its end is ours.
    fn bury(&mut self, status: ExitStatus) -> Option<ExitCode> {
        // What it said at last is still in the socket.
        self.hear();
        self.store.orphan();
        let life = self.life.take()?;
        if self.stopping || (!life.served && self.deaths == 0) {
            return Some(exit_code(status));
        }
        log::error(&format!("the agent has ended ({status}) and is started again"));
        self.plan_restart(life.was_good());
        None
    }

    fn speak(&mut self) {
        let state = self.state.as_ref().map(AsFd::as_fd);
        if let Some(Err(error)) = self.life.as_mut().map(|life| life.flush(&self.store, state)) {
            log::error(&format!("message to the agent: {error}"));
        }
    }
}

/// The agent's exit code, or what a shell reports for a signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
