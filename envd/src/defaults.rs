//! What a process gets when its request does not say: set by `/init`, read by every start.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::lock::lock;

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

#[derive(Default)]
pub struct SharedDefaults(Mutex<Defaults>);

impl SharedDefaults {
    pub fn get(&self) -> Defaults {
        lock(&self.0).clone()
    }

    pub fn user(&self) -> String {
        lock(&self.0).user.clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut Defaults)) {
        change(&mut lock(&self.0));
    }
}
