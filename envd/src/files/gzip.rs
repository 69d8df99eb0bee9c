//! Compresses a download (RFC 1952), a piece at a time.

use std::io;

use bytes::{Buf, Bytes};
use flate2::{Compress, Compression, FlushCompress, Status};

use super::CHUNK_BYTES;
use super::pieces::Pieces;

const WINDOW_BITS: u8 = 15;

/// One member of gzip with all that `Input` has, without name and time.
pub struct Gzip<Input> {
    input: Input,
    /// What was read and not yet taken in.
    rest: Bytes,
    /// `None` when all has come out.
    compress: Option<Compress>,
}

impl<Input> Gzip<Input> {
    /// Reads nothing yet.
    pub fn new(input: Input) -> Self {
        // The wire is short and the processor is the user's.
        let compress = Compress::new_gzip(Compression::fast(), WINDOW_BITS);
        Self { input, rest: Bytes::new(), compress: Some(compress) }
    }
}

impl<Input: Pieces> Pieces for Gzip<Input> {
    fn next(&mut self) -> io::Result<Bytes> {
        let mut output = Vec::with_capacity(CHUNK_BYTES);
        while let Some(compress) = self.compress.as_mut().filter(|_| output.is_empty()) {
            if self.rest.is_empty() {
                self.rest = self.input.next()?;
            }
            let flush = if self.rest.is_empty() { FlushCompress::Finish } else { FlushCompress::None };
            let before = compress.total_in();
            let status = compress.compress_vec(&self.rest, &mut output, flush).map_err(io::Error::other)?;
            self.rest.advance(usize::try_from(compress.total_in() - before).unwrap_or(usize::MAX).min(self.rest.len()));
            if status == Status::StreamEnd {
                self.compress = None;
            }
        }
        Ok(output.into())
    }
}
