//! What a `Start` request asks for, checked and completed with the defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::terminal::{ENVIRONMENT, Size};
use crate::defaults::Defaults;
use crate::fault::{Fault, Outcome};
use crate::init::check_env;
use crate::paths;
use crate::proto::process::{ProcessConfig, StartRequest};
use crate::users::{self, User};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that the launch needs.
#[derive(Debug)]
pub struct Plan {
    pub config: ProcessConfig,
    pub tag: Option<String>,
    pub stdin: bool,
    /// Of a process with a terminal, which has no pipes.
    pub terminal: Option<Size>,
    pub user: Arc<User>,
    pub workdir: Workdir,
    pub envs: BTreeMap<String, String>,
}

/// Where the process is to start. Whether it can be entered shows at the launch.
#[derive(Debug)]
pub struct Workdir {
    pub path: PathBuf,
    /// What an error names.
    pub field: &'static str,
    /// A home that does not exist is replaced by `/`, as at login; a directory that was asked for never is.
    pub optional: bool,
}

/// Reads `/etc/passwd`: call it where blocking is allowed.
pub fn plan(request: StartRequest, user: Option<String>, defaults: Defaults) -> Outcome<Plan> {
    let Some(config) = request.process.into_option() else {
        return Err(Fault::invalid("process: must be set"));
    };
    check(&config)?;
    let terminal = request.pty.as_option().map(Size::requested).transpose()?;
    let user = users::resolve(user.as_deref().unwrap_or(&defaults.user))?;
    let workdir = workdir(config.cwd.as_deref(), defaults.workdir.as_deref(), &user)?;
    let envs = environment(&user, &defaults.envs, &config, terminal.is_some());
    Ok(Plan { config, tag: request.tag, stdin: request.stdin.unwrap_or(true), terminal, user, workdir, envs })
}

fn check(config: &ProcessConfig) -> Outcome<()> {
    if config.cmd.is_empty() || config.cmd.contains('\0') {
        return Err(Fault::invalid("process.cmd: must not be empty nor contain NUL"));
    }
    if config.args.iter().any(|arg| arg.contains('\0')) {
        return Err(Fault::invalid("process.args: must not contain NUL"));
    }
    config.envs.iter().try_for_each(|(name, value)| check_env("process.envs", name, value))
}

fn workdir(requested: Option<&str>, default: Option<&str>, user: &User) -> Outcome<Workdir> {
    let (field, raw) = match (requested.filter(|cwd| !cwd.is_empty()), default) {
        (Some(cwd), _) => ("process.cwd", cwd),
        (None, Some(default)) => ("defaultWorkdir", default),
        (None, None) => ("home", "~"),
    };
    Ok(Workdir { path: paths::resolve(field, raw, user)?, field, optional: field == "home" })
}

/// The whole environment of the process; nothing comes from envd's own.
fn environment(
    user: &User,
    defaults: &BTreeMap<String, String>,
    config: &ProcessConfig,
    terminal: bool,
) -> BTreeMap<String, String> {
    let base = [
        ("PATH", PATH.to_owned()),
        ("HOME", paths::display(&user.home)),
        ("USER", user.name.clone()),
        ("LOGNAME", user.name.clone()),
        ("SHELL", user.shell.clone()),
    ];
    let mut envs: BTreeMap<String, String> = base.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if terminal {
        envs.extend(ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    envs.extend(defaults.clone());
    envs.extend(config.envs.iter().map(|(name, value)| (name.clone(), value.clone())));
    envs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    fn request(config: ProcessConfig) -> StartRequest {
        StartRequest { process: config.into(), ..StartRequest::default() }
    }

    fn sh() -> ProcessConfig {
        ProcessConfig { cmd: "sh".into(), ..ProcessConfig::default() }
    }

    fn defaults() -> Defaults {
        crate::defaults::SharedDefaults::default().get()
    }

    #[test]
    fn later_environments_win_and_nothing_is_inherited() {
        let mut config = sh();
        config.envs.insert("B".into(), "request".into());
        let mut defaults = defaults();
        defaults.envs.extend([("A".into(), "default".into()), ("B".into(), "default".into())]);
        defaults.envs.insert("PATH".into(), "/opt/bin".into());
        let plan = plan(request(config), None, defaults).expect("plan");
        let names: Vec<&str> = plan.envs.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "HOME", "LOGNAME", "PATH", "SHELL", "USER"]);
        assert_eq!(plan.envs["A"], "default");
        assert_eq!(plan.envs["B"], "request");
        assert_eq!(plan.envs["PATH"], "/opt/bin");
        assert_eq!(plan.envs["HOME"], "/root");
    }

    #[test]
    fn the_working_directory_is_requested_or_default_or_home() {
        let mut asked = sh();
        asked.cwd = Some("sub".into());
        let mut with_default = defaults();
        with_default.workdir = Some("/srv".into());
        let path = |config, defaults| plan(request(config), None, defaults).expect("plan").workdir.path;
        assert_eq!(path(asked, with_default.clone()), PathBuf::from("/root/sub"));
        assert_eq!(path(sh(), with_default), PathBuf::from("/srv"));
        assert_eq!(path(sh(), defaults()), PathBuf::from("/root"));
    }

    #[test]
    fn stdin_is_open_unless_refused() {
        assert!(plan(request(sh()), None, defaults()).expect("plan").stdin);
        let mut closed = request(sh());
        closed.stdin = Some(false);
        assert!(!plan(closed, None, defaults()).expect("plan").stdin);
    }

    #[test]
    fn refusals_name_the_field() {
        let mut bad_env = sh();
        bad_env.envs.insert("A=".into(), String::new());
        let mut bad_arg = sh();
        bad_arg.args.push("\0".into());
        for (config, field) in
            [(ProcessConfig::default(), "process.cmd"), (bad_env, "process.envs"), (bad_arg, "process.args")]
        {
            let fault = plan(request(config), None, defaults()).expect_err(field);
            assert!(fault.message.starts_with(field), "{}", fault.message);
        }
        let fault = plan(request(sh()), Some("no-such-user".into()), defaults()).expect_err("user");
        assert_eq!(fault.kind, Kind::Unauthenticated);
        assert!(fault.message.contains("no-such-user"));
    }
}
