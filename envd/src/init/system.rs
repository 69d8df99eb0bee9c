//! The parts of `/init` that change the machine, behind a trait: the tests run on developers' machines, whose
//! clock and name must stay as they are.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use super::identity::{Identity, Prepared};
use super::tcp;
use super::timestamp::Timestamp;
use crate::connections::Ends;
use crate::fault::Outcome;

/// What a machine lets the agent change of it. Calls may block.
pub trait System: Send + Sync {
    /// Sets the wall clock, in one step: CLOCK_REALTIME of clock_settime(2).
    fn set_clock(&self, time: Timestamp) -> io::Result<()>;
    /// Makes all random numbers from now on depend on `seed` too, which no other machine may get.
    fn seed_random(&self, seed: &[u8]) -> io::Result<()>;
    /// Ends the TCP connections that leave the machine, but for the one that is named.
    fn drop_connections(&self, spared: Option<Ends>) -> io::Result<()>;
    /// Does all that may fail of an identity, and puts nothing to use yet. An error names the part.
    fn prepare_identity(&self, identity: &Identity) -> Outcome<Box<dyn Ready>>;
}

/// An identity that can be taken on.
pub trait Ready {
    /// After an error the machine is who it was.
    fn take_on(self: Box<Self>) -> Outcome<()>;
}

/// The real machine.
pub struct Kernel;

/// `RNDADDENTROPY` and `RNDRESEEDCRNG` of random(4): _IOW('R', 0x03, int[2]) and _IO('R', 0x07).
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

impl System for Kernel {
    fn set_clock(&self, time: Timestamp) -> io::Result<()> {
        // SAFETY: an all-zero timespec is valid; its padding differs between targets.
        let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
        spec.tv_sec = time.seconds as libc::time_t;
        spec.tv_nsec = time.nanos as libc::c_long;
        // SAFETY: the pointer is to a live timespec, which the kernel only reads.
        check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const spec) })
    }

    /// Two clones of one snapshot hold the same random pool: the seed is what makes them differ, and the reseed
    /// makes it take effect now and not at the kernel's next interval.
    fn seed_random(&self, seed: &[u8]) -> io::Result<()> {
        let device = OpenOptions::new().write(true).open("/dev/urandom")?;
        add_entropy(&device, seed)?;
        // SAFETY: the descriptor is open and this request takes no argument.
        check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG as _, 0) })
    }

    fn drop_connections(&self, spared: Option<Ends>) -> io::Result<()> {
        tcp::drop_outside(spared)
    }

    fn prepare_identity(&self, identity: &Identity) -> Outcome<Box<dyn Ready>> {
        Ok(Box::new(Prepared::new(identity)?))
    }
}

impl Ready for Prepared {
    fn take_on(self: Box<Self>) -> Outcome<()> {
        Prepared::take_on(*self)
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
