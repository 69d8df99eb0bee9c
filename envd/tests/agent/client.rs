//! A plain HTTP client on hyper: one connection per request.

use std::convert::Infallible;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::harness::{Agent, TOKEN};

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

pub fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    use futures_util::StreamExt;
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

/// The value of an Authorization header that names a user.
pub fn basic(user: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:")))
}

impl Agent {
    /// A request with the boot token.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        self.bare_request(method, path).header("x-access-token", TOKEN)
    }

    pub fn bare_request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path).header("host", self.address.to_string())
    }

    /// Sends and answers as soon as the headers are there; the connection ends with the response.
    pub async fn open(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.expect("connect");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (head, body) = self.open(request).await.expect("response").into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(full("")).expect("request")).await
    }

    pub async fn init(&self, body: &str) -> Reply {
        self.send(self.request(Method::POST, "/init").body(full(body.to_owned())).expect("request")).await
    }

    /// A unary RPC in the JSON codec.
    pub async fn call(&self, method: &str, message: &Value) -> Reply {
        self.call_as(None, method, message).await
    }

    pub async fn call_as(&self, user: Option<&str>, method: &str, message: &Value) -> Reply {
        let mut request = self.request(Method::POST, &format!("/{method}")).header("content-type", "application/json");
        if let Some(user) = user {
            request = request.header("authorization", basic(user));
        }
        self.send(request.body(full(message.to_string())).expect("request")).await
    }
}
