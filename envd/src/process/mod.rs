//! Processes of the capsule. [`launch`] makes one by [`spawn`], [`supervisor`] owns it until it has ended, [`table`] finds it
//! by pid or tag, [`pump`] reads what it writes, [`output`] holds that for whoever follows it, and [`input`] is what
//! it is sent.

mod channel;
mod descriptors;
mod exit;
mod flag;
mod input;
mod keeping;
mod launch;
mod output;
mod parts;
mod pump;
mod record;
mod request;
mod retained;
mod service;
mod signals;
mod source;
mod spawn;
mod stream;
mod supervisor;
mod table;
mod terminal;

pub use descriptors::raise as raise_descriptor_limit;
pub use keeping::Keeper;
pub use service::Service;
pub use table::Table;
