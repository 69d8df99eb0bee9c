//! A way to any TCP port of the guest, services that listen on the loopback address alone included, over the host's
//! connection to the agent: `POST /tunnel/PORT`. The request's body goes to the service and the answer's body comes from
//! it, both at the same time, so each end and each failure has its counterpart on the other side.

mod addresses;
mod dial;
mod relay;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use tokio::sync::Semaphore;

use self::dial::dial;
use crate::fault::{Fault, Kind, Outcome};
use crate::reply::{self, Reply};

/// What the path of a tunnel begins with; the port follows, in decimal.
pub const PREFIX: &str = "/tunnel/";
/// Each is a descriptor, and in either direction as many bytes as one side is ahead of the other, which the server's
/// flow control bounds.
const MAX_TUNNELS: usize = 128;

/// The open tunnels, at most [`MAX_TUNNELS`] at a time: one more is refused and does not wait.
pub struct Tunnels {
    places: Arc<Semaphore>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_TUNNELS)) }
    }
}

impl Tunnels {
    /// Answers when the service has taken the connection, or when nothing has.
    pub async fn open(&self, request: Request<Incoming>) -> Outcome<Reply> {
        let port = port(request.uri().path())?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Fault::new(Kind::TooMany, format!("at most {MAX_TUNNELS} tunnels at a time")))?;
        let service = match dial(port).await? {
            Ok(service) => service,
            Err(refusal) => {
                let message = format!("port {port}: {refusal}");
                let body = json!({ "code": 502, "message": message, "port": port, "reason": refusal.reason() });
                return Ok(reply::json(StatusCode::BAD_GATEWAY, &body));
            }
        };
        let version = request.version();
        let mut reply = Response::new(relay::relay(request.into_body(), version, service, place));
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply)
    }
}

fn port(path: &str) -> Outcome<u16> {
    let text = path.strip_prefix(PREFIX).unwrap_or_default();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| Fault::invalid("port: must be a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_decimal_number() {
        assert_eq!(port("/tunnel/8080").map_err(|fault| fault.message), Ok(8080));
        assert_eq!(port("/tunnel/65535").map_err(|fault| fault.message), Ok(65535));
        for path in ["/tunnel/", "/tunnel/0", "/tunnel/65536", "/tunnel/+80", "/tunnel/80/", "/tunnel/x", "/tunnel/-1"]
        {
            assert_eq!(port(path).expect_err(path).kind, Kind::InvalidArgument);
        }
    }
}
