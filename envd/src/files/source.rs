//! The bytes of an upload as they were before the client compressed them.

use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::gunzip::{Gunzip, NotGzip};
use super::intake::Intake;
use crate::fault::{Fault, Outcome};
use crate::users::blocking;

/// The body of an upload, decoded as its Content-Encoding says.
pub struct Source {
    body: Intake,
    /// `None` when the bytes come as they are.
    gunzip: Option<Box<Gunzip>>,
}

impl Source {
    /// The encoding is that of the whole body, also of a form.
    pub fn new(headers: &HeaderMap, body: Intake) -> Outcome<Self> {
        let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase());
        let gunzip = match encoding.as_deref() {
            None | Some(b"" | b"identity") => None,
            Some(b"gzip" | b"x-gzip") => Some(Box::new(Gunzip::new())),
            Some(_) => return Err(Fault::invalid("content-encoding: must be gzip or identity")),
        };
        Ok(Self { body, gunzip })
    }

    /// The next bytes; `None` at the end of a body that is whole.
    pub async fn next(&mut self) -> Outcome<Option<Bytes>> {
        let Some(gunzip) = &mut self.gunzip else {
            return read(&mut self.body).await;
        };
        loop {
            let bytes = inflate(gunzip).await?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            match read(&mut self.body).await? {
                Some(bytes) => gunzip.feed(bytes),
                None if gunzip.is_whole() => return Ok(None),
                None => return Err(Fault::invalid("body: ends within its gzip")),
            }
        }
    }
}

async fn read(body: &mut Intake) -> Outcome<Option<Bytes>> {
    body.next().await.transpose().map_err(|_| Fault::invalid("body: broke off"))
}

async fn inflate(gunzip: &mut Box<Gunzip>) -> Outcome<Bytes> {
    let mut moved = std::mem::replace(gunzip, Box::new(Gunzip::new()));
    let (moved, bytes) = blocking(move || {
        let bytes = moved.next().map_err(|NotGzip| Fault::invalid("body: is not gzip, or is damaged"))?;
        Ok((moved, bytes))
    })
    .await?;
    *gunzip = moved;
    Ok(bytes.into())
}
