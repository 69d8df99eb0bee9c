//! A new process without a copy of envd: as with vfork(2), the child borrows envd's memory, on a stack of its own, and
//! the thread that made it stands still until the child is another program or has failed. Nothing is copied for pages
//! that are never used, and a guest whose memory is all but gone can still start a process.
//!
//! Between the two the child may only make system calls on what exists already: it must neither allocate nor lock, for
//! another thread of envd may hold the lock.

use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::sync::Arc;

use super::signals::{Blocked, reset_signals};
use super::{descriptors, terminal};
use crate::guest::Entry;
use crate::users::{User, assume_process};

/// Far more than a few system calls need.
const STACK_BYTES: usize = 32 << 10;

/// What the child becomes. It leads a session and a process group of its own.
pub struct Image {
    /// Paths of the program, of which the first that exists and may be executed is taken.
    pub programs: Vec<CString>,
    pub args: Vec<CString>,
    pub envs: Vec<CString>,
    /// Its descriptors 0 to 2; those of envd are closed on exec.
    pub stdio: [OwnedFd; 3],
    /// Whether these are a terminal, which is to control its session.
    pub terminal: bool,
    pub place: Entry,
    /// None when it stays envd's own.
    pub identity: Option<Arc<User>>,
    pub workdir: CString,
    /// Whether `/` will do when the working directory cannot be entered.
    pub workdir_optional: bool,
}

/// What could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Fork,
    Descriptors,
    Place,
    Terminal,
    Identity,
    Workdir,
    Program,
}

/// The step that failed, after which no further one was tried, and its error.
#[derive(Debug)]
pub struct Failure {
    pub step: Step,
    pub cause: io::Error,
}

/// Blocks until the child has become the program, or reports what failed: then there is no child any more. The
/// descriptor becomes readable when the process has ended.
pub fn spawn(image: &Image) -> Result<(u32, OwnedFd), Failure> {
    let mut attempt = Attempt { image, args: pointers(&image.args), envs: pointers(&image.envs), failure: None };
    let mut stack = Box::<[u8]>::new_uninit_slice(STACK_BYTES);
    let mut pidfd: c_int = -1;
    let blocked = Blocked::all();
    // SAFETY: the flags suspend this thread while the child lives on its memory, so everything the child is given stays
    // alive and is used by nobody else. The stack is big enough, and its top aligned.
    let pid = unsafe {
        libc::clone(
            child,
            top(&mut stack).cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            (&raw mut attempt).cast(),
            &raw mut pidfd,
        )
    };
    let cause = io::Error::last_os_error();
    drop(blocked);
    let Ok(pid @ 1..) = u32::try_from(pid) else {
        return Err(Failure { step: Step::Fork, cause });
    };
    // SAFETY: the kernel just gave us this descriptor (close-on-exec), and nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match attempt.failure {
        None => Ok((pid, pidfd)),
        Some(failure) => {
            let _status = reap(pid);
            Err(failure)
        }
    }
}

/// Collects the exit status of a child that has ended; waits for one that has not.
pub fn reap(pid: u32) -> io::Result<ExitStatus> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a live int.
        if unsafe { libc::waitpid(pid.cast_signed(), &raw mut status, 0) } >= 0 {
            return Ok(ExitStatus::from_raw(status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What parent and child share. The pointers lead into the image.
struct Attempt<'a> {
    image: &'a Image,
    args: Vec<*const c_char>,
    envs: Vec<*const c_char>,
    failure: Option<Failure>,
}

extern "C" fn child(attempt: *mut c_void) -> c_int {
    // SAFETY: it is the attempt of `spawn`, whose thread waits.
    let attempt = unsafe { &mut *attempt.cast::<Attempt>() };
    let Err(failure) = attempt.run();
    attempt.failure = Some(failure);
    127
}

impl Attempt<'_> {
    /// Returns only when something has failed.
    fn run(&self) -> Result<Infallible, Failure> {
        let image = self.image;
        // All of them are above 2: envd has descriptors 0 to 2 of its own.
        for (number, fd) in (0..).zip(&image.stdio) {
            // SAFETY: the call takes numbers only.
            succeed(unsafe { libc::dup2(fd.as_raw_fd(), number) }, Step::Descriptors)?;
        }
        // SAFETY: setsid takes nothing; a new child is never a group leader, so it succeeds.
        unsafe { libc::setsid() };
        // Before the identity, because only envd itself has the right to.
        image.place.enter().map_err(at(Step::Place))?;
        if image.terminal {
            terminal::control().map_err(at(Step::Terminal))?;
        }
        if let Some(user) = &image.identity {
            assume_process(user).map_err(at(Step::Identity))?;
        }
        self.enter_workdir()?;
        descriptors::limit().map_err(at(Step::Descriptors))?;
        reset_signals();
        self.exec()
    }

    /// With the user's rights.
    fn enter_workdir(&self) -> Result<(), Failure> {
        // SAFETY: the string is NUL-terminated and alive.
        let entered = succeed(unsafe { libc::chdir(self.image.workdir.as_ptr()) }, Step::Workdir);
        // SAFETY: as above.
        if entered.is_err() && self.image.workdir_optional && unsafe { libc::chdir(c"/".as_ptr()) } == 0 {
            return Ok(());
        }
        entered
    }

    fn exec(&self) -> Result<Infallible, Failure> {
        let mut found = io::Error::from_raw_os_error(libc::ENOENT);
        for program in &self.image.programs {
            // SAFETY: the strings are NUL-terminated and alive, and so are the arrays, which end with a null pointer.
            unsafe { libc::execve(program.as_ptr(), self.args.as_ptr(), self.envs.as_ptr()) };
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // Nor is there one where a component of the path is no directory.
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // A later directory may have one that may be executed.
                Some(libc::EACCES) => found = error,
                _ => return Err(Failure { step: Step::Program, cause: error }),
            }
        }
        Err(Failure { step: Step::Program, cause: found })
    }
}

/// The stack grows down from here. All architectures are content with 16 bytes of alignment.
fn top(stack: &mut [MaybeUninit<u8>]) -> *mut u8 {
    let end = stack.as_mut_ptr_range().end;
    end.wrapping_byte_sub(end.addr() % 16).cast()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn succeed(result: c_int, step: Step) -> Result<(), Failure> {
    if result < 0 { Err(Failure { step, cause: io::Error::last_os_error() }) } else { Ok(()) }
}

fn at(step: Step) -> impl Fn(io::Error) -> Failure {
    move |cause| Failure { step, cause }
}
