//! The parts of `/init` that change the machine, behind a trait: the tests run on developers' machines, whose
//! clock and name must stay as they are.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use super::timestamp::Timestamp;

pub trait System: Send + Sync {
    fn set_clock(&self, time: Timestamp) -> io::Result<()>;
    fn set_hostname(&self, hostname: &str) -> io::Result<()>;
    fn set_machine_id(&self, machine_id: &str) -> io::Result<()>;
    fn seed_random(&self, seed: &[u8]) -> io::Result<()>;
}

/// The real machine.
pub struct Kernel;

/// `RNDADDENTROPY` and `RNDRESEEDCRNG` of random(4): _IOW('R', 0x03, int[2]) and _IO('R', 0x07).
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

impl System for Kernel {
    /// Without root there is no right to set the clock and, outside a capsule, no need to.
    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(());
        }
        // SAFETY: an all-zero timespec is valid; its padding differs between targets.
        let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
        spec.tv_sec = time.seconds as libc::time_t;
        spec.tv_nsec = time.nanos as libc::c_long;
        // SAFETY: the pointer is to a live timespec, which the kernel only reads.
        check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const spec) })
    }

    fn set_hostname(&self, hostname: &str) -> io::Result<()> {
        // SAFETY: pointer and length describe one live string, which the kernel only reads.
        check(unsafe { libc::sethostname(hostname.as_ptr().cast(), hostname.len()) })?;
        fs::write("/etc/hostname", format!("{hostname}\n"))
    }

    fn set_machine_id(&self, machine_id: &str) -> io::Result<()> {
        fs::write("/etc/machine-id", format!("{machine_id}\n"))
    }

    /// Two clones of one snapshot hold the same random pool: the seed is what makes them differ, and the reseed
    /// makes it take effect now and not at the kernel's next interval.
    fn seed_random(&self, seed: &[u8]) -> io::Result<()> {
        let device = OpenOptions::new().write(true).open("/dev/urandom")?;
        add_entropy(&device, seed)?;
        // SAFETY: the descriptor is open and this request takes no argument.
        check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG as _, 0) })
    }
}

fn add_entropy(device: &File, seed: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let bytes = i32::try_from(seed.len()).map_err(too_long)?;
    let bits = i32::try_from(seed.len() * 8).map_err(too_long)?;
    // struct rand_pool_info: entropy count in bits, buffer size in bytes, buffer.
    let mut info = Vec::with_capacity(8 + seed.len());
    info.extend_from_slice(&bits.to_ne_bytes());
    info.extend_from_slice(&bytes.to_ne_bytes());
    info.extend_from_slice(seed);
    // SAFETY: the kernel reads the two integers and then as many bytes as the second one says, all in `info`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY as _, info.as_ptr()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
