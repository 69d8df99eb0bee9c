//! Starts the compiled agent on a free port and ends it with everything it started.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

pub const TOKEN: &str = "boot-token";

pub struct Agent {
    child: Child,
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
        let digest = hex(&Sha256::digest(TOKEN));
        let mut child = binary()
            .args(["--listen", "127.0.0.1:0", "--token-sha256", &digest])
            // Must not reach the processes that the agent starts.
            .env("LEAKED_FROM_AGENT", "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("agent");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("line");
        let address = line.trim().strip_prefix("listening on ").expect("address").parse().expect("address");
        Self { child, address }
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

    pub fn terminate(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), libc::SIGTERM);
        self.child.wait().expect("ended")
    }
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
