//! `POST /init`: what the host tells a capsule about itself after a boot, a resume or a clone. Everything is
//! validated before anything is applied, and the parts that touch the machine go before those in memory, which
//! cannot fail: after a failure the host repeats the call or gives the capsule up.

mod request;
mod system;
mod timestamp;

use std::io;
use std::sync::{Arc, Mutex};

pub use request::{Init, check_env};
pub use system::{Kernel, System};

use crate::defaults::{Defaults, SharedDefaults};
use crate::fault::{Fault, Outcome};
use crate::lock::lock;
use crate::token::Token;

/// Applies what `/init` asks for, one request at a time.
pub struct Initializer {
    system: Box<dyn System>,
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    turn: Mutex<()>,
}

impl Initializer {
    pub fn new(system: Box<dyn System>, token: Arc<Token>, defaults: Arc<SharedDefaults>) -> Self {
        Self { system, token, defaults, turn: Mutex::new(()) }
    }

    /// Blocks; an error names the part that failed.
    pub fn apply(&self, init: Init) -> Outcome<()> {
        let _turn = lock(&self.turn);
        if let Some(time) = init.timestamp {
            part("timestamp", self.system.set_clock(time))?;
        }
        if let Some(hostname) = &init.hostname {
            part("hostname", self.system.set_hostname(hostname))?;
        }
        if let Some(machine_id) = &init.machine_id {
            part("machineId", self.system.set_machine_id(machine_id))?;
        }
        if let Some(seed) = &init.random_seed {
            part("randomSeed", self.system.seed_random(seed))?;
        }
        self.defaults.update(|defaults| set_defaults(defaults, &init));
        if let Some(secret) = init.token {
            self.token.replace(secret);
        }
        Ok(())
    }
}

fn set_defaults(defaults: &mut Defaults, init: &Init) {
    if let Some(envs) = &init.env_vars {
        defaults.envs.clone_from(envs);
    }
    if let Some(user) = &init.default_user {
        defaults.user.clone_from(user);
    }
    if let Some(workdir) = &init.default_workdir {
        defaults.workdir = Some(workdir.clone());
    }
}

fn part(name: &str, result: io::Result<()>) -> Outcome<()> {
    result.map_err(|error| Fault::internal(format!("{name}: could not be applied: {error}")))
}

#[cfg(test)]
mod tests;
