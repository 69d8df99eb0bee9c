//! `GET` and `HEAD /files?path&username`.

use std::ops::Range;
use std::path::Path;

use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::coding::{Coding, negotiate};
use super::content_type::content_type;
use super::opened::{Content, Opened};
use super::range::{Wanted, parse};
use super::validators::{Validators, Verdict};
use super::{Admitted, disposition, pieces};
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Kind, Outcome};
use crate::paths;
use crate::reply::{self, Reply};
use crate::users::run_as;

/// Answers 200 or 206 with the bytes, 304; 400 not a regular file, 401 unknown user, 403 not permitted, 404 missing,
/// 406 no encoding that the client accepts, 412 a condition does not hold, 416 nothing of the range.
pub async fn download(request: Admitted, defaults: &SharedDefaults) -> Outcome<Reply> {
    let Admitted { query, headers, access } = request;
    let raw = query.path.as_deref().ok_or_else(|| Fault::invalid("path: must be set"))?;
    let user = query.user(access, &headers, defaults).await?;
    let path = paths::resolve("path", raw, &user)?;
    let target = path.clone();
    let opened = run_as(&user, move || Opened::open(&target)).await?;
    // A range is one of the bytes as they are.
    let coding = if headers.contains_key(RANGE) { Coding::Identity } else { negotiate(&headers)? };
    if !opened.is_ordinary() {
        return Ok(whole(opened.content, coding, &path));
    }
    let validators = Validators::new(&opened.metadata, coding);
    match validators.judge(&headers) {
        Verdict::Serve => {}
        Verdict::NotModified => {
            let mut reply = reply::empty(StatusCode::NOT_MODIFIED);
            reply.headers_mut().clear();
            return Ok(described(reply, &validators));
        }
        Verdict::PreconditionFailed => {
            return Err(Fault::new(Kind::ConditionFailed, "if-match: the file is another one by now"));
        }
    }
    let length = opened.metadata.len();
    let reply = match range(&headers, &validators, length) {
        Wanted::Whole => whole(opened.content, coding, &path),
        Wanted::Part(range) => part(opened.content, &range, length, &path),
        Wanted::Nothing => return Ok(nothing(length)),
    };
    Ok(described(reply, &validators))
}

fn range(headers: &HeaderMap, validators: &Validators, length: u64) -> Wanted {
    match headers.get(RANGE) {
        Some(value) if validators.range_applies(headers) => parse(value.to_str().unwrap_or_default(), length),
        _ => Wanted::Whole,
    }
}

fn whole(content: Content, coding: Coding, path: &Path) -> Reply {
    let length = match &content {
        Content::Small(bytes) => Some(bytes.len() as u64),
        Content::Large { length, .. } => Some(*length),
        Content::Endless { .. } => None,
    };
    let mut reply = match coding {
        Coding::Identity => Reply::new(pieces::plain(content, None)),
        Coding::Gzip => Reply::new(pieces::gzip(content)),
    };
    match (coding, length) {
        (Coding::Gzip, _) => {
            reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        (Coding::Identity, Some(length)) => {
            reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        (Coding::Identity, None) => {}
    }
    named(reply, path)
}

fn part(content: Content, range: &Range<u64>, length: u64, path: &Path) -> Reply {
    let mut reply = Reply::new(pieces::plain(content, Some(range.clone())));
    *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
    let shown = format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1));
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(range.end.saturating_sub(range.start)));
    insert(&mut reply, CONTENT_RANGE, &shown);
    named(reply, path)
}

fn nothing(length: u64) -> Reply {
    let message = format!("range: nothing of it is in a file of {length} bytes");
    let mut reply = reply::fault(&Fault::new(Kind::OutOfRange, message));
    insert(&mut reply, CONTENT_RANGE, &format!("bytes */{length}"));
    reply
}

fn named(mut reply: Reply, path: &Path) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(CONTENT_DISPOSITION, disposition::inline(&paths::name(path)));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    reply
}

fn described(mut reply: Reply, validators: &Validators) -> Reply {
    insert(&mut reply, ETAG, &validators.etag);
    if let Some(modified) = validators.modified {
        insert(&mut reply, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    reply.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    reply.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    reply
}

/// For values of plain ASCII, which every one here is.
fn insert(reply: &mut Reply, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}
