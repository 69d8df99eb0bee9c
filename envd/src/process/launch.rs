//! Fork and exec: a process in a session and process group of its own, as its user, in its directory, with
//! nothing of envd's but its pipes or its terminal.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::parts::{About, Parts, Streams};
use super::request::Plan;
use super::source::PerSource;
use super::terminal::{self, Size};
use crate::fault::{Fault, Kind, Outcome};
use crate::guest;
use crate::users::{User, assume_process, is_self};

/// The child can report one number only, so the step that failed rides above the 16 bits an errno needs.
const STEP_SHIFT: i32 = 16;
const STEP_IDENTITY: i32 = 1;
const STEP_WORKDIR: i32 = 2;
const STEP_PLACE: i32 = 3;
const STEP_TERMINAL: i32 = 4;

/// Blocks until the program has replaced the forked child, or reports why it could not.
pub fn launch(plan: Plan) -> Outcome<Parts> {
    let mut command = Command::new(&plan.config.cmd);
    command.args(&plan.config.args).env_clear().envs(&plan.envs);
    let master = connect(&mut command, &plan)?;
    in_child(&mut command, &plan)?;
    let spawned = command.spawn();
    // envd's own copies of the terminal's other end, which would keep it open.
    drop(command);
    let mut child = spawned.map_err(|error| explain(&plan, &error))?;
    let pid = child.id();
    let pidfd = match pidfd(pid) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            let _dead = child.kill().and_then(|()| child.wait());
            return Err(Fault::io("pidfd_open", &error));
        }
    };
    let streams = match master {
        Some(master) => Streams::Terminal(master),
        None => Streams::Pipes {
            stdin: child.stdin.take().map(Into::into),
            stdout: child.stdout.take().map(Into::into),
            stderr: child.stderr.take().map(Into::into),
        },
    };
    Ok(Parts {
        pid,
        pidfd,
        reap: Box::new(move || Box::pin(async move { child.wait().map_err(|error| Fault::io("wait", &error)) })),
        streams,
        about: About { config: plan.config, tag: plan.tag, started_at: SystemTime::now(), adopted: false },
        has_ended: false,
        deadline: None,
        from: PerSource::default(),
        progress: None,
        kept: None,
    })
}

/// Gives the command its descriptors 0 to 2: pipes, or a terminal, whose master is returned.
fn connect(command: &mut Command, plan: &Plan) -> Outcome<Option<OwnedFd>> {
    let Some(size) = plan.terminal else {
        command
            .stdin(if plan.stdin { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        return Ok(None);
    };
    attach(command, size, &plan.user).map(Some).map_err(|error| Fault::io("pty", &error))
}

fn attach(command: &mut Command, size: Size, user: &User) -> io::Result<OwnedFd> {
    let (master, slave) = terminal::open(size, user)?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    Ok(master)
}

/// Prepares what happens between fork and exec, where only async-signal-safe calls are allowed: everything that
/// allocates is done here, before the fork.
fn in_child(command: &mut Command, plan: &Plan) -> Outcome<()> {
    let path = CString::new(plan.workdir.path.as_os_str().as_bytes())
        .map_err(|_| Fault::invalid(format!("{}: must not contain NUL", plan.workdir.field)))?;
    let optional = plan.workdir.optional;
    let has_terminal = plan.terminal.is_some();
    let identity = (!is_self(&plan.user)).then(|| plan.user.clone());
    let place = guest::placement().entry(has_terminal);
    let prepare = move || {
        // SAFETY: setsid takes nothing; a freshly forked child is never a group leader, so it succeeds.
        unsafe { libc::setsid() };
        // Before the identity, because only envd itself has the right to.
        place.enter().map_err(|error| at_step(STEP_PLACE, &error))?;
        if has_terminal {
            terminal::control().map_err(|error| at_step(STEP_TERMINAL, &error))?;
        }
        if let Some(user) = &identity {
            assume_process(user).map_err(|error| at_step(STEP_IDENTITY, &error))?;
        }
        // After the identity, so that the directory is entered with the user's rights.
        // SAFETY: the string is NUL-terminated and alive.
        if unsafe { libc::chdir(path.as_ptr()) } != 0 {
            let error = io::Error::last_os_error();
            // SAFETY: as above.
            if !optional || unsafe { libc::chdir(c"/".as_ptr()) } != 0 {
                return Err(at_step(STEP_WORKDIR, &error));
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls on values that exist already; it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

fn at_step(step: i32, error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(step << STEP_SHIFT | error.raw_os_error().unwrap_or(libc::EIO))
}

fn explain(plan: &Plan, error: &io::Error) -> Fault {
    let code = error.raw_os_error().unwrap_or(0);
    let cause = io::Error::from_raw_os_error(code & ((1 << STEP_SHIFT) - 1));
    match code >> STEP_SHIFT {
        STEP_IDENTITY => {
            let fault = Fault::io(&format!("user '{}': identity cannot be taken on", plan.user.name), &cause);
            Fault::new(Kind::PermissionDenied, fault.message)
        }
        STEP_WORKDIR => {
            let subject = format!("{} '{}'", plan.workdir.field, plan.workdir.path.display());
            let fault = Fault::io(&subject, &cause);
            match fault.kind {
                Kind::NotFound => Fault::invalid(fault.message),
                _ => fault,
            }
        }
        STEP_PLACE => Fault::io("process: its control group cannot be entered", &cause),
        STEP_TERMINAL => Fault::io("pty", &cause),
        _ if code == 0 => Fault::io("process.cmd", error),
        _ => exec_fault(plan, &cause),
    }
}

fn exec_fault(plan: &Plan, cause: &io::Error) -> Fault {
    let subject = format!("process.cmd '{}'", plan.config.cmd);
    match cause.raw_os_error() {
        // A component of the path that is no directory: there is no such program either.
        Some(libc::ENOTDIR) => Fault::new(Kind::NotFound, Fault::io(&subject, cause).message),
        Some(libc::ENOEXEC) => Fault::invalid(format!("{subject}: not a program that this machine can run")),
        _ => Fault::io(&subject, cause),
    }
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // The child is not reaped yet, so the number is still its own.
    // SAFETY: the call takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), libc::PIDFD_NONBLOCK) };
    let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor (close-on-exec), and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
