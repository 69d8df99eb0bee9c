//! Who a machine is: its name, its machine id, and the keys that it shows to clients of SSH.

use std::io;
use std::path::Path;

use super::replacement::{Replacement, read};
use super::{hosts, ssh_keys};
use crate::fault::{Fault, Outcome};
use crate::log;

/// `HOST_NAME_MAX` of Linux, and the NUL.
const NAME_BUFFER: usize = 65;
const READABLE: u32 = 0o644;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub hostname: String,
    pub machine_id: String,
}

/// An identity of which everything is ready, and nothing in use.
pub struct Prepared {
    hostname: String,
    former: String,
    files: Vec<Replacement>,
}

impl Prepared {
    /// Does all that may fail for want of space, programs or readable files. An error names the part.
    pub fn new(identity: &Identity) -> Outcome<Self> {
        let Identity { hostname, machine_id } = identity;
        let former = hostname_now().map_err(failed("hostname"))?;
        let file = |path: &str, content: &[u8]| Replacement::prepare(Path::new(path), content, READABLE);
        let mut files = vec![
            file("/etc/machine-id", format!("{machine_id}\n").as_bytes()).map_err(failed("machineId"))?,
            file("/etc/hostname", format!("{hostname}\n").as_bytes()).map_err(failed("hostname"))?,
        ];
        let content = read(Path::new("/etc/hosts")).map_err(failed("/etc/hosts"))?;
        let content = hosts::renamed(&content, &former, hostname);
        files.push(file("/etc/hosts", &content).map_err(failed("/etc/hosts"))?);
        let keys = ssh_keys::prepare(Path::new(ssh_keys::DIRECTORY), hostname).map_err(failed("ssh host keys"))?;
        files.extend(keys);
        Ok(Self { hostname: hostname.clone(), former, files })
    }

    /// Takes the identity on. After an error the machine is who it was.
    pub fn take_on(self) -> Outcome<()> {
        set_hostname(&self.hostname).map_err(failed("hostname"))?;
        for (done, file) in self.files.iter().enumerate() {
            if let Err(error) = file.apply() {
                self.go_back(done);
                return Err(failed("identity")(error));
            }
        }
        ssh_keys::announce();
        Ok(())
    }

    /// Undoes what was done of it.
    fn go_back(&self, done: usize) {
        let undone = self.files.iter().take(done).rev().map(Replacement::undo);
        for error in undone.chain([set_hostname(&self.former)]).filter_map(Result::err) {
            log::error(&format!("identity: could not go back to the former one: {error}"));
        }
    }
}

/// Turns an error of the system into that of a part of `/init`.
pub fn failed(part: &str) -> impl FnOnce(io::Error) -> Fault {
    move |error| Fault::internal(format!("{part}: could not be applied: {error}"))
}

fn hostname_now() -> io::Result<String> {
    let mut buffer = [0_u8; NAME_BUFFER];
    // SAFETY: pointer and length describe one live buffer, less its last byte, which stays NUL.
    check(unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) })?;
    let name = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length describe one live string, which the kernel only reads.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
