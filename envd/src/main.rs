//! envd, the guest agent of a Wrenn capsule: one static binary that runs processes and moves files for the
//! capsule's owner, over HTTP, for the host agent alone.

mod app;
mod body;
mod cli;
mod connections;
mod cors;
mod defaults;
mod extensions;
mod fault;
mod files;
mod filesystem;
mod guest;
mod holder;
mod init;
mod keepalive;
mod lasting;
mod lock;
mod log;
mod metadata;
mod metrics;
mod passing;
mod paths;
mod process;
#[allow(clippy::upper_case_acronyms, reason = "generated names follow the protos")]
mod proto;
mod random;
mod reply;
#[cfg(test)]
mod scratch;
mod secret;
mod server;
mod snapshot;
mod startup;
mod state;
mod token;
mod tunnel;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args().skip(1)) {
        Ok(cli::Command::Version) => {
            println!("envd {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(cli::Command::Serve(options)) => startup::run(options).map(|()| ExitCode::SUCCESS),
        Ok(cli::Command::Supervise(options)) => startup::supervise(&options),
        Err(message) => {
            log::error(&message);
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|message| {
        log::error(&message);
        ExitCode::FAILURE
    })
}
