//! The processes that have started and not ended. Only a process's supervisor takes it out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::record::Process;
use crate::fault::{Fault, Kind, Outcome};
use crate::lock::lock;
use crate::proto::process::ProcessSelector;
use crate::proto::process::process_selector::Selector;

/// How long processes may take to end after SIGTERM, when envd stops or their time is up, before SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// Keyed by a number of our own: pids repeat, and an ended process may still be delivering its output.
pub struct Table {
    state: Mutex<State>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    next: u64,
    processes: BTreeMap<u64, Arc<Process>>,
}

/// Names one entry of the table.
pub struct Key(u64);

impl Default for Table {
    fn default() -> Self {
        Self { state: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Table {
    pub fn insert(&self, process: Arc<Process>) -> Key {
        let mut state = lock(&self.state);
        let key = state.next;
        state.next += 1;
        state.processes.insert(key, process);
        self.count.send_replace(state.processes.len());
        Key(key)
    }

    pub fn remove(&self, key: &Key) {
        let mut state = lock(&self.state);
        state.processes.remove(&key.0);
        self.count.send_replace(state.processes.len());
    }

    /// In the order of their start.
    pub fn list(&self) -> Vec<Arc<Process>> {
        let all: Vec<_> = lock(&self.state).processes.values().cloned().collect();
        all.into_iter().filter(|process| process.is_alive()).collect()
    }

    /// Tags need not be unique: the process that started last is meant.
    pub fn find(&self, selector: Option<&ProcessSelector>) -> Outcome<Arc<Process>> {
        let Some(selector) = selector.and_then(|selector| selector.selector.as_ref()) else {
            return Err(Fault::invalid("process: must select by pid or tag"));
        };
        let matches = |process: &&Arc<Process>| match selector {
            Selector::Pid(pid) => process.pid == *pid,
            Selector::Tag(tag) => process.tag.as_ref() == Some(tag),
        };
        let found = lock(&self.state).processes.values().rev().find(matches).cloned();
        found.ok_or_else(|| {
            let what = match selector {
                Selector::Pid(pid) => format!("pid {pid}"),
                Selector::Tag(tag) => format!("tag '{tag}'"),
            };
            Fault::new(Kind::NotFound, format!("process: none with {what}"))
        })
    }

    /// Ends every process: without envd nobody could follow or stop them.
    pub async fn shut_down(&self) {
        self.signal_all(libc::SIGTERM);
        let mut count = self.count.subscribe();
        let empty = count.wait_for(|count| *count == 0);
        if tokio::time::timeout(TERM_GRACE, empty).await.is_err() {
            self.signal_all(libc::SIGKILL);
        }
    }

    fn signal_all(&self, signal: i32) {
        for process in self.list() {
            // One that ended in between needs no signal.
            let _ended = process.signal(signal);
        }
    }
}
