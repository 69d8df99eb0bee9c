//! Lets the pages of any site call the agent, as browsers ask first (Fetch standard, CORS protocol). A page has no more
//! rights by it than any other client: what counts is the token, or a signature, and no browser sends those by itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::reply::{self, Reply};

/// Seconds; browsers cut it to what they like.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ANYTHING: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// Whether a page of another site asks.
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
}

/// The answer to a browser's question whether it may send a request; it carries no token.
pub fn preflight<T>(request: &Request<T>) -> Option<Reply> {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || !is_asked(headers) {
        return None;
    }
    let mut reply = allow(reply::empty(StatusCode::NO_CONTENT));
    let answer = reply.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // Named one by one, because '*' does not cover Authorization.
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(reply)
}

/// Lets the page that asked see the answer.
pub fn allow(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANYTHING);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANYTHING);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    reply
}
