//! The processes that have started: those that run, and for a while those that have ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::keeping::{Keeper, take_over};
use super::output::Budget;
use super::parts::Parts;
use super::record::Process;
use super::retained::Retained;
use super::supervisor;
use crate::fault::{Fault, Kind, Outcome};
use crate::holder::{Adopted, Kept};
use crate::lock::lock;
use crate::log;
use crate::proto::process::ProcessSelector;
use crate::proto::process::process_selector::Selector;

/// Processes that run at a time. Each costs the agent descriptors and memory.
const MAX_RUNNING: usize = 1024;

/// How long processes may take to end after SIGTERM, when envd stops or their time is up, before SIGKILL.
pub const TERM_GRACE: Duration = Duration::from_secs(2);

/// All processes of this agent, those that it adopted too.
pub struct Table {
    state: Mutex<State>,
    count: watch::Sender<usize>,
    /// Nobody, where no holder is.
    keeper: Option<Keeper>,
    /// For the output of all of them.
    pub budget: Arc<Budget>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Until their last output is taken in. Keyed by a number of our own: pids repeat.
    running: BTreeMap<u64, Arc<Process>>,
    ended: Retained,
}

/// Names one entry of the table.
pub struct Key(u64);

impl Table {
    /// An empty table. Without a keeper its processes are lost with the agent.
    pub fn new(keeper: Option<Keeper>) -> Self {
        Self { state: Mutex::default(), count: watch::Sender::new(0), keeper, budget: Arc::default() }
    }

    /// Goes on with the processes of an agent that has died. One for which that fails is lost, and said so.
    pub async fn adopt(self: &Arc<Self>, processes: Vec<Adopted>) {
        for process in processes {
            let outcome = match take_over(process) {
                Ok(parts) => supervisor::adopt(Arc::clone(self), parts).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = outcome {
                log::error(&format!("a process of the last agent is lost: {}", fault.message));
            }
        }
    }

    /// Has a process outlive this agent, where that is possible. Blocks.
    pub fn hand_over(&self, parts: Parts) -> Parts {
        match &self.keeper {
            Some(keeper) => keeper.hand_over(parts),
            None => parts,
        }
    }

    /// Refuses one more when there are enough.
    pub fn check_room(&self) -> Outcome<()> {
        if lock(&self.state).running.len() < MAX_RUNNING {
            return Ok(());
        }
        Err(Fault::new(Kind::TooMany, format!("process: {MAX_RUNNING} run already, which is as many as may")))
    }

    /// Adds a process that runs, as the newest; whether there is room is for [`Self::check_room`]. It counts until it
    /// is retired.
    pub fn insert(&self, process: Arc<Process>) -> Key {
        let mut state = lock(&self.state);
        let key = state.next;
        state.next += 1;
        state.running.insert(key, process);
        self.count.send_replace(state.running.len());
        Key(key)
    }

    /// Of a process that has ended, by its supervisor.
    pub fn retire(&self, key: &Key, kept: Option<Arc<Kept>>) {
        if let (Some(keeper), Some(kept)) = (&self.keeper, kept) {
            keeper.remember(kept);
        }
        let mut state = lock(&self.state);
        if let Some(process) = state.running.remove(&key.0) {
            state.ended.add(Instant::now(), process);
        }
        self.count.send_replace(state.running.len());
    }

    /// Those that run, in the order of their start.
    pub fn list(&self) -> Vec<Arc<Process>> {
        let running: Vec<_> = lock(&self.state).running.values().cloned().collect();
        running.into_iter().filter(|process| process.is_alive()).collect()
    }

    /// Those that have ended and are still known, the newest first.
    pub fn list_ended(&self) -> Vec<Arc<Process>> {
        let mut state = lock(&self.state);
        let State { running, ended, .. } = &mut *state;
        let ending = running.values().rev().filter(|process| !process.is_alive());
        ending.chain(ended.newest_first(Instant::now())).cloned().collect()
    }

    /// One that runs, or else one that has ended. Neither tags nor pids are unique: the newest is meant.
    pub fn find(&self, selector: Option<&ProcessSelector>) -> Outcome<Arc<Process>> {
        let Some(selector) = selector.and_then(|selector| selector.selector.as_ref()) else {
            return Err(Fault::invalid("process: must select by pid or tag"));
        };
        let matches = |process: &&Arc<Process>| match selector {
            Selector::Pid(pid) => process.pid == *pid,
            Selector::Tag(tag) => process.about.tag.as_ref() == Some(tag),
        };
        let mut state = lock(&self.state);
        let State { running, ended, .. } = &mut *state;
        let mut found = running.values().rev().filter(matches);
        let alive = found.clone().find(|process| process.is_alive());
        let found = alive.or_else(|| found.next()).or_else(|| ended.newest_first(Instant::now()).find(matches));
        found.cloned().ok_or_else(|| {
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

#[cfg(test)]
mod tests;
