//! What the agent has at the holder.

use std::sync::Arc;

use super::client::Holder;
use super::message::{Role, ToHolder};

/// A process that the holder keeps, until this is dropped.
pub struct Kept {
    holder: Arc<Holder>,
    id: u64,
}

impl Kept {
    pub(super) fn new(holder: Arc<Holder>, id: u64) -> Self {
        Self { holder, id }
    }

    /// The holder's copy of one descriptor.
    pub fn file(self: &Arc<Self>, role: Role) -> KeptFile {
        KeptFile { kept: Arc::clone(self), role }
    }

    /// Lets the number of an adopted process go, once its end was noted.
    pub fn reap(&self) {
        self.holder.tell(ToHolder::Reap { id: self.id });
    }
}

/// The holder's copy of a descriptor. Dropped together with ours, so that the process sees its end closed.
pub struct KeptFile {
    kept: Arc<Kept>,
    role: Role,
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.kept.holder.tell(ToHolder::Close { id: self.kept.id, role: self.role });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.holder.tell(ToHolder::Forget { id: self.id });
    }
}
