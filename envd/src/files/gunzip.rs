//! Takes gzip apart (RFC 1952), a bounded piece at a time. Does no I/O.

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use super::CHUNK_BYTES;

const WINDOW_BITS: u8 = 15;

/// A decoder on its way through one file of gzip.
pub struct Gunzip {
    /// `None` between members; a file may be several, one after another.
    member: Option<Decompress>,
    input: Bytes,
    /// Whether a member has ended, so that an end of the input here is the end of a whole file.
    whole: bool,
}

/// The input is not gzip, or is damaged: what came out so far may be wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct NotGzip;

impl Gunzip {
    /// Stands before the first member. The input may not end here: no bytes at all are not gzip.
    pub fn new() -> Self {
        Self { member: None, input: Bytes::new(), whole: false }
    }

    /// Takes more input; what was there is used up.
    pub fn feed(&mut self, input: Bytes) {
        self.input = input;
    }

    /// Whether the input may end here.
    pub fn is_whole(&self) -> bool {
        self.whole && self.member.is_none()
    }

    /// The next piece, at most [`CHUNK_BYTES`] however much comes out; empty when more input is needed.
    pub fn next(&mut self) -> Result<Vec<u8>, NotGzip> {
        let mut output = Vec::with_capacity(CHUNK_BYTES);
        while output.len() < CHUNK_BYTES {
            // Without input there may still be output inside.
            if self.input.is_empty() && self.member.is_none() {
                break;
            }
            let member = self.member.get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
            let (before, room) = (member.total_in(), output.len());
            let status = member.decompress_vec(&self.input, &mut output, FlushDecompress::None).map_err(|_| NotGzip)?;
            let taken = usize::try_from(member.total_in() - before).map_err(|_| NotGzip)?;
            self.input.advance(taken.min(self.input.len()));
            if status == Status::StreamEnd {
                (self.member, self.whole) = (None, true);
            } else if taken == 0 && output.len() == room {
                break;
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).expect("compressed");
        encoder.finish().expect("compressed")
    }

    /// What comes out, and whether the input was a whole file.
    fn gunzip<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, bool), NotGzip> {
        let (mut gunzip, mut output) = (Gunzip::new(), Vec::new());
        for piece in pieces {
            gunzip.feed(Bytes::copy_from_slice(piece));
            loop {
                let bytes = gunzip.next()?;
                if bytes.is_empty() {
                    break;
                }
                assert!(bytes.len() <= CHUNK_BYTES);
                output.extend(bytes);
            }
        }
        Ok((output, gunzip.is_whole()))
    }

    #[test]
    fn a_bomb_comes_out_in_bounded_pieces() {
        let bomb = gzip(&vec![0; 8 << 20]);
        let (content, whole) = gunzip(std::iter::once(bomb.as_slice())).expect("gzip");
        assert!(whole && content.len() == 8 << 20);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let mut checksum = gzip(b"content");
        let at = checksum.len() - 8;
        checksum[at] ^= 1;
        let trailing = [gzip(b"content"), b"rest".to_vec()].concat();
        for input in [checksum, trailing, b"plain text".to_vec()] {
            assert_eq!(gunzip(std::iter::once(input.as_slice())), Err(NotGzip));
        }
    }

    proptest! {
        #[test]
        fn any_members_split_anywhere_come_out_whole(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..4), piece in 1_usize..50,
        ) {
            let input: Vec<u8> = contents.iter().flat_map(|content| gzip(content)).collect();
            let output = gunzip(input.chunks(piece));
            prop_assert_eq!(output, Ok((contents.concat(), true)));
            let cut = gunzip(input[..input.len() - 1].chunks(piece)).expect("gzip so far");
            prop_assert!(!cut.1);
        }

        #[test]
        fn garbage_never_panics(input: Vec<u8>, piece in 1_usize..50) {
            let _outcome = gunzip(input.chunks(piece));
            let _outcome = gunzip([&[0x1f, 0x8b, 8], input.as_slice()].concat().chunks(piece));
        }
    }
}
