//! From a plan to a process, with nothing of envd's but its pipes or its terminal.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use super::parts::{About, Parts, Streams};
use super::request::Plan;
use super::source::PerSource;
use super::spawn::{Failure, Image, Step, reap, spawn};
use super::terminal;
use crate::fault::{Fault, Kind, Outcome};
use crate::guest;
use crate::users::is_self;

/// Blocks until the program runs, or reports why it does not.
pub fn launch(plan: Plan) -> Outcome<Parts> {
    let (stdio, streams) = connect(&plan).map_err(|error| exhausted("process", &error))?;
    let image = image(&plan, stdio).ok_or_else(|| Fault::invalid("process: must not contain NUL"))?;
    let (pid, pidfd) = spawn(&image).map_err(|failure| explain(&plan, &failure))?;
    Ok(Parts {
        pid,
        pidfd,
        reap: Box::new(move || Box::pin(async move { reap(pid).map_err(|error| Fault::io("wait", &error)) })),
        streams,
        about: About { config: plan.config, tag: plan.tag, started_at: SystemTime::now(), adopted: false },
        has_ended: false,
        deadline: None,
        from: PerSource::default(),
        progress: None,
        kept: None,
    })
}

/// Descriptors 0 to 2 of the process, and envd's ends of them.
fn connect(plan: &Plan) -> io::Result<([OwnedFd; 3], Streams)> {
    if let Some(size) = plan.terminal {
        let (master, slave) = terminal::open(size, &plan.user)?;
        return Ok(([slave.try_clone()?, slave.try_clone()?, slave], Streams::Terminal(master)));
    }
    let (input, stdin) = if plan.stdin {
        let (input, stdin) = io::pipe()?;
        (input.into(), Some(stdin.into()))
    } else {
        (File::open("/dev/null")?.into(), None)
    };
    let (stdout, output) = io::pipe()?;
    let (stderr, errors) = io::pipe()?;
    let streams = Streams::Pipes { stdin, stdout: Some(stdout.into()), stderr: Some(stderr.into()) };
    Ok(([input, output.into(), errors.into()], streams))
}

/// `None` when something contains NUL.
fn image(plan: &Plan, stdio: [OwnedFd; 3]) -> Option<Image> {
    let args = std::iter::once(&plan.config.cmd).chain(&plan.config.args);
    let envs = plan.envs.iter().map(|(name, value)| format!("{name}={value}"));
    Some(Image {
        programs: programs(plan)?,
        args: args.map(|arg| CString::new(arg.as_str()).ok()).collect::<Option<_>>()?,
        envs: envs.map(|env| CString::new(env).ok()).collect::<Option<_>>()?,
        stdio,
        terminal: plan.terminal.is_some(),
        place: guest::placement().entry(plan.terminal.is_some()),
        identity: (!is_self(&plan.user)).then(|| plan.user.clone()),
        workdir: CString::new(plan.workdir.path.as_os_str().as_bytes()).ok()?,
        workdir_optional: plan.workdir.optional,
    })
}

/// A name without a slash is looked for along the process's own PATH, in which an empty entry is the working directory.
fn programs(plan: &Plan) -> Option<Vec<CString>> {
    let name = &plan.config.cmd;
    if name.contains('/') {
        return Some(vec![CString::new(name.as_str()).ok()?]);
    }
    let directories = plan.envs.get("PATH").map_or("", String::as_str).split(':');
    let path = |directory: &str| if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
    directories.map(|directory| CString::new(path(directory)).ok()).collect()
}

fn explain(plan: &Plan, Failure { step, cause }: &Failure) -> Fault {
    match step {
        Step::Fork | Step::Descriptors => exhausted("process", cause),
        Step::Place => Fault::io("process: its control group cannot be entered", cause),
        Step::Terminal => Fault::io("pty", cause),
        Step::Identity => {
            let fault = Fault::io(&format!("user '{}': identity cannot be taken on", plan.user.name), cause);
            Fault::new(Kind::PermissionDenied, fault.message)
        }
        Step::Workdir => {
            let subject = format!("{} '{}'", plan.workdir.field, plan.workdir.path.display());
            let fault = Fault::io(&subject, cause);
            match fault.kind {
                Kind::NotFound => Fault::invalid(fault.message),
                _ => fault,
            }
        }
        Step::Program => {
            let subject = format!("process.cmd '{}'", plan.config.cmd);
            match cause.raw_os_error() {
                Some(libc::ENOEXEC) => Fault::invalid(format!("{subject}: not a program that this machine can run")),
                Some(libc::E2BIG) => Fault::invalid(format!("{subject}: arguments and environment are too long")),
                _ => exhausted(&subject, cause),
            }
        }
    }
}

/// When the guest has no descriptors, processes or memory left.
fn exhausted(subject: &str, cause: &io::Error) -> Fault {
    let fault = Fault::io(subject, cause);
    match cause.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM) => Fault::new(Kind::TooMany, fault.message),
        _ => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::SharedDefaults;
    use crate::process::request::plan;
    use crate::proto::process::{ProcessConfig, StartRequest};

    fn candidates(cmd: &str, path: &str) -> Vec<String> {
        let mut config = ProcessConfig { cmd: cmd.into(), ..ProcessConfig::default() };
        config.envs.insert("PATH".into(), path.into());
        let request = StartRequest { process: config.into(), ..StartRequest::default() };
        let plan = plan(request, None, SharedDefaults::default().get()).expect("plan");
        programs(&plan).expect("paths").into_iter().map(|path| path.into_string().expect("utf-8")).collect()
    }

    #[test]
    fn a_name_is_looked_for_along_the_processs_own_path() {
        assert_eq!(candidates("ls", "/a:/b/"), ["/a/ls", "/b//ls"]);
        assert_eq!(candidates("ls", "/a::"), ["/a/ls", "ls", "ls"]);
        assert_eq!(candidates("ls", ""), ["ls"]);
        assert_eq!(candidates("./ls", "/a"), ["./ls"]);
    }

    #[test]
    fn a_guest_that_has_run_out_of_something_says_so() {
        for errno in [libc::EMFILE, libc::EAGAIN, libc::ENOMEM] {
            assert_eq!(exhausted("process", &io::Error::from_raw_os_error(errno)).kind, Kind::TooMany);
        }
        assert_eq!(exhausted("process", &io::Error::from_raw_os_error(libc::ENOENT)).kind, Kind::NotFound);
    }
}
