//! The real binary, over real sockets, as its clients see it. Nothing here sets a clock, a hostname or a
//! machine-id: those fields are only ever sent with values that must be refused.

mod auth;
mod client;
mod codec;
mod files;
mod filesystem;
mod harness;
mod holder;
mod init;
mod input;
mod lifetime;
mod process;
mod scratch;
mod stream;
