//! Answers of the plain HTTP routes.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};

use crate::fault::Fault;

/// Why a body broke off; the client only sees that it did.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body of any kind, whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
/// An answer whose body may still be in the making.
pub type Reply = Response<Body>;

/// Only a status. No cache may keep it.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// What answers a HEAD: over HTTP/2 the server would send the body.
pub fn without_body(reply: Reply) -> Reply {
    reply.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync())
}

/// A JSON document. No cache may keep it.
pub fn json(status: StatusCode, value: &Value) -> Reply {
    let text = Bytes::from(value.to_string());
    let mut reply = Response::new(Full::new(text).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `{"code":<status>,"message":"..."}`.
pub fn fault(fault: &Fault) -> Reply {
    let status = fault.http_status();
    json(status, &json!({ "code": status.as_u16(), "message": fault.message }))
}
