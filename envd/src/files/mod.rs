//! `GET /files` and `POST /files`: whole files in and out, streamed in constant memory.

mod download;
mod intake;
mod multipart;
mod query;
mod staged;
mod upload;
mod writer;

pub use download::download;
pub use upload::upload;

/// One piece of work for the blocking pool: large enough that the hop does not count, small enough for a guest
/// with little memory and many transfers.
const CHUNK_BYTES: usize = 256 << 10;
