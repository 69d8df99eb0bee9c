//! One process as the rest of envd sees it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Mutex;

use tokio::sync::watch;

use super::output::Output;
use super::stdin::{Stdin, ended};
use crate::fault::{Fault, Outcome};
use crate::lock::lock;
use crate::proto::process::{ProcessConfig, ProcessInfo};

pub struct Process {
    pub pid: u32,
    pub config: ProcessConfig,
    pub tag: Option<String>,
    pub stdin: Stdin,
    pub output: Output,
    /// `None` once reaped. Held while signalling, because after the reap the number may be someone else's.
    child: Mutex<Option<Child>>,
    exited: watch::Sender<bool>,
}

impl Process {
    pub fn new(
        child: Child,
        config: ProcessConfig,
        tag: Option<String>,
        stdin: Stdin,
        exited: watch::Sender<bool>,
    ) -> Self {
        Self { pid: child.id(), config, tag, stdin, output: Output::default(), child: Mutex::new(Some(child)), exited }
    }

    pub fn is_alive(&self) -> bool {
        lock(&self.child).is_some()
    }

    pub fn info(&self) -> ProcessInfo {
        ProcessInfo {
            config: self.config.clone().into(),
            pid: self.pid,
            tag: self.tag.clone(),
            ..ProcessInfo::default()
        }
    }

    /// Signals the whole process group.
    pub fn signal(&self, signal: i32) -> Outcome<()> {
        let child = lock(&self.child);
        if child.is_none() {
            return Err(ended());
        }
        let Ok(group) = i32::try_from(self.pid) else {
            return Err(Fault::internal("process: pid out of range"));
        };
        // SAFETY: the call takes numbers only. The leader is not reaped while the lock is held, so the number
        // still names the group that it founded.
        if unsafe { libc::kill(-group, signal) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINVAL) => Err(Fault::invalid(format!("signal: {signal} is not a signal"))),
            Some(libc::ESRCH) => Err(ended()),
            _ => Err(Fault::io("signal", &error)),
        }
    }

    /// Collects the exit status of a process that has ended, and tells everyone who waits for that.
    pub fn reap(&self) -> io::Result<ExitStatus> {
        let status = match lock(&self.child).take() {
            Some(mut child) => child.wait(),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        self.exited.send_replace(true);
        status
    }
}
