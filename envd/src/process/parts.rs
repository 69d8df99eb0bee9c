//! What a running process is made of, whoever started it.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::output::{Position, Progress};
use super::source::PerSource;
use crate::fault::Outcome;
use crate::holder::Kept;
use crate::proto::process::ProcessConfig;

/// Collects the exit status of a process that has ended, after which its pid may become another's.
pub type Reap = Box<dyn FnOnce() -> Reaping + Send>;
/// The collecting, under way: ends with the exit status, or a fault when that cannot be known.
pub type Reaping = Pin<Box<dyn Future<Output = Outcome<ExitStatus>> + Send>>;

/// What clients are told about it.
#[derive(Debug)]
pub struct About {
    pub config: ProcessConfig,
    pub tag: Option<String>,
    pub started_at: SystemTime,
    /// Another envd started it, which is dead.
    pub adopted: bool,
}

/// envd's ends of what connects it to the process.
pub enum Streams {
    /// Each is `None` when it has been closed, or never was open.
    Pipes { stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd> },
    /// The master.
    Terminal(OwnedFd),
}

/// A process that is not reaped yet, in a session and process group of its own.
pub struct Parts {
    pub pid: u32,
    /// Becomes readable when it has ended.
    pub pidfd: OwnedFd,
    pub reap: Reap,
    pub streams: Streams,
    pub about: About,
    /// Its pid may be another's already. Of an adopted process only.
    pub has_ended: bool,
    /// When its time is up.
    pub deadline: Option<Instant>,
    /// Where its output stands.
    pub from: PerSource<Position>,
    pub progress: Option<Arc<dyn Progress>>,
    /// What the holder has of it.
    pub kept: Option<Arc<Kept>>,
}
