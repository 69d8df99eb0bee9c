//! `filesystem.Filesystem`: looking at the capsule's files and moving them about, with the rights of the user.

mod change;
mod entry;
mod list;
mod relocate;
mod service;
mod watch;

pub use service::Service;
