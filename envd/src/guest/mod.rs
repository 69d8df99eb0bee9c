//! What keeps the agent alive beside its user's code. Only in a machine that was made for it (`--in-guest`): on any
//! other, control groups and the kernel's choice of victims are somebody else's.

mod cgroup;
mod oom;
mod placement;
mod signal_safe;

use std::path::Path;
use std::sync::OnceLock;

pub use placement::{Entry, Placement};

use crate::log;

static PLACEMENT: OnceLock<Placement> = OnceLock::new();

/// Protects this process, and those it becomes or starts for itself, from what users run; and makes the places where
/// that will run. What the machine lacks is said on the console and done without: an agent that could be protected
/// better is of more use than none. Asked again, it does the same again.
pub fn protect() {
    if let Err(error) = oom::exempt_self() {
        log::error(&format!("oom_score_adj: {error}"));
    }
    let placement = match cgroup::Groups::make(Path::new(cgroup::ROOT)) {
        Ok(groups) => Placement::new(groups),
        Err(error) => {
            log::error(&format!("no control groups, so users' processes have no limit of memory: {error}"));
            Placement::without_groups()
        }
    };
    let _kept = PLACEMENT.set(placement);
}

/// Where processes of users go. Nowhere in particular until [`protect`] was called.
pub fn placement() -> &'static Placement {
    PLACEMENT.get_or_init(Placement::nowhere)
}
