//! What outlives the agent. `envd --supervise` is the holder: a small process, PID 1 of a capsule, that starts the
//! agent as its child and starts it again when it dies. The agent hands it the descriptors and the [`record`] of each
//! process that it starts; the next agent gets them back, and goes on where the last one was.
//!
//! [`supervisor`] is the holder's side, [`client`] the agent's.

mod adopted;
mod channel;
mod client;
mod held;
mod kept;
mod life;
mod memory;
mod message;
mod record;
mod signals;
mod store;
mod supervisor;
mod wait;

pub use adopted::Adopted;
pub use client::{Holder, Legacy, connect};
pub use held::{HELD, Held, SUPERVISE};
pub use kept::{Kept, KeptFile};
pub use message::Role;
pub use record::{Record, Stream};
pub use supervisor::supervise;
