//! The access token. Only its SHA-256 is kept: the kernel command line is world-readable, so the boot token
//! itself never appears there, and a memory image holds no token that was not just presented.

use std::sync::Mutex;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::lock::lock;

pub const HEADER: &str = "x-access-token";

pub type TokenDigest = [u8; 32];

/// The token in force; replacing it ends the old one at once.
pub struct Token(Mutex<TokenDigest>);

impl Token {
    pub fn new(digest: TokenDigest) -> Self {
        Self(Mutex::new(digest))
    }

    pub fn replace(&self, digest: TokenDigest) {
        *lock(&self.0) = digest;
    }

    /// Whether the request carries the token. Takes the same time for every wrong token.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(presented) = headers.get(HEADER) else {
            return false;
        };
        equal(&digest(presented.as_bytes()), &lock(&self.0))
    }
}

pub fn digest(token: &[u8]) -> TokenDigest {
    Sha256::digest(token).into()
}

/// 64 hex digits, or nothing.
pub fn parse_digest(hex: &str) -> Option<TokenDigest> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(digest)
}

fn equal(left: &TokenDigest, right: &TokenDigest) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_64_hex_digits_of_either_case_and_nothing_else() {
        assert_eq!(parse_digest(EMPTY), Some(digest(b"")));
        assert_eq!(parse_digest(&EMPTY.to_uppercase()), Some(digest(b"")));
        assert_eq!(parse_digest(&EMPTY[1..]), None);
        assert_eq!(parse_digest(&EMPTY.replace('e', "g")), None);
        assert_eq!(parse_digest(&"é".repeat(32)), None);
    }

    #[test]
    fn a_replaced_token_stops_working_at_once() {
        let token = Token::new(digest(b"old"));
        let mut headers = HeaderMap::new();
        assert!(!token.accepts(&headers));
        headers.insert(HEADER, http::HeaderValue::from_static("old"));
        assert!(token.accepts(&headers));
        token.replace(digest(b"new"));
        assert!(!token.accepts(&headers));
        headers.insert(HEADER, http::HeaderValue::from_static("new"));
        assert!(token.accepts(&headers));
    }
}
