//! Connecting to a service of the guest, wherever it listens.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::addresses::{loopback, others};
use crate::fault::{Fault, Outcome};
use crate::users;

/// A refusal comes at once, since all addresses are the guest's own. Only a service that takes no connections off its
/// queue, or a firewall, makes us wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why no service took the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NothingListens,
    NoAnswer,
}

impl Refusal {
    /// For programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NothingListens => "refused",
            Self::NoAnswer => "timeout",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NothingListens => "nothing listens",
            Self::NoAnswer => "what listens takes no connection",
        })
    }
}

/// Tries the loopback addresses first, then the others of the guest.
pub async fn dial(port: u16) -> Outcome<Result<TcpStream, Refusal>> {
    let deadline = Instant::now() + PATIENCE;
    let mut connected = first(&loopback(port), deadline).await;
    if let Err(Refusal::NothingListens) = connected {
        let find = move || others(port).map_err(|error| Fault::io("addresses", &error));
        connected = first(&users::blocking(find).await?, deadline).await;
    }
    Ok(connected)
}

async fn first(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Refusal> {
    for address in addresses {
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Both sides decide what belongs together; a failure costs time and nothing else.
                let _slower = stream.set_nodelay(true);
                return Ok(stream);
            }
            // Nothing there, or no such family: the next one.
            Ok(Err(_)) => {}
            Err(_) => return Err(Refusal::NoAnswer),
        }
    }
    Err(Refusal::NothingListens)
}
