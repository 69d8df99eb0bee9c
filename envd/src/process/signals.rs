//! Signals around the start of a process.

use std::mem::MaybeUninit;
use std::ptr;

const MAX_SIGNAL: libc::c_long = 64;
/// Handler, flags, restorer, set.
const KERNEL_SIGACTION_WORDS: usize = 4;
const SET_BYTES: usize = 8;

/// A program starts with no signal ignored, handled or blocked. First the handlers, which are envd's and would run here
/// in its memory; nothing is delivered until they are gone. Async-signal-safe, for use before exec.
pub fn reset_signals() {
    // As the kernel has it, in which all zeros ask for the default; libc's function leaves two signals to itself.
    let default = [0_u64; KERNEL_SIGACTION_WORDS];
    for signal in 1..=MAX_SIGNAL {
        // Those that cannot be changed have the default.
        // SAFETY: the kernel reads an action from the pointer, for sets of the size given, and writes none.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, ptr::null_mut::<u64>(), SET_BYTES);
        }
    }
    // SAFETY: an all-zero set is empty.
    let none: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the pointer is to a live set.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) };
}

/// Keeps all signals from this thread, and so from the child, while it lives.
pub struct Blocked(libc::sigset_t);

impl Blocked {
    /// Blocks all but those that cannot be blocked and those that libc keeps to itself. Dropping it brings the former
    /// mask back, so it must be dropped on the same thread.
    pub fn all() -> Self {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: sigfillset fills the first set, from which pthread_sigmask fills the second.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the pointer is to a live set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
