//! Who a machine is: its name, its machine id, and the keys that it shows to clients of SSH.

use std::io;
use std::path::Path;

use super::replacement::Replacement;
use super::{hosts, ssh_keys};
use crate::fault::{Fault, Outcome};
use crate::log;

/// `HOST_NAME_MAX` of Linux, and the NUL.
const NAME_BUFFER: usize = 65;
const READABLE: u32 = 0o644;

/// The name and the machine id (machine-id(5)) that a machine is to have, both valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub hostname: String,
    pub machine_id: String,
}

/// An identity of which everything is ready, and nothing in use.
pub struct Prepared {
    hostname: String,
    former: String,
    /// With the content that each gets.
    files: Vec<(Replacement, Vec<u8>)>,
}

impl Prepared {
    /// Does all that may fail for want of space, programs or readable files. An error names the part.
    pub fn new(identity: &Identity) -> Outcome<Self> {
        let Identity { hostname, machine_id } = identity;
        let former = hostname_now().map_err(failed("hostname"))?;
        let open = |path: &str| Replacement::open(Path::new(path), READABLE);
        let id_file = open("/etc/machine-id").map_err(failed("machineId"))?;
        let name_file = open("/etc/hostname").map_err(failed("hostname"))?;
        let hosts_file = open("/etc/hosts").map_err(failed("/etc/hosts"))?;
        let hosts = hosts::renamed(hosts_file.former(), &former, hostname);
        let mut files = vec![
            (id_file, format!("{machine_id}\n").into_bytes()),
            (name_file, format!("{hostname}\n").into_bytes()),
            (hosts_file, hosts),
        ];
        let keys = ssh_keys::prepare(Path::new(ssh_keys::DIRECTORY), hostname).map_err(failed("ssh host keys"))?;
        files.extend(keys);
        Ok(Self { hostname: hostname.clone(), former, files })
    }

    /// Takes the identity on. After an error the machine is who it was.
    pub fn take_on(mut self) -> Outcome<()> {
        if let Err(error) = self.apply() {
            self.go_back();
            return Err(failed("identity")(error));
        }
        ssh_keys::announce();
        Ok(())
    }

    fn apply(&mut self) -> io::Result<()> {
        set_hostname(&self.hostname)?;
        self.files.iter_mut().try_for_each(|(file, content)| file.apply(content))
    }

    fn go_back(&mut self) {
        let undone = self.files.iter_mut().map(|(file, _)| file.undo());
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
