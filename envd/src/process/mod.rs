//! Processes of the capsule. [`launch`] makes one, [`supervisor`] owns it until it has ended, [`table`] finds it
//! by pid or tag, [`pump`] reads what it writes and [`output`] hands that to whoever follows it.

mod exit;
mod launch;
mod output;
mod pump;
mod record;
mod request;
mod service;
mod stdin;
mod stream;
mod supervisor;
mod table;

pub use service::Service;
pub use table::Table;
