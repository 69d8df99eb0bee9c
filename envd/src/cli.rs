//! Command line, and the boot token's digest from there or from the kernel's command line.

use std::net::{Ipv4Addr, SocketAddr};

use crate::holder::{self, Held};
use crate::token::{TokenDigest, parse_digest};

/// The port where clients of the E2B protocol look for the agent.
pub const DEFAULT_PORT: u16 = 49983;
const KERNEL_PARAMETER: &str = "wrenn.token_sha256=";
const USAGE: &str = "usage: envd [--listen ADDRESS:PORT] [--token-sha256 HEX] [--in-guest] [--supervise] [--version]";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Version,
    Serve(Options),
    /// Keep an agent with these options running.
    Supervise(Options),
}

/// How to serve. Without arguments: on all addresses of IPv4, at [`DEFAULT_PORT`], with the token that the kernel's
/// command line names.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub listen: SocketAddr,
    pub token: Option<TokenDigest>,
    /// Whether the machine is a capsule: envd may make another computer of it, and protects itself from its users.
    pub in_guest: bool,
    /// What the holder hands to the agent that it starts.
    pub held: Option<Held>,
}

/// Reads the arguments after the program's name. An error is one sentence for the console.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT));
    let mut options = Options { listen, token: None, in_guest: false, held: None };
    let mut supervise = false;
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || inline.clone().or_else(|| args.next()).ok_or(format!("{name} needs a value; {USAGE}"));
        match name.as_str() {
            "--version" => return Ok(Command::Version),
            "--listen" => {
                let text = value()?;
                options.listen = text.parse().map_err(|_| format!("--listen: '{text}' is not ADDRESS:PORT"))?;
            }
            "--token-sha256" => {
                let digest = parse_digest(&value()?).ok_or("--token-sha256 must be 64 hex digits")?;
                options.token = Some(digest);
            }
            "--in-guest" if inline.is_none() => options.in_guest = true,
            holder::SUPERVISE if inline.is_none() => supervise = true,
            holder::HELD => {
                options.held = Some(Held::parse(&value()?).ok_or("--held is for the holder alone")?);
            }
            _ => return Err(format!("unknown option {name}; {USAGE}")),
        }
    }
    Ok(if supervise { Command::Supervise(options) } else { Command::Serve(options) })
}

/// The digest on the kernel command line, if there is one; a malformed one is an error, not an absence.
pub fn kernel_token(command_line: &str) -> Result<Option<TokenDigest>, String> {
    let Some(hex) = command_line.split_whitespace().find_map(|word| word.strip_prefix(KERNEL_PARAMETER)) else {
        return Ok(None);
    };
    let digest =
        parse_digest(hex).ok_or(format!("{KERNEL_PARAMETER} on the kernel command line must be 64 hex digits"))?;
    Ok(Some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::digest;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn defaults_listen_on_every_address() {
        let Ok(Command::Serve(options)) = parse(words("")) else {
            panic!("not serve");
        };
        assert_eq!(options.listen.to_string(), "0.0.0.0:49983");
        assert_eq!(options.token, None);
        assert!(!options.in_guest);
    }

    #[test]
    fn a_guest_is_one_only_when_it_is_said() {
        let Ok(Command::Serve(options)) = parse(words("--in-guest")) else {
            panic!("not serve");
        };
        assert!(options.in_guest);
    }

    #[test]
    fn a_holder_has_the_options_of_its_agent() {
        let Ok(Command::Supervise(options)) = parse(words("--supervise --in-guest --listen 127.0.0.1:1")) else {
            panic!("not supervise");
        };
        assert!(options.in_guest);
        assert_eq!(options.listen.to_string(), "127.0.0.1:1");
    }

    #[test]
    fn takes_values_after_a_space_or_an_equals_sign() {
        for line in
            [format!("--listen 127.0.0.1:0 --token-sha256 {HEX}"), format!("--listen=127.0.0.1:0 --token-sha256={HEX}")]
        {
            let Ok(Command::Serve(options)) = parse(words(&line)) else {
                panic!("not serve");
            };
            assert_eq!(options.listen.to_string(), "127.0.0.1:0");
            assert_eq!(options.token, Some(digest(b"")));
        }
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for line in [
            "--port 1",
            "--listen",
            "--listen nowhere",
            "--token-sha256 abc",
            "--in-guest=no",
            "--held=1,2",
            "--held 3",
        ] {
            assert!(parse(words(line)).is_err(), "{line}");
        }
        assert_eq!(parse(words("--version")), Ok(Command::Version));
    }

    #[test]
    fn reads_the_digest_from_the_kernel_command_line() {
        assert_eq!(kernel_token("quiet ro"), Ok(None));
        assert_eq!(kernel_token(&format!("quiet wrenn.token_sha256={HEX} ro\n")), Ok(Some(digest(b""))));
        assert!(kernel_token("wrenn.token_sha256=12").is_err());
    }
}
