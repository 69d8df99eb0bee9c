//! `GET /files?path&username`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::{Admitted, CHUNK_BYTES};
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Outcome};
use crate::paths;
use crate::reply::{BoxError, Reply};
use crate::users::run_as;

/// Answers 200 with the bytes; 400 not a regular file, 401 unknown user, 403 not permitted, 404 missing.
pub async fn download(request: Admitted, defaults: &SharedDefaults) -> Outcome<Reply> {
    let Admitted { query, headers, access } = request;
    let raw = query.path.as_deref().ok_or_else(|| Fault::invalid("path: must be set"))?;
    let user = query.user(access, &headers, defaults).await?;
    let path = paths::resolve("path", raw, &user)?;
    let opened = run_as(&user, move || open(&path)).await?;

    let length = opened.length;
    let body = StreamBody::new(pieces(opened)).boxed_unsync();
    let mut reply = Response::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Some(length) = length {
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(reply)
}

struct Opened {
    file: Arc<File>,
    /// `None` for files of the kernel, which say 0 and have content all the same.
    length: Option<u64>,
    first: Vec<u8>,
}

fn open(path: &Path) -> Outcome<Opened> {
    let fault = |error: io::Error| Fault::io(&paths::display(path), &error);
    // Looked at before it is opened: opening a device or a pipe can have effects or wait.
    check_regular(path, &fs::metadata(path).map_err(fault)?)?;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    check_regular(path, &metadata)?;
    let mut first = Vec::new();
    if metadata.len() == 0 {
        first = read(&file, CHUNK_BYTES as u64).map_err(fault)?;
    }
    Ok(Opened { file: Arc::new(file), length: first.is_empty().then_some(metadata.len()), first })
}

pub fn check_regular(path: &Path, metadata: &fs::Metadata) -> Outcome<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() { "is a directory" } else { "is not a regular file" };
    Err(Fault::invalid(format!("path: {} {what}", path.display())))
}

struct Reading {
    file: Arc<File>,
    first: Vec<u8>,
    /// Bytes that are still to come; `None` until the end of the file.
    left: Option<u64>,
}

fn pieces(opened: Opened) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send {
    let reading = Reading { file: opened.file, first: opened.first, left: opened.length };
    futures_util::stream::unfold(reading, |mut reading| async move {
        match reading.next().await {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => Some((Ok(Frame::data(Bytes::from(bytes))), reading)),
            Err(error) => Some((Err(error.into()), reading)),
        }
    })
}

impl Reading {
    /// The next piece, empty at the end.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        let wanted = self.left.unwrap_or(u64::MAX).min(CHUNK_BYTES as u64);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let file = Arc::clone(&self.file);
        let bytes = tokio::task::spawn_blocking(move || read(&file, wanted)).await.map_err(io::Error::other)??;
        if let Some(left) = &mut self.left {
            if bytes.is_empty() {
                // The file shrank: breaking off is the only way left to say that the content is not whole.
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            *left -= bytes.len() as u64;
        }
        Ok(bytes)
    }
}

fn read(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(limit).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
