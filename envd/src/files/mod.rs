//! `/files`: whole files in and out, streamed in constant memory; and `/files/compose`, which joins them.

mod access;
mod coding;
mod compose;
mod content_type;
mod disposition;
mod download;
mod form;
mod gunzip;
mod intake;
mod opened;
mod pieces;
mod query;
mod range;
mod signature;
mod source;
mod staged;
mod upload;
mod validators;
mod writer;

use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;

use self::access::{Access, admit};
pub use self::compose::compose;
use self::intake::Intake;
use self::query::Query;
use self::signature::Operation;
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Kind, Outcome};
use crate::reply::Reply;
use crate::token::Token;

/// One piece of work for the blocking pool: large enough that the hop does not count, small enough for a guest
/// with little memory and many transfers.
const CHUNK_BYTES: usize = 256 << 10;

/// A request that was admitted.
struct Admitted {
    query: Query,
    headers: HeaderMap,
    access: Access,
}

/// `/files`. Checks by itself who may use it, because a signature is enough here and nowhere else.
pub async fn serve(request: Request<Incoming>, token: &Token, defaults: &SharedDefaults) -> Outcome<Reply> {
    let (head, body) = request.into_parts();
    let body = Intake::new(body);
    let operation = match head.method {
        Method::POST => Operation::Write,
        _ => Operation::Read,
    };
    let query = Query::parse(&head.uri);
    let access = admit(&head.headers, query.as_ref().unwrap_or(&Query::default()), operation, token)?;
    let admitted = Admitted { query: query?, headers: head.headers, access };
    match head.method {
        Method::GET | Method::HEAD => download::download(admitted, defaults).await,
        Method::POST => upload::upload(admitted, body, defaults).await,
        method => Err(Fault::new(Kind::MethodNotAllowed, format!("method {method} is not allowed here"))),
    }
}
