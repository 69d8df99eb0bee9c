//! Host keys of OpenSSH. A clone that kept those of its source could pass for it, so each gets new ones of the same
//! types.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::replacement::Replacement;

/// Where OpenSSH looks for host keys (sshd_config(5), `HostKey`).
pub const DIRECTORY: &str = "/etc/ssh";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DAEMON_PID: &str = "/run/sshd.pid";

/// Makes new keys for those in `directory`, not yet in use. None if there are none, which is the usual case and costs
/// one look at a directory. Keys that cannot be made anew are an error: one that is shared is worse than none.
pub fn prepare(directory: &Path, hostname: &str) -> io::Result<Vec<(Replacement, Vec<u8>)>> {
    let types = key_types(directory)?;
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let workshop = Workshop::open(directory)?;
    let mut new = Vec::new();
    for kind in types {
        let secret = format!("ssh_host_{kind}_key");
        let public = format!("{secret}.pub");
        generate(&kind, &workshop.0.join(&secret), hostname)?;
        for (name, mode) in [(secret, 0o600), (public, 0o644)] {
            new.push((Replacement::open(&directory.join(&name), mode)?, fs::read(workshop.0.join(&name))?));
        }
    }
    Ok(new)
}

/// A daemon has its keys in memory: it is asked to read them again. Whether one runs is its own affair.
pub fn announce() {
    let Some(pid) = fs::read_to_string(DAEMON_PID).ok().and_then(|text| text.trim().parse::<i32>().ok()) else {
        return;
    };
    let is_daemon = fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sshd");
    if is_daemon && pid > 1 {
        // SAFETY: the call takes numbers only.
        unsafe { libc::kill(pid, libc::SIGHUP) };
    }
}

fn key_types(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut types = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let kind = name.to_str().and_then(|name| name.strip_prefix("ssh_host_")?.strip_suffix("_key"));
        types.extend(kind.map(str::to_owned));
    }
    Ok(types)
}

fn generate(kind: &str, file: &Path, hostname: &str) -> io::Result<()> {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", "", "-C", &format!("root@{hostname}"), "-f"])
        .arg(file)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| io::Error::new(error.kind(), format!("ssh-keygen: {error}")))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ssh-keygen of type {kind}: {status}"))) }
}

/// A directory that only root can look into, beside the keys; it goes with this.
struct Workshop(PathBuf);

impl Workshop {
    fn open(beside: &Path) -> io::Result<Self> {
        let workshop = Self(beside.join(".wrenn-keys"));
        // Of an agent that died.
        let _gone = fs::remove_dir_all(&workshop.0);
        DirBuilder::new().mode(0o700).create(&workshop.0)?;
        Ok(workshop)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
