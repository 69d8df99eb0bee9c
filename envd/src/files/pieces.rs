//! The body of a download: made piece by piece on the blocking pool, as fast as the client takes it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

use super::CHUNK_BYTES;
use super::gzip::Gzip;
use super::opened::Content;
use crate::reply::{Body, BoxError};

/// The bytes of `range`, or all of them.
pub fn plain(content: Content, range: Option<Range<u64>>) -> Body {
    match (content, range) {
        (Content::Small(bytes), range) => {
            let range = range.map_or(0..bytes.len(), |range| within(&range, bytes.len()));
            Full::new(bytes.slice(range)).map_err(|never| match never {}).boxed_unsync()
        }
        (content, range) => stream(Reading::new(content, range)),
    }
}

/// All bytes, compressed.
pub fn gzip(content: Content) -> Body {
    stream(Gzip::new(Reading::new(content, None)))
}

fn within(range: &Range<u64>, length: usize) -> Range<usize> {
    let clamp = |place: u64| usize::try_from(place).unwrap_or(length).min(length);
    clamp(range.start)..clamp(range.end)
}

/// What a body is made of.
pub trait Pieces: Send + 'static {
    /// The next piece, empty at the end. Blocks.
    fn next(&mut self) -> io::Result<Bytes>;
}

fn stream(pieces: impl Pieces) -> Body {
    let frames = futures_util::stream::try_unfold(pieces, |mut pieces| async move {
        let step = move || pieces.next().map(|bytes| (bytes, pieces));
        let (bytes, pieces) = tokio::task::spawn_blocking(step).await.map_err(io::Error::other)??;
        Ok::<_, BoxError>((!bytes.is_empty()).then(|| (Frame::data(bytes), pieces)))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Reading {
    file: Option<Arc<File>>,
    first: Bytes,
    /// Where to begin, until it has begun.
    start: Option<u64>,
    /// Bytes that are still to come; `None` until the end of the file.
    left: Option<u64>,
}

impl Reading {
    fn new(content: Content, range: Option<Range<u64>>) -> Self {
        match content {
            Content::Small(first) => Self { file: None, first, start: None, left: Some(0) },
            Content::Endless { file, first } => Self { file: Some(file), first, start: None, left: None },
            Content::Large { file, length } => {
                let range = range.unwrap_or(0..length);
                let left = Some(range.end.saturating_sub(range.start));
                Self { file: Some(file), first: Bytes::new(), start: Some(range.start), left }
            }
        }
    }
}

impl Pieces for Reading {
    fn next(&mut self) -> io::Result<Bytes> {
        if !self.first.is_empty() {
            return Ok(std::mem::take(&mut self.first));
        }
        let wanted = self.left.unwrap_or(u64::MAX).min(CHUNK_BYTES as u64);
        let Some(mut file) = self.file.as_deref().filter(|_| wanted > 0) else {
            return Ok(Bytes::new());
        };
        if let Some(start) = self.start.take() {
            file.seek(SeekFrom::Start(start))?;
        }
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        file.take(wanted).read_to_end(&mut bytes)?;
        if let Some(left) = &mut self.left {
            if bytes.is_empty() {
                // The file shrank: breaking off is the only way left to say that the content is not whole.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *left -= bytes.len() as u64;
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn all(mut pieces: impl Pieces) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let piece = pieces.next()?;
            if piece.is_empty() {
                return Ok(all);
            }
            assert!(piece.len() <= CHUNK_BYTES + 1);
            all.extend_from_slice(&piece);
        }
    }

    /// A file without a name.
    fn large(content: &[u8]) -> Content {
        let path = std::env::temp_dir().join(format!("envd-pieces-{:?}", std::thread::current().id()));
        let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path).expect("file");
        std::fs::remove_file(path).expect("removed");
        file.write_all(content).expect("written");
        Content::Large { file: Arc::new(file), length: content.len() as u64 }
    }

    fn compressed(content: Content) -> Vec<u8> {
        let gzip = all(Gzip::new(Reading::new(content, None))).expect("read");
        let mut plain = Vec::new();
        GzDecoder::new(gzip.as_slice()).read_to_end(&mut plain).expect("gzip");
        plain
    }

    #[test]
    fn a_large_file_comes_whole_and_in_part_and_compressed() {
        let content: Vec<u8> = (0..u32::try_from(CHUNK_BYTES).expect("small")).flat_map(u32::to_le_bytes).collect();
        assert!(all(Reading::new(large(&content), None)).expect("read") == content);
        assert!(compressed(large(&content)) == content);
        for range in [0..1, 5..CHUNK_BYTES + 7, content.len() - 1..content.len()] {
            let wanted = range.start as u64..range.end as u64;
            assert!(all(Reading::new(large(&content), Some(wanted))).expect("read") == content[range]);
        }
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_not_an_end() {
        let Content::Large { file, length } = large(b"content") else { unreachable!() };
        let longer = Content::Large { file, length: length + 1 };
        assert_eq!(all(Reading::new(longer, None)).expect_err("short").kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_compressed_can_be_had_again(content: Vec<u8>) {
            prop_assert_eq!(compressed(Content::Small(content.clone().into())), content);
        }
    }
}
