//! `POST /init`: what the host tells a machine about itself, at any time or after a boot, a resume or a clone. All of
//! it is validated first. Then come the parts that do no harm alone, then all that may still fail of the identity, and
//! last what makes the machine somebody: that is taken on whole or not at all. After an error the host repeats the call
//! or gives the machine up.

mod hosts;
mod identity;
mod replacement;
mod request;
mod restore;
mod ssh_keys;
mod system;
mod tcp;
mod timestamp;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub use request::{Init, check_env};
pub use system::{Kernel, System};

use crate::connections::Ends;
use crate::defaults::{Defaults, SharedDefaults};
use crate::fault::{Fault, Kind, Outcome};
use crate::lock::lock;
use crate::token::Token;
use identity::failed;

/// How a request came.
#[derive(Clone, Copy)]
pub struct Arrival {
    /// When its last byte was here. What is done before the clock is set must not make it late.
    pub at: Instant,
    /// The connection that it came on.
    pub on: Option<Ends>,
}

/// Applies what `/init` asks for, one request at a time.
pub struct Initializer {
    system: Box<dyn System>,
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    /// Of the last restore that was completed; 0 when there was none.
    epoch: Arc<AtomicU64>,
    /// Whether the machine may be made another computer.
    in_guest: bool,
    /// Held while a request is applied. The newest epoch that was begun.
    turn: Mutex<u64>,
}

impl Initializer {
    /// No request was applied yet. `epoch` is where the last completed restore is read and noted; an agent that takes
    /// over finds there what the one before it completed.
    pub fn new(
        system: Box<dyn System>,
        in_guest: bool,
        token: Arc<Token>,
        defaults: Arc<SharedDefaults>,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        Self { system, token, defaults, epoch, in_guest, turn: Mutex::default() }
    }

    /// Blocks; an error names the part that failed.
    pub fn apply(&self, init: Init, arrival: Arrival) -> Outcome<()> {
        if init.restore.is_some() && !self.in_guest {
            let message =
                "kind: this agent was not started for a guest (--in-guest), so the machine is not its to change";
            return Err(Fault::new(Kind::Conflict, message));
        }
        let mut newest = lock(&self.turn);
        if let Some(restore) = init.restore {
            if !self.begin(&mut newest, restore.epoch)? {
                return Ok(());
            }
            self.restore(&init, arrival)?;
        } else {
            self.set_clock(&init, arrival)?;
        }
        self.defaults.update(|defaults| set_defaults(defaults, &init));
        if let Some(secret) = init.token {
            self.token.replace(secret);
        }
        if let Some(restore) = init.restore {
            self.epoch.store(restore.epoch, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether there is something to do: an epoch that is completed needs nothing, one that failed is begun again.
    fn begin(&self, newest: &mut u64, epoch: u64) -> Outcome<bool> {
        let completed = self.epoch.load(Ordering::Relaxed);
        *newest = completed.max(*newest);
        if epoch < *newest {
            let message = format!("restoreEpoch: {epoch} is older than {newest}, which was seen already");
            return Err(Fault::new(Kind::Conflict, message));
        }
        *newest = epoch;
        Ok(epoch != completed)
    }

    fn restore(&self, init: &Init, arrival: Arrival) -> Outcome<()> {
        self.set_clock(init, arrival)?;
        // Before new keys are made, which two clones must not make alike.
        if let Some(seed) = &init.random_seed {
            self.system.seed_random(seed).map_err(failed("randomSeed"))?;
        }
        let identity = init.identity.as_ref().map(|identity| self.system.prepare_identity(identity)).transpose()?;
        self.system.drop_connections(arrival.on).map_err(failed("connections"))?;
        identity.map_or(Ok(()), |identity| identity.take_on())
    }

    fn set_clock(&self, init: &Init, arrival: Arrival) -> Outcome<()> {
        match init.timestamp {
            // Outside a guest the clock is the machine's own.
            Some(time) if self.in_guest => {
                self.system.set_clock(time.plus(arrival.at.elapsed())).map_err(failed("timestamp"))
            }
            _ => Ok(()),
        }
    }
}

/// A computer of its own begins with nothing of what another was told.
fn set_defaults(defaults: &mut Defaults, init: &Init) {
    if init.identity.is_some() {
        *defaults = Defaults::default();
    }
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

#[cfg(test)]
mod tests;
