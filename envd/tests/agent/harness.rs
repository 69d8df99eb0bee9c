//! Starts the compiled agent on a free port and ends it with everything it started.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use sha2::{Digest, Sha256};

pub const TOKEN: &str = "boot-token";

pub struct Agent {
    child: Child,
    /// One line for each life.
    lives: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_envd"));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Agent {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// An agent that is started again when it dies; the pid is its holder's.
    pub fn supervised() -> Self {
        Self::start_with(&["--supervise"])
    }

    fn start_with(options: &[&str]) -> Self {
        let digest = hex(&Sha256::digest(TOKEN));
        let mut child = binary()
            .args(["--listen", "127.0.0.1:0", "--token-sha256", &digest])
            .args(options)
            // Must not reach the processes that the agent starts.
            .env("LEAKED_FROM_AGENT", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("agent");
        let mut lives = BufReader::new(child.stdout.take().expect("stdout"));
        let address = next_life(&mut lives);
        Self { child, lives, address }
    }

    /// Kills a supervised agent, and returns when the next one serves.
    pub fn crash(&mut self) {
        signal(self.agent_pid(), libc::SIGKILL);
        assert_eq!(next_life(&mut self.lives), self.address);
    }

    /// Of the agent that a holder has started.
    pub fn agent_pid(&self) -> u32 {
        let named = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "envd");
        self.children().into_iter().find(named).expect("agent")
    }

    pub fn children(&self) -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).expect("children");
        text.split_whitespace().map(|pid| pid.parse().expect("pid")).collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that the agent has ever held.
    pub fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().expect("number")
    }

    pub fn kill(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), libc::SIGKILL);
        self.child.wait().expect("ended")
    }

    pub fn terminate(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), libc::SIGTERM);
        self.child.wait().expect("ended")
    }
}

fn next_life(lives: &mut BufReader<ChildStdout>) -> SocketAddr {
    let mut line = String::new();
    lives.read_line(&mut line).expect("line");
    line.trim().strip_prefix("listening on ").expect("address").parse().expect("address")
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
        }
    }
}

pub fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("pid");
    // SAFETY: the call takes numbers only.
    unsafe { libc::kill(pid, signal) };
}
