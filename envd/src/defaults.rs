//! What a process gets when its request does not say: set by `/init`, read by every start.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::lock::lock;

/// User, working directory and environment for requests that name none. Root in its home with no variables, until
/// `/init` says otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Defaults {
    pub user: String,
    /// The default user's home when `None`.
    pub workdir: Option<String>,
    pub envs: BTreeMap<String, String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { user: "root".into(), workdir: None, envs: BTreeMap::new() }
    }
}

/// The defaults in force. Each call sees them whole, as they are at one moment.
#[derive(Default)]
pub struct SharedDefaults(Mutex<Defaults>);

impl SharedDefaults {
    /// A copy: what `/init` changes later does not reach a process that has begun.
    pub fn get(&self) -> Defaults {
        lock(&self.0).clone()
    }

    /// The name of the default user alone, without a copy of the environment.
    pub fn user(&self) -> String {
        lock(&self.0).user.clone()
    }

    /// Changes the defaults in one step. They are locked meanwhile, so `change` must not block nor ask for them.
    pub fn update(&self, change: impl FnOnce(&mut Defaults)) {
        change(&mut lock(&self.0));
    }
}
