//! Bodies of requests that are read whole.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::fault::{Fault, Kind, Outcome};

/// All of the body, which may have `limit` bytes.
pub async fn collect(body: Incoming, limit: usize) -> Outcome<Bytes> {
    let collected = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Fault::new(Kind::TooLarge, format!("body: must be at most {limit} bytes"));
        }
        Fault::invalid("body: could not be read to its end")
    })?;
    Ok(collected.to_bytes())
}
