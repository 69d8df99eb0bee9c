//! Processes outlive the agent: each is handed to the holder as it starts, and an agent that takes over goes on with
//! those that it is given.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::channel::CHUNK_BYTES;
use super::output::{Position, Progress};
use super::parts::{About, Parts, Streams};
use super::source::{PerSource, Source};
use crate::fault::{Fault, Kind, Outcome};
use crate::holder::{Adopted, Holder, Kept, Record, Role, Stream};
use crate::lock::lock;
use crate::log;
use crate::proto::process::ProcessConfig;

/// Ended processes whose exit codes outlive the agent. Each costs the holder two descriptors and a page.
const MAX_ENDED: usize = 64;

/// Hands processes to the holder.
pub struct Keeper {
    holder: Arc<Holder>,
    ended: Mutex<VecDeque<Arc<Kept>>>,
}

/// What an agent that takes over must know besides the descriptors.
#[derive(Serialize, Deserialize)]
struct Description {
    config: ProcessConfig,
    tag: Option<String>,
    started_at: Duration,
    /// By the kernel's monotonic clock, which all agents of a boot share.
    deadline: Option<Duration>,
}

impl Keeper {
    /// Remembers no ended process yet.
    pub fn new(holder: Arc<Holder>) -> Self {
        Self { holder, ended: Mutex::default() }
    }

    /// Hands over a process that has just started. One that cannot be handed over runs all the same, and is lost with
    /// the agent. Blocks.
    pub fn hand_over(&self, parts: Parts) -> Parts {
        match self.keep(&parts) {
            Ok((kept, record)) => with_record(parts, kept, record),
            Err(error) => {
                log::error(&format!("a process cannot be kept: {error}"));
                parts
            }
        }
    }

    /// Keeps how a process ended, in place of the one that ended longest ago.
    pub fn remember(&self, kept: Arc<Kept>) {
        let mut ended = lock(&self.ended);
        ended.push_back(kept);
        if ended.len() > MAX_ENDED {
            ended.pop_front();
        }
    }

    fn keep(&self, parts: &Parts) -> std::io::Result<(Kept, Record)> {
        let description = Description {
            config: parts.about.config.clone(),
            tag: parts.about.tag.clone(),
            started_at: parts.about.started_at.duration_since(UNIX_EPOCH).unwrap_or_default(),
            deadline: parts.deadline.map(|deadline| monotonic() + deadline.saturating_duration_since(Instant::now())),
        };
        let mut files: Vec<(Role, BorrowedFd<'_>)> = vec![(Role::Pidfd, parts.pidfd.as_fd())];
        match &parts.streams {
            Streams::Terminal(master) => files.push((Role::Pty, master.as_fd())),
            Streams::Pipes { stdin, stdout, stderr } => {
                for (role, pipe) in [(Role::Stdin, stdin), (Role::Stdout, stdout), (Role::Stderr, stderr)] {
                    files.extend(pipe.as_ref().map(|pipe| (role, pipe.as_fd())));
                }
            }
        }
        self.holder.keep(parts.pid.cast_signed(), &description, &files)
    }
}

fn with_record(parts: Parts, kept: Kept, record: Record) -> Parts {
    let record = Arc::new(record);
    let (pid, reap, noted) = (parts.pid.cast_signed(), parts.reap, Arc::clone(&record));
    let reap = Box::new(move || {
        noted.note_end(pid);
        reap()
    });
    Parts { reap, kept: Some(Arc::new(kept)), progress: Some(record), ..parts }
}

/// Goes on with a process that an earlier agent has started.
pub fn take_over(mut adopted: Adopted) -> Outcome<Parts> {
    let description: Description = serde_json::from_slice(&adopted.description)
        .map_err(|error| Fault::internal(format!("description: {error}")))?;
    let pidfd = adopted.take(Role::Pidfd).ok_or_else(|| Fault::internal("the pidfd is missing"))?;
    let streams = match adopted.take(Role::Pty) {
        Some(master) => Streams::Terminal(master),
        None => Streams::Pipes {
            stdin: adopted.take(Role::Stdin),
            stdout: adopted.take(Role::Stdout),
            stderr: adopted.take(Role::Stderr),
        },
    };
    let Adopted { pid, record, kept, end, has_ended, .. } = adopted;
    let from = PerSource::build(|source| resume(&record, source));
    let (record, kept) = (Arc::new(record), Arc::new(kept));
    let (noted, reaped) = (Arc::clone(&record), Arc::clone(&kept));
    let status = async move {
        let status = end.wait(&noted).await;
        reaped.reap();
        status.ok_or_else(|| Fault::new(Kind::DataLoss, "process: how it ended was lost with the agent"))
    };
    Ok(Parts {
        pid: pid.cast_unsigned(),
        pidfd,
        reap: Box::new(move || Box::pin(status)),
        streams,
        about: About {
            config: description.config,
            tag: description.tag,
            started_at: UNIX_EPOCH + description.started_at,
            adopted: true,
        },
        has_ended,
        deadline: description.deadline.map(|deadline| Instant::now() + deadline.saturating_sub(monotonic())),
        from,
        progress: Some(record),
        kept: Some(kept),
    })
}

/// Where an output goes on. A read that the last agent did not live to count counts as the most that it can have taken:
/// nothing is lost without being part of a gap.
fn resume(record: &Record, source: Source) -> Position {
    let last = record.position(stream(source));
    let read = if last.uncertain { last.read + CHUNK_BYTES as u64 } else { last.read };
    record.has_read(stream(source), read);
    Position { read, sent: last.sent }
}

impl Progress for Record {
    fn reads(&self, source: Source) {
        Record::reads(self, stream(source));
    }

    fn moved(&self, source: Source, position: Position) {
        self.has_read(stream(source), position.read);
        self.has_sent(stream(source), position.sent);
    }
}

fn stream(source: Source) -> Stream {
    match source {
        Source::Stdout => Stream::Stdout,
        Source::Stderr => Stream::Stderr,
        Source::Pty => Stream::Pty,
    }
}

fn monotonic() -> Duration {
    // SAFETY: an all-zero timespec is valid; its padding differs between targets.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live timespec, which the kernel writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}
