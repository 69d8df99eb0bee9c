//! `/files`: whole files in and out, streamed in constant memory; and `/files/compose`, which joins them.

mod access;
mod coding;
mod compose;
mod content_type;
mod disposition;
mod download;
mod form;
mod gunzip;
mod gzip;
mod intake;
mod opened;
mod pieces;
mod query;
mod range;
mod signature;
mod source;
mod staged;
mod turns;
mod upload;
mod validators;
mod writer;

use std::sync::Arc;

use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;

use self::access::{Access, admit};
use self::intake::Intake;
use self::query::Query;
use self::signature::Operation;
use self::turns::Turns;
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

/// Answers `/files` and `/files/compose`.
pub struct Files {
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    turns: Turns,
}

impl Files {
    /// Nothing is being transferred yet. Token and defaults are looked at anew for each request.
    pub fn new(token: Arc<Token>, defaults: Arc<SharedDefaults>) -> Self {
        Self { token, defaults, turns: Turns::default() }
    }

    /// `/files`. Checks by itself who may use it, because a signature is enough here and nowhere else.
    pub async fn serve(&self, request: Request<Incoming>) -> Outcome<Reply> {
        let (head, body) = request.into_parts();
        let body = Intake::new(body);
        let operation = match head.method {
            Method::POST => Operation::Write,
            _ => Operation::Read,
        };
        let query = Query::parse(&head.uri);
        let access = admit(&head.headers, query.as_ref().unwrap_or(&Query::default()), operation, &self.token)?;
        let admitted = Admitted { query: query?, headers: head.headers, access };
        let turn = self.turns.take(operation).await?;
        match head.method {
            Method::GET | Method::HEAD => Ok(turn.last_for(download::download(admitted, &self.defaults).await?)),
            Method::POST => upload::upload(admitted, body, &self.defaults).await,
            method => Err(Fault::new(Kind::MethodNotAllowed, format!("method {method} is not allowed here"))),
        }
    }

    /// `/files/compose`. Whoever may call it has been checked.
    pub async fn compose(&self, request: Request<Incoming>) -> Outcome<Reply> {
        let _turn = self.turns.take(Operation::Write).await?;
        compose::compose(request, &self.defaults).await
    }
}
