//! envd, the guest agent of a Wrenn capsule: one static binary that runs processes and moves files for the
//! capsule's owner, over HTTP, for the host agent alone.

mod app;
mod cli;
mod connections;
mod defaults;
mod extensions;
mod fault;
mod files;
mod filesystem;
mod guest;
mod init;
mod lock;
mod log;
mod metadata;
mod metrics;
mod passing;
mod paths;
mod process;
#[allow(clippy::upper_case_acronyms, reason = "generated names follow the protos")]
mod proto;
mod reply;
mod secret;
mod server;
mod snapshot;
mod startup;
mod token;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match cli::parse(std::env::args().skip(1)) {
        Ok(cli::Command::Version) => {
            println!("envd {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(cli::Command::Serve(options)) => options,
        Err(message) => {
            log::error(&message);
            return ExitCode::from(2);
        }
    };
    match startup::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log::error(&message);
            ExitCode::FAILURE
        }
    }
}
