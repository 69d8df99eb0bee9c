//! One process as the rest of envd sees it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use super::flag::Flag;
use super::input::{Input, ended};
use super::output::Output;
use super::parts::About;
use crate::fault::{Fault, Outcome};
use crate::lock::lock;
use crate::proto::process::process_event::EndEvent;
use crate::proto::process::{ProcessConfig, ProcessInfo};

/// What a record takes up besides what its config points to.
const RECORD_BYTES: usize = 1024;

/// Stays when the process has ended, for as long as somebody may ask for it.
pub struct Process {
    pub pid: u32,
    pub about: About,
    pub input: Input,
    pub output: Arc<Output>,
    /// False as soon as it may have been reaped. Held while signalling, because after the reap the number may be someone
    /// else's.
    alive: Mutex<bool>,
    exited: Arc<Flag>,
    end: OnceLock<EndEvent>,
}

impl Process {
    /// `exited` is the flag that `input` watches.
    pub fn new(pid: u32, about: About, input: Input, output: Arc<Output>, exited: Arc<Flag>) -> Self {
        Self { pid, about, input, output, alive: Mutex::new(true), exited, end: OnceLock::new() }
    }

    /// Whether its pid is surely its own: false as soon as it may have been reaped, which is before its output has
    /// ended.
    pub fn is_alive(&self) -> bool {
        *lock(&self.alive)
    }

    /// What an E2B client is told, and with `extensions` the rest.
    pub fn info(&self, extensions: bool) -> ProcessInfo {
        let info = ProcessInfo {
            config: self.about.config.clone().into(),
            pid: self.pid,
            tag: self.about.tag.clone(),
            ..ProcessInfo::default()
        };
        if !extensions {
            return info;
        }
        ProcessInfo {
            pty: self.input.has_terminal(),
            started_at: buffa_types::google::protobuf::Timestamp::from(self.about.started_at).into(),
            end: self.end.get().cloned().into(),
            adopted: self.about.adopted,
            ..info
        }
    }

    /// Signals the whole process group.
    pub fn signal(&self, signal: i32) -> Outcome<()> {
        let alive = lock(&self.alive);
        if !*alive {
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

    /// From here on its number is not used any more.
    pub fn let_go(&self) {
        *lock(&self.alive) = false;
    }

    /// Tells everyone who waits for it that it has ended, and those who ask how.
    pub fn set_exited(&self, end: Option<EndEvent>) {
        if let Some(end) = end {
            self.end.get_or_init(|| end);
        }
        self.exited.set();
    }

    /// The bytes of memory that are kept for its record; its output comes on top.
    pub fn record_bytes(&self) -> usize {
        RECORD_BYTES + config_bytes(&self.about.config) + self.about.tag.as_ref().map_or(0, String::len)
    }
}

fn config_bytes(config: &ProcessConfig) -> usize {
    let args: usize = config.args.iter().map(|arg| arg.len() + size_of::<String>()).sum();
    let envs: usize = config.envs.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>()).sum();
    config.cmd.len() + args + envs + config.cwd.as_ref().map_or(0, String::len)
}

/// A process that is none.
#[cfg(test)]
pub fn sample(pid: u32, tag: &str) -> Arc<Process> {
    let exited = Arc::new(Flag::default());
    let started_at = std::time::SystemTime::UNIX_EPOCH;
    let about = About { config: ProcessConfig::default(), tag: Some(tag.into()), started_at, adopted: false };
    let output = Arc::new(Output::new(Default::default(), None, Arc::default()));
    Arc::new(Process::new(pid, about, Input::new(None, None, Arc::clone(&exited)), output, exited))
}
